"""Outputs of an ensemble to properties, with spread and interval.

A value is the mean over the members of the property itself, so that identities
linear in the free energy (dU/dT = C_v, F = U - T S) hold for the means as well.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from cloud_jax.inference.crystals import Crystal
from cloud_jax.physics.basis import BASES, atoms_per, unit_of
from cloud_jax.physics.laws import (
    PROPERTIES,
    Law,
    constrain,
    evaluate_all,
    get_law,
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
        unit: of value, std, lower and upper.
        basis: the amount that values refer to; empty where there is none.
        temperature_k: [T]; a single NaN where the property has no temperature.
        value: mean over the members.
        std: standard deviation over the members; NaN where there is one member.
        lower: end of the interval, NaN where the model has none.
        upper: end of the interval.
        double: whether the numbers have more digits than float32, as a small number
            beside a large offset has.
    """

    property: str
    unit: str
    basis: str
    temperature_k: Float[np.ndarray, " T"]
    value: Float[np.ndarray, "N T"]
    std: Float[np.ndarray, "N T"]
    lower: Float[np.ndarray, "N T"]
    upper: Float[np.ndarray, "N T"]
    double: bool = False


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
        basis: one of `BASES`; by default that of the first target.

    Raises:
        PredictionError: not something that this model predicts.
    """
    if description["kind"] != "property":
        raise PredictionError(
            "this model is an encoder without a head: it gives embeddings only. "
            "Fine-tune it on labelled crystals, or use --embed"
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
            np.array(temperature_k, dtype=float), basis or targets[0]["basis"]
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
        raw: from `network.head_outputs`.
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
    unit = target["unit"]
    quantile = _quantiles(description).get(target["name"], np.nan)
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
        double=(target["mean"], target["scale"]) != (0, 1),
    )


def _quantiles(description: dict[str, Any]) -> dict[str, float]:
    calibration = (description.get("calibration") or {}).get("targets", {})
    return {name: entry["quantile"] for name, entry in calibration.items()}


def _physics(
    description: dict, request: PredictionRequest, crystals: Sequence[Crystal], raw
) -> list[PropertyValues]:
    law = _law_of(description)
    quantiles = _quantiles(description)
    widest = max(quantiles.values(), default=np.nan)
    own: dict[str, float] = {}  # per property, the widest quantile of its targets
    for target in description["targets"]:
        of_target = quantiles.get(target["name"], widest)
        name = target["property"]
        own[name] = max(own.get(name, of_target), of_target)
    # ln of the factors on theta: none, then down and up by each quantile
    shifts = np.array(
        [0.0, *(sign * q for q in quantiles.values() for sign in (-1, 1))]
    )
    variables = _variables(law, raw)
    made = [_estimate_variable(law, i, variables, widest) for i in range(raw.shape[2])]
    curves = _curves(law, variables, request.temperature_k, np.exp(shifts))
    n_atoms = atoms_in_basis(request.basis, crystals)[:, None]
    for name, values in zip(PROPERTIES, curves, strict=True):
        means = values.mean(axis=1)  # over members, [N, S, T]
        quantile = own.get(name, widest)
        within = means[:, np.isclose(np.abs(shifts), quantile) | (shifts == 0)]
        lower, upper = within.min(axis=1), within.max(axis=1)
        if np.isnan(quantile):
            lower = upper = np.full_like(lower, np.nan)
        columns = means[:, 0], _spread(values[:, :, 0]), lower, upper
        made.append(
            PropertyValues(
                name,
                unit_of(name, request.basis),
                request.basis,
                request.temperature_k,
                *(column * n_atoms for column in columns),
            )
        )
    return made


def _estimate_variable(
    law: Law, index: int, variables: dict[str, np.ndarray], quantile: float
) -> PropertyValues:
    name, unit, *_ = law.variables[index]
    values = variables[name]
    mean = values.mean(axis=1)
    if unit != "K":  # calibration scales temperatures alone
        quantile = np.nan
    ends = mean * np.exp(-quantile), mean * np.exp(quantile)
    columns = mean, _spread(values), *ends
    at = np.array([np.nan])
    return PropertyValues(name, unit, "", at, *(column[:, None] for column in columns))


def _variables(
    law: Law, raw: Float[np.ndarray, "N M O"]
) -> dict[str, Float[np.ndarray, "N M"]]:
    with jax.enable_x64(True):
        return jax.tree.map(np.asarray, _constrain(law, raw.astype(np.float64)))


def _curves(
    law: Law,
    variables: dict[str, Float[np.ndarray, "N M"]],
    temperature_k: Float[np.ndarray, " T"],
    factors: Float[np.ndarray, " S"],
) -> list[Float[np.ndarray, "N M S T"]]:
    """Return every property per mol of atoms, with theta times each of S factors."""
    shape = (*next(iter(variables.values())).shape, len(factors), len(temperature_k))
    spread = {name: values[:, :, None, None] for name, values in variables.items()}
    flat = {
        name: np.broadcast_to(values, shape).ravel()
        for name, values in scale_temperatures(law, spread, factors[:, None]).items()
    }
    temperatures = np.broadcast_to(temperature_k, shape).ravel()
    n = len(temperatures)
    results = []
    # In double precision, because U and F are differences of larger numbers.
    with jax.enable_x64(True):
        for start in range(0, n, _BLOCK):
            part = slice(start, start + _BLOCK)
            block = {name: _filled(values[part]) for name, values in flat.items()}
            results.append(_properties(law, block, _filled(temperatures[part])))
        joined = [np.concatenate(parts)[:n] for parts in zip(*results, strict=True)]
    return [values.reshape(shape) for values in joined]


def _filled(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " B"]:
    """Repeat values to the length of a block."""
    return values if len(values) == _BLOCK else np.resize(values, _BLOCK)


@partial(jax.jit, static_argnames="law")
def _constrain(law: Law, raw: Float[Array, "N M O"]) -> dict[str, Float[Array, "N M"]]:
    return constrain(law, raw)


@partial(jax.jit, static_argnames="law")
def _properties(
    law: Law,
    variables: dict[str, Float[Array, " B"]],
    temperature_k: Float[Array, " B"],
) -> list[Float[Array, " B"]]:
    values = evaluate_all(law, variables, temperature_k)
    return [values[name] for name in PROPERTIES]
