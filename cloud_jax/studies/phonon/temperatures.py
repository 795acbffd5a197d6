"""What the phonons of crystals say of models at other temperatures."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.datasets.phonon import Curves, PhononSource
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.studies.phonon.comparison import PhononRun, temperature_errors

PROPERTIES = ("heat_capacity", "internal_energy")
TEMPERATURES_K = (100.0, 300.0, 600.0)
LABELS_K = 300.0
CLOSE = 0.01  # a density that gives the label so well is whole


def other_temperatures(
    runs: Sequence[PhononRun],
    source: PhononSource,
    labels: Mapping[str, Mapping[str, float]],
) -> tuple[dict[str, dict], list[str]]:
    """Errors at 100, 300 and 600 K of models that learned at 300 K.

    Args:
        runs: with a law.
        source: of phonons.
        labels: {property: {id: J or J/K per mol of primitive cells at 300 K}}.

    Returns:
        Of each run what `at_other_temperatures` gives, and what cannot be had.
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
    """Errors of C_v and U at 100, 300 and 600 K, on crystals that were tested.

    Only those count whose density of states gives the label within 1 %: the others have
    modes above its end, 1000 cm^-1. MAD is from the mean of the other labelled crystals
    that are so; crystals without a label count nowhere. Beside the model stands the
    Debye law with the theta that makes each C_v at 300 K right: the best a Debye head
    without any error at 300 K could do.

    Args:
        model: with a physical law.
        curves: of phonons, at `TEMPERATURES_K`.
        cells: structure of each tested crystal, all with a label.
        name: of the property that the labels are of.
        labels: J or J/K per mol of primitive cells at 300 K, of all labelled crystals.

    Returns:
        `test_rows`, `measured_on`, and lists of errors `model` and `debye_law_at_best`
        (see `evaluation.phonon.temperature_errors`), which are empty where no density
        gives its label.
    """
    true = {
        (name, kelvin): getattr(curves, name)[:, i]
        for name in PROPERTIES
        for i, kelvin in enumerate(TEMPERATURES_K)
    }
    label = np.array([labels.get(key, np.nan) for key in curves.ids])
    whole = np.abs(true[name, LABELS_K] / label - 1) < CLOSE  # not without a label
    asked = np.isin(curves.ids, list(cells))
    known, train = asked & whole, ~asked & whole
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
    """C_v and U at three temperatures, per mol of primitive cells; NaN for rejects."""
    found = model.predict(
        list(structures), ids=list(ids), temperature_k=TEMPERATURES_K, basis="cell"
    )
    wide = found.pivot(
        index="id", columns=["property", "temperature_k"], values="value"
    ).reindex(ids)
    return {
        (name, kelvin): wide[name, kelvin].to_numpy()
        for name in PROPERTIES
        for kelvin in TEMPERATURES_K
    }


def _debye_at_best(
    heat_capacity: Float[np.ndarray, " N"], n_atoms: Float[np.ndarray, " N"]
) -> dict[tuple[str, float], Float[np.ndarray, " N"]]:
    """What the Debye law gives with the theta that makes C_v at 300 K right.

    Args:
        heat_capacity: at 300 K, per mol of cells.
        n_atoms: of the cells.
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
