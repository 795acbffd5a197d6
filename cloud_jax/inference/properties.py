"""Outputs of an ensemble to properties, with spread and interval.

A value is the mean over the members of the property itself, so that identities
linear in the free energy (dU/dT = C_v, F = U - T S) hold for the means as well. The
Debye temperature is that of the mean C_v. A class has a calibrated probability.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float
from scipy.special import expit

from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.intervals import log_widths, quantiles
from cloud_jax.physics import debye
from cloud_jax.physics.basis import BASES, atoms_per, unit_of
from cloud_jax.physics.laws import (
    CONSTANT,
    PROPERTIES,
    UNITS,
    Law,
    constrain,
    evaluate_all,
    get_law,
    is_extensive,
    scale_temperatures,
)

_PAIRS = 2**18  # (crystal, member, factor, temperature) in memory at once
_BLOCK = 2**12  # pairs per call of the law: one shape, so one compilation


class PredictionError(ValueError):
    """A request that the model cannot answer; says what it can."""


class PropertyValues(NamedTuple):
    """One property of N crystals at T temperatures.

    Attributes:
        property: its name.
        unit: of value, spread, lower and upper.
        basis: the amount that values refer to; empty where there is none.
        temperature_k: [T]; a single NaN where the property has no temperature.
        value: mean over the members.
        spread: standard deviation over the members; NaN where there is one member.
        lower: end of the interval, NaN where the model has none.
        upper: end of the interval.
        digits: significant digits of the numbers in files; more where a small number
            stands beside a large offset.
    """

    property: str
    unit: str
    basis: str
    temperature_k: Float[np.ndarray, " T"]
    value: Float[np.ndarray, "N T"]
    spread: Float[np.ndarray, "N T"]
    lower: Float[np.ndarray, "N T"]
    upper: Float[np.ndarray, "N T"]
    digits: int = 5


class PredictionRequest(NamedTuple):
    """Temperatures and basis of a prediction, checked by `make_request`."""

    temperature_k: Float[np.ndarray, " T"] | None
    basis: str


def make_request(
    description: dict[str, Any],
    temperature_k: Sequence[float] | None,
    basis: str | None,
) -> PredictionRequest:
    """Check a request against the model, and fill in the defaults.

    Args:
        description: content of model.json.
        temperature_k: [T], for a model with a law; by default those of its targets.
        basis: one of `BASES`; by default "formula" for a model with a law, else that
            of each target.

    Raises:
        PredictionError: not something that this model predicts.
    """
    if description["kind"] != "property":
        raise PredictionError(
            "this model is an encoder without a head: it gives embeddings only. "
            "Fine-tune it on labelled crystals, or use `cloud-jax predict --embed`"
        )
    targets = description["targets"]
    if basis is not None and basis not in BASES:
        raise PredictionError(
            f"basis: found {basis!r}, expected one of {', '.join(BASES)}"
        )
    if description["head"]["kind"] == "physics":
        _law_of(description)
        if temperature_k is None:
            trained = {t["temperature_k"] for t in targets} - {None}
            temperature_k = sorted(trained) or [298.15]
        return PredictionRequest(
            np.array(temperature_k, dtype=float), basis or "formula"
        )
    if temperature_k is not None:
        names = ", ".join(_with_temperature(target) for target in targets)
        raise PredictionError(
            f"this model has no law of temperature, it predicts {names}: leave the "
            "temperature out"
        )
    for target in targets:
        if basis is not None and basis != target["basis"] and not _is_molar(target):
            raise PredictionError(
                f"basis {basis!r}: target {target['name']} is in {target['unit']!r} "
                f"with basis {target['basis']!r}; only a quantity per mol "
                "can be given for another basis"
            )
    return PredictionRequest(None, basis or "")


def _law_of(description: dict[str, Any]) -> Law:
    """Return the law of a model, from the package or from the user's own module.

    Raises:
        PredictionError: no law of that name, or one with other variables.
    """
    name, n_outputs = description["head"]["law"], description["head"]["outputs"]
    try:
        law = get_law(str(name))
    except ValueError as error:
        raise PredictionError(f"model.json, field head.law: {error}") from error
    if len(law.variables) != n_outputs:
        raise PredictionError(
            f"model.json, field head.outputs: found {n_outputs}, but law {name!r} has "
            f"{len(law.variables)} variables"
        )
    return law


def _with_temperature(target: dict[str, Any]) -> str:
    at = target.get("temperature_k")
    return target["name"] if at is None else f"{target['name']} at {at:g} K"


def _is_molar(target: dict[str, Any]) -> bool:
    return target["basis"] in BASES and "mol" in target["unit"]


def chunk_size(description: dict[str, Any], request: PredictionRequest) -> int:
    """Return how many crystals `predict_properties` takes per call, a power of 2."""
    n_temperatures = 1 if request.temperature_k is None else len(request.temperature_k)
    fit = _PAIRS // (3 * description["members"] * n_temperatures)
    return 1 << max(fit.bit_length() - 1, 0)


def predict_properties(
    description: dict[str, Any],
    request: PredictionRequest,
    crystals: Sequence[Crystal],
    raw: Float[np.ndarray, "N M O"],
) -> list[PropertyValues]:
    """Turn the outputs of all members into properties.

    Args:
        description: of a property model.
        request: from `make_request`.
        crystals: N of them.
        raw: from `models.network.outputs_and_states`.
    """
    if description["head"]["kind"] == "physics":
        return _physics(description, request, crystals, raw)
    return [
        _regression(description, target, request.basis or target["basis"], crystals, y)
        for target, y in zip(
            description["targets"], np.moveaxis(raw.astype(float), 2, 0), strict=True
        )
    ]


def atoms_in_basis(basis: str, crystals: Sequence[Crystal]) -> Float[np.ndarray, " N"]:
    """Return the mol of atoms per mol, or per gram, of the basis."""
    return np.array(
        [
            atoms_per(
                basis,
                n_atoms=crystal.n_atoms,
                formula_atoms=crystal.formula_atoms,
                molar_mass_g=crystal.molar_mass_g if basis == "gram" else np.nan,
            )
            for crystal in crystals
        ],
        dtype=float,
    )


def _spread(values: Float[np.ndarray, "N M ..."]) -> Float[np.ndarray, "N ..."]:
    """Return the standard deviation over members; NaN where there is only one."""
    if values.shape[1] == 1:
        return np.full_like(values[:, 0], np.nan)
    return values.std(axis=1, ddof=1)


def _regression(
    description: dict, target: dict, basis: str, crystals: Sequence[Crystal], raw
) -> PropertyValues:
    values = raw * target["scale"] + target["mean"]
    if target.get("positive"):
        return _probability(description, target, values)
    unit = target["unit"]
    quantile = quantiles(description).get(target["name"], np.nan)
    if basis != target["basis"]:
        factor = atoms_in_basis(basis, crystals) / atoms_in_basis(
            target["basis"], crystals
        )
        values, quantile = values * factor[:, None], quantile * factor
        unit = unit.replace("mol", "g") if basis == "gram" else unit
    value = values.mean(axis=1)
    columns = (value, _spread(values), value - quantile, value + quantile)
    at = target.get("temperature_k")
    return PropertyValues(
        target.get("property") or target["name"],
        unit,
        basis or "",
        np.array([np.nan if at is None else at]),
        *(column[:, None] for column in columns),
        digits=5 if (target["mean"], target["scale"]) == (0, 1) else 15,
    )


def _probability(
    description: dict, target: dict, logits: Float[np.ndarray, "N M"]
) -> PropertyValues:
    """Return the probability of a class; it is its own interval."""
    calibration = description.get("calibration") or {}
    temperature = calibration.get("temperatures", {}).get(target["name"], 1.0)
    values = expit(logits / temperature)
    none = np.full(len(values), np.nan)
    columns = values.mean(axis=1), _spread(values), none, none
    return PropertyValues(
        target["property"],
        "",
        "",
        np.array([np.nan]),
        *(column[:, None] for column in columns),
    )


def _physics(
    description: dict, request: PredictionRequest, crystals: Sequence[Crystal], raw
) -> list[PropertyValues]:
    law, kelvin = _law_of(description), request.temperature_k
    widths = log_widths(description, crystals, kelvin)
    cold = log_widths(description, crystals, np.zeros(1))[CONSTANT]
    widths[CONSTANT] = np.broadcast_to(cold, widths[CONSTANT].shape)
    # Properties of one width share its two factors on theta.
    known = np.nan_to_num(np.stack([widths[name] for name in PROPERTIES]))
    distinct, width_of = np.unique(known, axis=0, return_inverse=True)
    logs = np.concatenate([np.zeros_like(distinct[:1]), -distinct, distinct])
    curves = _curves(law, _variables(law, raw), kelvin, np.exp(logs))
    made = []
    for name, i, values in zip(PROPERTIES, width_of, curves, strict=True):
        means = values.mean(axis=1)  # over members, [N, S, T]
        if name == "debye_temperature":
            means = _mean_theta(values, kelvin)
        within = means[:, [0, 1 + i, 1 + len(distinct) + i]]
        ends = within.min(axis=1), within.max(axis=1)
        lower, upper = (np.where(np.isnan(widths[name]), np.nan, e) for e in ends)
        columns = means[:, 0], _spread(values[:, :, 0]), lower, upper
        made.append(_in_basis(name, request, crystals, columns))
    return made


def _in_basis(
    name: str,
    request: PredictionRequest,
    crystals: Sequence[Crystal],
    per_atom: Sequence[Float[np.ndarray, "N T"]],
) -> PropertyValues:
    """Return a law's property in the unit and basis that are asked for.

    Args:
        name: of the property.
        request: with the basis.
        crystals: N of them.
        per_atom: value, spread, lower and upper per mol of atoms, in the law's unit.
    """
    if not is_extensive(name):
        return PropertyValues(name, UNITS[name], "", request.temperature_k, *per_atom)
    unit, factor = unit_of(name, request.basis), atoms_in_basis(request.basis, crystals)
    if unit in ("J/mol", "J/g"):
        unit, factor = f"k{unit}", factor / 1000
    kelvin, columns = request.temperature_k, [one * factor[:, None] for one in per_atom]
    if name == CONSTANT:
        kelvin, columns = np.array([np.nan]), [column[:, :1] for column in columns]
    return PropertyValues(name, unit, request.basis, kelvin, *columns)


def _mean_theta(
    theta: Float[np.ndarray, "N M S T"], temperature_k: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "N S T"]:
    """Return the Debye temperature that gives the mean heat capacity of the members.

    In its limits, C_v as T^3 and near 3 R, where C_v has no digits left to give theta,
    the mean does not change with T: there it is that of the nearest temperature inside.
    """
    middle = theta.mean(axis=1, keepdims=True)
    inside = np.clip(temperature_k, middle / 100, middle * 10)
    inside = np.broadcast_to(inside, theta.shape)
    (capacity,) = _in_blocks(_debye_capacity, theta, inside)
    (found,) = _in_blocks(_debye_theta, capacity.mean(axis=1), inside[:, 0])
    return found


def _variables(
    law: Law, raw: Float[np.ndarray, "N M O"]
) -> dict[str, Float[np.ndarray, "N M"]]:
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _constrain(law, raw.astype(np.float64)))


def _curves(
    law: Law,
    variables: dict[str, Float[np.ndarray, "N M"]],
    temperature_k: Float[np.ndarray, " T"],
    factors: Float[np.ndarray, "S N T"],
) -> list[Float[np.ndarray, "N M S T"]]:
    """Return every property per mol of atoms, with theta times each of S factors."""
    n, members = next(iter(variables.values())).shape
    shape = (n, members, len(factors), len(temperature_k))
    spread = {name: values[:, :, None, None] for name, values in variables.items()}
    factors = factors.transpose(1, 0, 2)[:, None]
    scaled = scale_temperatures(law, spread, factors)
    columns = (scaled[variable.name] for variable in law.variables)
    return _in_blocks(
        partial(_properties, law),
        *(np.broadcast_to(column, shape) for column in (temperature_k, *columns)),
    )


def _in_blocks(
    function: Callable[..., list[Array]], *arrays: Float[np.ndarray, "*n"]
) -> list[Float[np.ndarray, "*n"]]:
    """Return the results of an elementwise function, in double precision."""
    flat = [values.ravel() for values in arrays]
    n = flat[0].size
    results = []
    with jax.enable_x64(True):
        for start in range(0, max(n, 1), _BLOCK):
            part = slice(start, start + _BLOCK)
            results.append(function(*(_filled(values[part]) for values in flat)))
    joined = (np.concatenate(parts)[:n] for parts in zip(*results, strict=True))
    return [values.reshape(arrays[0].shape) for values in joined]


def _filled(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " B"]:
    """Repeat values to the length of a block."""
    return values if len(values) == _BLOCK else np.resize(values, _BLOCK)


@partial(jax.jit, static_argnames="law")
def _constrain(law: Law, raw: Float[Array, "N M O"]) -> dict[str, Float[Array, "N M"]]:
    return constrain(law, raw)


@partial(jax.jit, static_argnames="law")
def _properties(
    law: Law, temperature_k: Float[Array, " B"], *columns: Float[Array, " B"]
) -> list[Float[Array, " B"]]:
    names = (variable.name for variable in law.variables)
    variables = dict(zip(names, columns, strict=True))
    values = evaluate_all(law, variables, temperature_k)
    return [values[name] for name in PROPERTIES]


@jax.jit
def _debye_capacity(
    theta: Float[Array, " B"], temperature_k: Float[Array, " B"]
) -> list[Float[Array, " B"]]:
    return [debye.heat_capacity(theta, temperature_k)]


@jax.jit
def _debye_theta(
    capacity: Float[Array, " B"], temperature_k: Float[Array, " B"]
) -> list[Float[Array, " B"]]:
    return [debye.debye_temperature(capacity, temperature_k)]
