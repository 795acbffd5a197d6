"""Errors of models at other temperatures than that of their labels, from phonons."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from cloud_jax.datasets.phonon import Curves, PhononSource
from cloud_jax.datasets.phonon_density import LABELS_K
from cloud_jax.evaluation.metrics import regression_metrics
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.studies.phonon.finished_runs import PhononRun

PROPERTIES = ("heat_capacity", "internal_energy")
TEMPERATURES_K = (100.0, 300.0, 600.0)
# A density of states that gives the label within this is complete.
TOLERANCE = 0.01


def other_temperatures(
    runs: Sequence[PhononRun],
    source: PhononSource,
    labels: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, dict], list[str]]:
    """Measure the errors at 100, 300 and 600 K of models that learned at 300 K.

    Args:
        runs: runs with a law.
        source: phonon densities of states.
        labels: {property: {id: J or J/K per mol of primitive cells at 300 K}}.

    Returns:
        {run: result of `at_other_temperatures`}, and a sentence per run that cannot be
        measured.
    """
    found, missing = {}, []
    if not runs:
        return found, missing
    curves = source.curves(TEMPERATURES_K)
    texts = dict(source.crystals(source.pieces()[0].path))
    for one in runs:
        if (n := len(one.results["folds"])) > 1:
            missing.append(
                f"{one.folder}: other temperatures: the ensemble of {n} folds has "
                "learned from every row; that of one fold (config.folds.only) has not"
            )
            continue
        known = labels[one.property]
        cells = {
            key: ast.literal_eval(texts[key]) for key in one.errors.ids if key in known
        }
        errors = at_other_temperatures(
            load(one.folder), curves, cells, one.property, known
        )
        found[f"{one.label}, {one.property}"] = errors
        if not errors["measured_on"]:
            missing.append(
                f"{one.folder}: other temperatures: the test rows have no label in "
                "the published ones, or one that no density of states gives"
            )
    return found, missing


def at_other_temperatures(
    model: Predictor,
    curves: Curves,
    cells: Mapping[str, Any],
    name: str,
    labels: Mapping[str, float],
) -> dict[str, Any]:
    """Measure the errors of C_v and U at 100, 300 and 600 K on the tested crystals.

    Only crystals count whose density of states gives the label within 1 %: the others
    have modes above its end, 1000 cm^-1. MAD is taken from the mean of the other such
    crystals; those without a label are left out. For comparison, the Debye law with
    the theta that reproduces each C_v at 300 K: the limit of a Debye head without any
    error at 300 K.

    Args:
        model: one with a physical law.
        curves: phonon curves at `TEMPERATURES_K`.
        cells: structure of each tested crystal, all with a label.
        name: property of the labels.
        labels: J or J/K per mol of primitive cells at 300 K, of all labelled crystals.

    Returns:
        `test_rows`, `measured_on`, and the lists of errors `model` and
        `debye_law_at_best` (see `temperature_errors`), which are empty where no
        density gives its label.
    """
    true = {
        (name, kelvin): getattr(curves, name)[:, i]
        for name in PROPERTIES
        for i, kelvin in enumerate(TEMPERATURES_K)
    }
    label = np.array([labels.get(key, np.nan) for key in curves.ids])
    complete = np.abs(true[name, LABELS_K] / label - 1) < TOLERANCE  # NaN is not
    asked = np.isin(curves.ids, list(cells))
    known, train = asked & complete, ~asked & complete
    found = {"test_rows": int(asked.sum()), "measured_on": int(known.sum())}
    if not known.any():
        return found | {"model": [], "debye_law_at_best": []}
    ids = [key for key, own in zip(curves.ids, known, strict=True) if own]
    predicted = _predict_cells(model, [cells[key] for key in ids], ids)
    finite = np.isfinite(np.stack(list(predicted.values()))).all(axis=0)
    known[known] = finite
    made = {key: np.full(len(known), np.nan) for key in true}
    for key, values in predicted.items():
        made[key][known] = values[finite]
    best = _debye_at_best(true["heat_capacity", LABELS_K], curves.n_atoms)
    return found | {
        "measured_on": int(known.sum()),
        "model": temperature_errors(true, made, train, known),
        "debye_law_at_best": temperature_errors(true, best, train, known),
    }


def _predict_cells(
    model: Predictor, structures: Sequence[Any], ids: Sequence[str]
) -> dict[tuple[str, float], Float[np.ndarray, " N"]]:
    """Predict C_v and U at `TEMPERATURES_K` per mol of primitive cells.

    Returns:
        {(property, kelvin): values}; NaN for rejected structures.
    """
    found = model.predict(
        list(structures), ids=list(ids), temperature_k=TEMPERATURES_K, basis="cell"
    )
    wide = (
        in_joules(found)
        .pivot(index="id", columns=["property", "temperature_k"], values="value")
        .reindex(ids)
    )
    return {
        (name, kelvin): wide[name, kelvin].to_numpy()
        for name in PROPERTIES
        for kelvin in TEMPERATURES_K
    }


def in_joules(frame: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with energies in J, as the labels are, instead of kJ."""
    columns = ["value", "spread", "lower", "upper"]
    factor = np.where(frame["unit"].str.startswith("kJ"), 1000.0, 1.0)
    return frame.assign(
        unit=frame["unit"].str.removeprefix("k"),
        **{name: frame[name] * factor for name in columns},
    )


def _debye_at_best(
    heat_capacity: Float[np.ndarray, " N"], n_atoms: Float[np.ndarray, " N"]
) -> dict[tuple[str, float], Float[np.ndarray, " N"]]:
    """Evaluate the Debye law with the theta that reproduces C_v at 300 K.

    Args:
        heat_capacity: at 300 K, per mol of cells.
        n_atoms: atoms per cell.

    Returns:
        {(property, kelvin): values} at `TEMPERATURES_K`.
    """
    import jax

    from cloud_jax.physics import debye

    with jax.enable_x64(True):
        low, high = np.full(len(n_atoms), 1.0), np.full(len(n_atoms), 1e4)
        for _ in range(40):  # C_v falls with theta
            theta = np.sqrt(low * high)
            found = debye.heat_capacity(theta, LABELS_K, n_atoms)
            above = np.asarray(found) > heat_capacity
            low, high = np.where(above, theta, low), np.where(above, high, theta)
        return {
            (name, kelvin): np.asarray(getattr(debye, name)(theta, kelvin, n_atoms))
            for name in PROPERTIES
            for kelvin in TEMPERATURES_K
        }


def temperature_errors(
    true: dict[tuple[str, float], Float[np.ndarray, " N"]],
    predicted: dict[tuple[str, float], Float[np.ndarray, " N"]],
    train: Bool[np.ndarray, " N"],
    test: Bool[np.ndarray, " N"],
) -> list[dict[str, Any]]:
    """Measure the errors of each property at each temperature.

    Args:
        true: {(property, kelvin): values of all crystals}.
        predicted: the same; NaN where nothing was predicted.
        train: crystals whose mean MAD is taken from.
        test: crystals to measure on.
    """
    return [
        {"property": name, "temperature_k": kelvin}
        | regression_metrics(
            predicted[name, kelvin][test],
            values[test],
            training_mean=values[train].mean(),
        )
        for (name, kelvin), values in true.items()
    ]
