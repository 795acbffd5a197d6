"""Finished runs on C_v and U, and their rows of Table 1 of the paper.

MAE/MAD is given for the ensemble of a fold and for its single members, with the mean
absolute deviation from both means (see `metrics.regression_metrics`).
"""

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from cloud_jax.datasets.phonon_density import LABELS_K
from cloud_jax.evaluation.results import kind_of, read_results, short_names
from cloud_jax.studies.phonon.errors import Errors, read_errors

# {property: its benchmark, a column of Table 1}, and the names of them in figures
BENCHMARKS = {"heat_capacity": "thermal_cv", "internal_energy": "thermal_u"}
QUANTITIES = {name: name.replace("_", " ") for name in BENCHMARKS}
_SHOWN = ("mae", "mae_over_mad_train_mean", "mae_over_mad_test_mean")


class PhononRun(NamedTuple):
    """A finished fine-tuning run on one of the two properties.

    Attributes:
        folder: of the run.
        label: law and start; with the folder's name where another run has the same.
        property: heat_capacity or internal_energy.
        target: name of the target with this property.
        law: law of the head, None for plain regression.
        results: content of results.json.
        errors: errors of the test rows.
    """

    folder: Path
    label: str
    property: str
    target: str
    law: str | None
    results: dict[str, Any]
    errors: Errors


def role(run: PhononRun, key: str | None, labelled: Collection[str]) -> str:
    """Return whether a run tested a crystal or learned from it.

    Args:
        run: the run of the model.
        key: id of the crystal, None where it is not in the published table.
        labelled: ids of the published table with labels.

    Returns:
        `test`, `learned from` or `not in the table`; empty where the run's rows are
        not from that table. Validation rows chose the epoch and count as learned from;
        so do all rows where several folds made one ensemble.
    """
    if not labelled or not set(run.errors.ids) <= set(labelled):
        return ""
    if key not in labelled:
        return "not in the table"
    alone = len(run.results["folds"]) == 1
    return "test" if alone and key in run.errors.ids else "learned from"


def read_runs(folders: Sequence[Path]) -> list[PhononRun]:
    """Read finished runs; a run with two targets is returned twice.

    Raises:
        ValueError: a run has neither target, is damaged, or is given twice.
        OSError: a run has not finished, or a file cannot be read.
    """
    full = Counter(folder.resolve() for folder in folders)
    for folder in folders:
        if full[folder.resolve()] > 1:
            raise ValueError(f"{folder}: found twice among the runs: give it once")
    runs = [run for folder in folders for run in _read_run(folder)]
    alike: dict[tuple[str, str], list[Path]] = {}
    for run in runs:
        alike.setdefault((run.property, run.label), []).append(run.folder)
    named = []
    for run in runs:
        same = alike[run.property, run.label]
        if len(same) > 1:
            label = f"{run.label} ({short_names(same)[run.folder]})"
            run = run._replace(label=label, errors=run.errors._replace(label=label))
        named.append(run)
    return named


def _is_published(target: dict[str, Any]) -> bool:
    """Return whether a target is C_v or U as published: at 300 K, of cells.

    A regression head may leave temperature and basis open.
    """
    return (
        target["property"] in BENCHMARKS
        and target.get("temperature_k") in (None, LABELS_K)
        and target.get("basis") in (None, "", "cell")
    )


def _read_run(folder: Path) -> list[PhononRun]:
    """Read a run, once per target that is the published C_v or U."""
    path = folder / "results.json"
    results = read_results(folder)
    try:
        if (kind := kind_of(results)) != "finetune":
            raise KeyError(f"kind {kind or 'unknown'}")
        law, start = results["law"], results["checkpoint"]
        properties = {t["name"]: t["property"] for t in results["targets"]}
        wanted = {
            t["name"]: t["property"] for t in results["targets"] if _is_published(t)
        }
        _ = results["protocol"], len(results["folds"])
        for part, name, what in product(("ensemble", "single"), wanted, _SHOWN):
            _ = results[part][name][what]["mean"], results[part][name][what]["std"]
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: {error!r}: not a result of cloud-jax finetune, or that of an "
            "older version: run it again"
        ) from error
    if not wanted:
        found = ", ".join(f"{k} ({v or 'no property'})" for k, v in properties.items())
        raise ValueError(
            f"{path}: targets: found {found}; expected one with the property "
            f"{' or '.join(BENCHMARKS)} (config.targets.properties), at "
            f"{LABELS_K:g} K, per mol of cells"
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
    """Return the row of a run in Table 1, with how it differs from the paper's."""
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
