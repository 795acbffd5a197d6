"""Runs on C_v and U: Table 1 of the paper, and measured heat capacities.

MAE/MAD is that of a fold's ensemble and of its single members, by both means that a
mean absolute deviation may be taken from (see `metrics.regression_metrics`).
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from cloud_jax.evaluation.metrics import regression_metrics
from cloud_jax.evaluation.results import kind_of, read_results
from cloud_jax.studies.phonon.errors import Errors, read_errors

# Properties, their benchmarks (the columns of Table 1), and how figures call them.
BENCHMARKS = {"heat_capacity": "thermal_cv", "internal_energy": "thermal_u"}
QUANTITIES = {name: name.replace("_", " ") for name in BENCHMARKS}
COMPARED_K = 300.0  # above, expansion lets C_p leave C_v
# What a run's row in Table 1 says of each error.
_SHOWN = ("mae", "mae_over_mad_train_mean", "mae_over_mad_test_mean")


class PhononRun(NamedTuple):
    """A finished fine-tuning run on one of the two properties.

    Attributes:
        folder: of the run.
        label: law and start; with the folder's name where another run has the same.
        property: heat_capacity or internal_energy.
        target: its column.
        law: of the head, None of plain regression.
        results: the whole of its results.json.
        errors: of its test rows.
    """

    folder: Path
    label: str
    property: str
    target: str
    law: str | None
    results: dict[str, Any]
    errors: Errors


class Material(NamedTuple):
    """What is known of one crystal, per mol of formula units.

    Attributes:
        name: for the title.
        limit: of Dulong and Petit, 3NR.
        models: {label: `value`, `lower`, `upper` by temperature}.
        harmonic: C_v of phonons by temperature, or None.
        measured: (temperatures, C_p), or None.
        role: see `role`; empty where it is not known.
    """

    name: str
    limit: float
    models: dict[str, pd.DataFrame]
    harmonic: pd.Series | None = None
    measured: tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]] | None = None
    role: str = ""


def role(run: PhononRun, key: str | None, labelled: Collection[str]) -> str:
    """What a crystal was to a run: its answer is no surprise where it was learned.

    Args:
        run: of this model.
        key: id of the crystal, None where the published table has it not.
        labelled: ids of the published table with labels.

    Returns:
        `test`, `learned from` or `not in the table`; empty where the run's rows are
        not of that table. Rows of validation chose the epoch, and count as learned
        from; so do all where several folds made one ensemble.
    """
    if not labelled or not set(run.errors.ids) <= set(labelled):
        return ""
    if key not in labelled:
        return "not in the table"
    alone = len(run.results["folds"]) == 1
    return "test" if alone and key in run.errors.ids else "learned from"


def read_runs(folders: Sequence[Path]) -> list[PhononRun]:
    """Read finished runs; one of two targets counts as two.

    Raises:
        ValueError: one is not finished, has no such target, or is given twice.
        OSError: a file cannot be read.
    """
    full = Counter(folder.resolve() for folder in folders)
    for folder in folders:
        if full[folder.resolve()] > 1:
            raise ValueError(f"{folder}: found twice among the runs: give it once")
    runs = [run for folder in folders for run in _read_run(folder)]
    alike: dict[tuple[str, str], list[Path]] = {}
    for run in runs:
        alike.setdefault((run.property, run.label), []).append(run.folder.resolve())
    named = []
    for run in runs:
        same = alike[run.property, run.label]
        if len(same) > 1:  # told apart by the path below what they have in common
            common = os.path.commonpath([folder.parent for folder in same])
            below = run.folder.resolve().relative_to(common).as_posix()
            label = f"{run.label} ({below})"
            run = run._replace(label=label, errors=run.errors._replace(label=label))
        named.append(run)
    return named


def _read_run(folder: Path) -> list[PhononRun]:
    path = folder / "results.json"
    results = read_results(folder)
    try:
        if (kind := kind_of(results)) != "finetune":
            raise KeyError(f"kind {kind or 'unknown'}")
        law, start = results["law"], results["checkpoint"]
        properties = {t["name"]: t["property"] for t in results["targets"]}
        wanted = {name: kind for name, kind in properties.items() if kind in BENCHMARKS}
        _ = results["protocol"], len(results["folds"])
        for part, name, what in product(("ensemble", "single"), wanted, _SHOWN):
            _ = results[part][name][what]["mean"], results[part][name][what]["std"]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: {error!r}: it is no result of cloud_jax.finetune, or that of an "
            "older version: run it again"
        ) from error
    if not wanted:
        found = ", ".join(f"{k} ({v or 'no property'})" for k, v in properties.items())
        raise ValueError(
            f"{path}: targets: found {found}; expected one with the property "
            f"{' or '.join(BENCHMARKS)} (config.targets.properties)"
        )
    head = law.replace("_", "-").title() if law else "regression"
    label = f"{head}, {'pretrained' if start else 'scratch'}"
    errors = read_errors(folder / "predictions.csv", label)
    if missing := wanted.keys() - errors.keys():
        raise ValueError(f"{folder / 'predictions.csv'}: no rows of {min(missing)}")
    return [
        PhononRun(folder, label, kind, name, law, results, errors[name])
        for name, kind in wanted.items()
    ]


def table_row(run: PhononRun) -> dict[str, Any]:
    """What Table 1 says of a run, and how its row differs from the paper's."""
    results = run.results
    return {
        "run": str(run.folder),
        "label": run.label,
        "column": BENCHMARKS[run.property],
        "law": run.law,
        "start": "pretrained" if results["checkpoint"] else "scratch",
        "protocol": results["protocol"],
        "folds": len(results["folds"]),
        "members_a_fold": results.get("members_a_fold"),
        "test_rows": len(run.errors.ids),
        "unit_of_mae": run.errors.unit,
        "ensemble": {name: results["ensemble"][run.target][name] for name in _SHOWN},
        "single": {name: results["single"][run.target][name] for name in _SHOWN},
        "note": results.get("note", ""),
    }


def read_measured(
    path: Path, known: Collection[str]
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read measured heat capacities.

    Args:
        path: JSON, {"materials": {"MgO": {"T": [K], "Cp": [J/(mol K)]}, ...}}, per mol
            of formula units.
        known: names of the crystals that may be in it.

    Returns:
        {name: (temperatures, C_p)}, ascending.

    Raises:
        ValueError: it is no such file, or of an unknown crystal.
        OSError: it cannot be read.
    """
    try:
        materials = json.loads(path.read_text())["materials"]
        found = {
            name: (np.array(entry["T"], float), np.array(entry["Cp"], float))
            for name, entry in materials.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'{path}: found {error!r}; expected {{"materials": {{"MgO": {{"T": [K], '
            '"Cp": [J/(mol K)]}}}'
        ) from error
    if unknown := found.keys() - known:
        raise ValueError(
            f"{path}: materials: found {', '.join(sorted(unknown))}; known are the "
            f"crystals of {', '.join(known)}"
        )
    for name, (kelvin, cp) in found.items():
        if kelvin.ndim != 1 or kelvin.shape != cp.shape or (np.diff(kelvin) < 0).any():
            raise ValueError(
                f"{path}: {name}: found {kelvin.size} temperatures and {cp.size} heat "
                "capacities; expected as many of both, with rising temperatures"
            )
    return found


def compare_measured(
    cv: pd.DataFrame, kelvin: Float[np.ndarray, " M"], cp: Float[np.ndarray, " M"]
) -> dict[str, Any]:
    """Deviations of a model from measured points above 0 and up to 300 K.

    Measured is C_p, the model gives C_v. C_p - C_v = alpha^2 V B T, about 1 % of C_p at
    300 K in hard oxides and up to several per cent in soft salts, is not corrected: the
    model knows no expansion.

    Args:
        cv: `value`, `lower`, `upper` by temperature; holds those of the points.
        kelvin: of the points.
        cp: measured.

    Returns:
        Means are None where there is no such point.
    """
    cold = (kelvin > 0) & (kelvin <= COMPARED_K)
    model, points = cv.loc[kelvin[cold]], cp[cold]
    deviation = model["value"].to_numpy() / points - 1
    inside = (model["lower"] <= points) & (points <= model["upper"])

    def mean(values: np.ndarray) -> float | None:
        return float(values.mean()) if len(values) else None

    return {
        "temperature_k": kelvin[cold].tolist(),
        "cp_measured": points.tolist(),
        "cv_model": model["value"].tolist(),
        "mean_relative_deviation": mean(np.abs(deviation)),
        "mean_signed_relative_deviation": mean(deviation),
        "points_inside_the_interval": int(inside.sum()),
    }


def temperature_errors(
    true: dict[tuple[str, float], Float[np.ndarray, " N"]],
    predicted: dict[tuple[str, float], Float[np.ndarray, " N"]],
    train: Bool[np.ndarray, " N"],
    test: Bool[np.ndarray, " N"],
) -> list[dict[str, Any]]:
    """Errors of each property at each temperature.

    Args:
        true: {(property, kelvin): values of all crystals}.
        predicted: the same; NaN where not asked.
        train: crystals whose mean is that of a model that knows nothing.
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


def format_summary(found: dict[str, Any]) -> str:
    """What a person wants to see first: Table 1, ours and the paper's."""
    table, lines = found["table_1"], []
    for column in dict.fromkeys(row["column"] for row in table["ours"]):
        lines += [f"{column}, MAE/MAD", f"{'':44}ensemble{'single':>18}"]
        for row in table["ours"]:
            if row["column"] == column:
                how = f"{row['protocol']}, {row['folds']} fold"
                how += "s" * (row["folds"] > 1)
                numbers = (_number(row[who]) for who in ("ensemble", "single"))
                lines.append(
                    f"  {row['label'] + ' (' + how + ')':42}"
                    + "".join(f"{number:18}" for number in numbers)
                )
        for model, cells in table["paper"].items():
            if model.startswith("CLOUD"):
                lines.append(f"  {'paper: ' + model:42}{cells[column]['text']}")
    for label, materials in found.get("heat_capacities", {}).items():
        lines.append(f"{label}: C_v against measured C_p to 300 K")
        for name, row in materials.items():
            if row["temperature_k"]:
                lines.append(
                    f"  {name:8}{len(row['cv_model']):3} points, mean relative "
                    f"deviation {row['mean_relative_deviation']:6.1%}"
                    + (f", {row['role']}" if row["role"] else "")
                )
    for label, errors in found.get("other_temperatures", {}).items():
        lines.append(f"{label}: MAE/MAD on {errors['measured_on']} test rows")
        lines += [
            f"  {own['property']:16}{own['temperature_k']:5.0f} K "
            f"{own['mae_over_mad_train_mean']:8.4f}; Debye law at best "
            f"{best['mae_over_mad_train_mean']:.4f}"
            for own, best in zip(
                errors["model"], errors["debye_law_at_best"], strict=True
            )
        ]
    return "\n".join(lines)


def _number(errors: dict[str, dict]) -> str:
    """Mean and deviation of MAE/MAD by the mean of the training rows."""
    found = errors["mae_over_mad_train_mean"]
    if found["mean"] is None:
        return "none"
    spread = "" if found["std"] is None else f" ± {found['std']:.4f}"
    return f"{found['mean']:.4f}{spread}"
