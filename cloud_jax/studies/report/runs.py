"""One section per run: numbers, figures, settings, time, environment and hashes."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from cloud_jax.config import flatten
from cloud_jax.studies import paper
from cloud_jax.studies.report.benchmarks import results_of
from cloud_jax.studies.report.gather import Run
from cloud_jax.studies.report.grids import Entry, Grid, Section, duration, format_number
from cloud_jax.studies.report.records import Fold, Number, Results, Spread, decode

KINDS = {
    "finetune": "Fine-tuning", "pretrain": "Pretraining", "discovery": "Discovery",
    "phonon": "Phonon errors", "scaling": "Scaling", "attention": "Attention",
}  # fmt: skip
_METRICS = {
    "mae": "MAE", "rmse": "RMSE", "r2": "R2",
    "mae_over_mad_train_mean": "MAE/MAD, training mean",
    "mae_over_mad_test_mean": "MAE/MAD, test mean",
}  # fmt: skip
_CLASS_METRICS = {
    "roc_auc": "ROC-AUC", "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy", "log_loss": "log loss",
    "expected_calibration_error": "calibration error",
}  # fmt: skip
_FOLD_HEAD = (
    "fold",
    "train",
    "validation",
    "test",
    "test rows with a trained sentence",
)
_SPREADS = (
    "In brackets the deviation: of ensembles over folds, of single members over all "
    "members."
)
_MOST_ITEMS = 12  # of a list that is shown in full
# The rest of results.json is listed; of what is shown elsewhere, these in part only.
_ELSEWHERE = {field.name for field in fields(Results)} | {"kind", "figures"}
_ELSEWHERE |= {"curve", "training_seconds"}
_ELSEWHERE -= {"reference", "formation_energy", "verdict"}


def run_section(run: Run, defaults: dict[str, dict[str, Any]]) -> Section:
    """Return all that is known of a run.

    Args:
        run: of any kind.
        defaults: {kind of run: the defaults of its configuration}.
    """
    note, environment = run.results.note, dict(run.environment)
    hashes = decode(dict[str, Any], environment.pop("hashes", None))
    others = {key: run.raw[key] for key in run.raw if key not in _ELSEWHERE}
    known = defaults.get(run.kind) if run.config else None
    changed = differences(known, run.config) if known else []
    tuned = run.kind == "finetune"
    folds = _folds(run) if tuned else []
    beside, folded = (folds, []) if len(folds) == 1 else ([], folds)
    return Section(
        run.anchor,
        f"{KINDS[run.kind]}: {run.name}",
        [note] if note else [],
        [_facts(run), *(_means(run) if tuned else []), *beside],
        run.figures,
        [
            *folded,
            _pairs("Other entries of results.json", others),
            Grid(
                "Settings that are not the defaults",
                ("setting", "default", "this run"),
                changed,
            ),
            _pairs("Command and environment", environment),
            _pairs("SHA-256 of inputs", run.results.hashes or hashes),
        ],
    )


def _facts(run: Run) -> Grid:
    results, numbers = run.results, run.numbers
    tasks = [result.benchmark.title for result in results_of(run)]
    if not tasks and results.benchmark:
        known = paper.benchmarks().get(results.benchmark)
        tasks = [known.title if known else f"{results.benchmark} (not in the paper)"]
    tuned = run.kind == "finetune"
    data = decode(dict[str, str], run.config.get("data"))
    devices = Counter(decode(list[str], run.environment.get("devices")))
    seconds = numbers.get("training_seconds") or numbers.get("wall_seconds")
    origin = results.checkpoint or ("scratch" if tuned else "")
    size = [results.parameters_of_a_member, numbers.get("parameters")]
    found = {
        "task": ", ".join(tasks),
        "table": results.table or data.get("table"),
        "starts from" if tuned else "checkpoint": origin,
        "which has learned from": results.checkpoint_learned,
        "protocol": results.protocol,
        "dialect": results.dialect or data.get("dialect"),
        "physical law": results.law,
        **(_split(results.folds[0]) if tuned and len(results.folds) == 1 else {}),
        "rows used, rejected": _join([results.rows_used, results.rows_rejected]),
        "members per fold": format_number(results.members_a_fold),
        "parameters": _join(size),
        "validation MAE/MAD": format_number(results.validation_mae_over_mad),
        "validation loss": format_number(numbers.get("validation_loss")),
        "training time": duration(seconds),
        "devices": ", ".join(f"{n} x {name}" for name, n in devices.items()),
    }
    return _pairs("The run", {key: text for key, text in found.items() if text})


def _split(fold: Fold) -> dict[str, str]:
    """Return the rows of the one fold of a run; without several it has no grid."""
    train, validation, test, seen = map(format_number, _counts(fold))
    more = f"; {seen} of them with a trained sentence" if seen else ""
    return {"rows: train, validation, test": f"{train}, {validation}, {test}{more}"}


def _join(values: Iterable[Number]) -> str:
    return ", ".join(format_number(value) for value in values if value is not None)


def _metrics_of(run: Run, target: str) -> dict[str, str]:
    """Return the metrics of numbers or of classes, by key, with their heads."""
    is_class = "roc_auc" in run.results.ensemble.get(target, {})
    return _CLASS_METRICS if is_class else _METRICS


def _means(run: Run) -> list[Grid]:
    """Return the means over folds, of numbers and of classes."""
    used = [_metrics_of(run, target.name) for target in run.targets]
    kinds = [m for m in (_METRICS, _CLASS_METRICS) if m in used] or [_METRICS]
    return [_means_of(run, metrics) for metrics in kinds]


def _means_of(run: Run, metrics: dict[str, str]) -> Grid:
    """Return means of ensembles and, where they differ, of members and baselines."""
    results = run.results
    parts = {"ensemble": results.ensemble, "single": results.single}
    parts |= results.baselines
    several = any(len(fold.members) > 1 for fold in run.results.folds)
    rows = []
    for target in run.targets:
        if _metrics_of(run, target.name) is not metrics:
            continue
        for part, found in parts.items():
            if target.name in found and (several or part != "single"):
                named = several or results.baselines
                name = f"{target.name}, {part}" if named else target.name
                spreads = (found[target.name].get(key, Spread()) for key in metrics)
                rows.append([Entry(name, target.unit), *spreads])
    head = ["target", *metrics.values()]
    folds = len(run.results.folds)
    caption = "Test rows" if folds == 1 else "Test rows, mean over folds"
    return Grid(caption, head, rows, [_SPREADS] if several or folds > 1 else [])


def _folds(run: Run) -> list[Grid]:
    """Return a grid with a row per fold for each target; none of a single fold."""
    grids = []
    for target in run.targets if len(run.results.folds) > 1 else ():
        metrics, rows = _metrics_of(run, target.name), []
        for fold in run.results.folds:
            found = fold.ensemble.get(target.name, {})
            rows.append([fold.fold, *_counts(fold), *map(found.get, metrics)])
        unit = f" ({target.unit})" if target.unit else ""
        head = [*_FOLD_HEAD, *metrics.values()]
        grids.append(Grid(f"Folds: {target.name}{unit}", head, rows))
    return grids


def _counts(fold: Fold) -> list[Number]:
    seen = fold.test_rows_with_a_training_sentence
    return [fold.n_train, fold.n_validation, fold.n_test, seen]


def differences(
    default: dict[str, Any], actual: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """Return (key, default, actual) of each setting that is not the default."""
    old, new = flatten(default), flatten(actual)
    lines = []
    for key in old | new:
        before, after = old.get(key), new.get(key)
        before = list(before) if isinstance(before, tuple) else before  # as in JSON
        if before != after and not {"workdir", "hashes"} & {*key.split(".")}:
            texts = ["-" if x in ("", None, []) else _plain(x) for x in (before, after)]
            if texts[0] != texts[1]:
                lines.append((key, *texts))
    return lines


def _pairs(caption: str, found: dict[str, Any]) -> Grid:
    """Return a grid of the names and values below a JSON object."""
    rows = [(key, _plain(value)) for key, value in flatten(found).items()]
    return Grid(caption, ("name", "value"), rows)


def _plain(value: Any) -> str:
    """Return a JSON value as text; count what would be too long."""
    if isinstance(value, list):
        if any(isinstance(item, dict | list) for item in value):
            return f"{len(value):,} entries"
        more = f" ... ({len(value):,})" if len(value) > _MOST_ITEMS else ""
        return ", ".join(_plain(item) or "-" for item in value[:_MOST_ITEMS]) + more
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else "not finite"
    return "none" if value is None else str(value)
