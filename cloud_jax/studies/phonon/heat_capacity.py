"""C_v(T) of models beside measured C_p and beside phonons: figure 5 of the paper."""

import ast
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.constants import gas_constant

from cloud_jax.datasets.phonon import PhononSource
from cloud_jax.datasets.thermal import reduced_formula
from cloud_jax.evaluation.coverage import inside
from cloud_jax.evaluation.measured import measured_heat_capacities
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.scope.pipeline import Options, Record
from cloud_jax.structures.species import ELEMENTS
from cloud_jax.studies.phonon.finished_runs import PhononRun, role
from cloud_jax.studies.phonon.known_crystals import (
    KNOWN,
    formula_atoms,
    known_structure,
)

COMPARED_K = 300.0  # above, C_p exceeds C_v by thermal expansion


class Material(NamedTuple):
    """One panel of the figure: heat capacities per mol of formula units.

    Attributes:
        name: title of the panel.
        limit: Dulong and Petit's limit, 3NR.
        models: {label: `value`, `lower`, `upper` by temperature}.
        measured: (temperatures, C_p).
        harmonic: C_v from phonons by temperature, or None.
        role: see `finished_runs.role`; empty where it is not known.
    """

    name: str
    limit: float
    models: dict[str, pd.DataFrame]
    measured: tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]]
    harmonic: pd.Series | None = None
    role: str = ""


def measured_points() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (temperatures, C_p) of the known crystals, from the package's table.

    They are per mol of formula units, ascending, and of the solid.
    """
    table = measured_heat_capacities()
    return {name: (table[name].temperature_k, table[name].cp) for name in KNOWN}


def compare_measured(
    cv: pd.DataFrame, kelvin: Float[np.ndarray, " M"], cp: Float[np.ndarray, " M"]
) -> dict[str, Any]:
    """Compute the deviations of a model from measured points above 0 and up to 300 K.

    Measured is C_p, the model gives C_v. C_p - C_v = alpha^2 V B T, about 1 % of C_p at
    300 K in hard oxides and up to several per cent in soft salts, is not corrected: the
    model has no thermal expansion.

    Args:
        cv: `value`, `lower`, `upper` by temperature, at least at those of the points.
        kelvin: temperatures of the points.
        cp: measured there.

    Returns:
        The points and their deviations; means are None where there is no such point.
    """
    cold = (kelvin > 0) & (kelvin <= COMPARED_K)
    model, points = cv.loc[kelvin[cold]], cp[cold]
    deviation = model["value"].to_numpy() / points - 1
    held = inside(model["lower"], points, model["upper"])

    def mean(values: np.ndarray) -> float | None:
        return float(values.mean()) if len(values) else None

    return {
        "temperature_k": kelvin[cold].tolist(),
        "cp_measured": points.tolist(),
        "cv_model": model["value"].tolist(),
        "mean_relative_deviation": mean(np.abs(deviation)),
        "mean_signed_relative_deviation": mean(deviation),
        "points_inside_the_interval": int(held.sum()),
    }


def heat_capacity_curves(
    model: Predictor, names: Sequence[str], kelvin: Iterable[float]
) -> dict[str, pd.DataFrame]:
    """Predict C_v of known crystals, J/(mol K) per mol of formula units.

    Args:
        model: one with a physical law.
        names: names of the crystals.
        kelvin: temperatures.

    Returns:
        {name: `value`, `lower`, `upper` and `notes` by temperature}.

    Raises:
        PredictionError: the model has no law.
    """
    found = model.predict(
        [known_structure(name) for name in names],
        ids=list(names),
        temperature_k=np.unique(np.fromiter(kelvin, float)),
        basis="formula",
    )
    found = found[found["property"] == "heat_capacity"].set_index("id")
    columns = ["value", "lower", "upper", "notes"]
    return {name: found.loc[name].set_index("temperature_k")[columns] for name in names}


def harmonic_curves(
    source: PhononSource, names: Sequence[str], kelvin: Float[np.ndarray, " T"]
) -> dict[str, tuple[str, pd.Series]]:
    """Compute C_v from the phonons of known crystals.

    A known crystal is the one in the file with the same canonical sentence.

    Args:
        source: phonon densities of states.
        names: names of the crystals.
        kelvin: temperatures above 0.

    Returns:
        {name: (id, values by temperature)} of the crystals that are in the file;
        J/(mol K) per mol of formula units.

    Raises:
        SourceError: the file is missing or damaged.
    """
    wanted = {_canonical_sentence(known_structure(name), name): name for name in names}
    formulas = {
        reduced_formula(site.specie.symbol for site in known_structure(name))
        for name in names
    }
    ids = {}
    for key, text in source.crystals(source.pieces()[0].path):
        symbols = (ELEMENTS[z - 1] for z in ast.literal_eval(text)["numbers"])
        if reduced_formula(symbols) in formulas:
            name = wanted.get(_canonical_sentence(text + "\n", key))
            ids |= {key: name} if name else {}
    curves = source.curves(kelvin)
    found = {}
    for row, key in enumerate(curves.ids):
        if name := ids.get(key):
            units = curves.n_atoms[row] / formula_atoms(name)
            found[name] = key, pd.Series(curves.heat_capacity[row] / units, kelvin)
    return found


def _canonical_sentence(structure: Any, name: str) -> str | None:
    (found,) = parse(object_items([structure], [name]), Options(), workers=1)
    return found.canonical if isinstance(found, Record) else None


def compare_heat_capacities(
    runs: Sequence[PhononRun],
    source: PhononSource | None,
    labelled: Collection[str],
) -> tuple[dict[str, Any], list[Material]]:
    """Compare C_v(T) of models with measurement and with phonons.

    Args:
        runs: runs with a law.
        source: phonon densities of states, or None.
        labelled: ids of its crystals with labels.

    Returns:
        `heat_capacities` and `phonons_of` for results.json; and what to draw: the
        known crystals, up to the melting point.
    """
    grids = {
        name: np.linspace(0, crystal.melting_k, 121) for name, crystal in KNOWN.items()
    }
    points = measured_points()
    asked = np.concatenate([*grids.values(), *(own for own, _ in points.values())])
    models = {
        one.label: heat_capacity_curves(load(one.folder), list(grids), asked)
        for one in runs
    }
    warm = np.unique(np.concatenate([grid[1:] for grid in grids.values()]))
    harmonic = harmonic_curves(source, list(grids), warm) if source else {}
    ids = {name: key for name, (key, _) in harmonic.items()}
    roles = {
        one.label: {name: role(one, ids.get(name), labelled) for name in grids}
        for one in runs
    }
    found = {
        label: {
            name: compare_measured(curves[name], *points[name])
            | {"notes": curves[name]["notes"].iloc[0], "role": roles[label][name]}
            for name in points
        }
        for label, curves in models.items()
    }
    materials = [
        Material(
            name,
            3 * formula_atoms(name) * gas_constant,
            {label: curves[name].loc[grid] for label, curves in models.items()},
            points[name],
            harmonic[name][1].loc[grid[1:]] if name in harmonic else None,
            " or ".join(dict.fromkeys(own[name] for own in roles.values())),
        )
        for name, grid in grids.items()
    ]
    return {"heat_capacities": found, "phonons_of": ids}, materials
