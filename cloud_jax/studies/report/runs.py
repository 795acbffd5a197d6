"""One section per run: numbers, figures, settings, time, environment and hashes."""

import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields
from pathlib import PurePath
from typing import Any

from cloud_jax.config import flatten
from cloud_jax.studies import paper
from cloud_jax.studies.report.benchmarks import results_of
from cloud_jax.studies.report.gather import Run
from cloud_jax.studies.report.grids import Entry, Grid, Section, duration, format_number
from cloud_jax.studies.report.records import Number, Results, Spread, decode

_KINDS = {
    "finetune": "Fine-tuning", "pretrain": "Pretraining", "discovery": "Discovery",
    "phonon": "Phonon errors", "scaling": "Scaling", "attention": "Attention",
}  # fmt: skip
_METRICS = {
    "mae": "MAE", "rmse": "RMSE", "r2": "R2",
    "mae_over_mad_train_mean": "MAE/MAD, training mean",
    "mae_over_mad_test_mean": "MAE/MAD, test mean",
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
    if command := decode(list[str], environment.pop("command", None)):
        environment = {"command": as_typed(command), **environment}
    others = {key: run.raw[key] for key in run.raw if key not in _ELSEWHERE}
    known = defaults.get(run.kind) if run.config else None
    changed = differences(known, run.config) if known else []
    return Section(
        run.anchor,
        f"{_KINDS[run.kind]}: {run.name}",
        [note] if note else [],
        [_facts(run), *(_over_folds(run) if run.kind == "finetune" else [])],
        run.figures,
        [
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


def as_typed(command: list[str]) -> str:
    """Return a command line as a user types it.

    Args:
        command: its words as Python gives them, the path of a program first.
    """
    program, *words = command
    path = PurePath(program)
    if path.name == "cloud-jax" or path.parts[-2:] == ("cloud_jax", "__main__.py"):
        program = "cloud-jax"
    elif path.parent.name == "cloud_jax" and path.suffix == ".py":
        program, words = "cloud-jax", [path.stem.replace("_", "-"), *words]
    return shlex.join([program, *words])


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
        "rows used, rejected": _join([results.rows_used, results.rows_rejected]),
        "members per fold": format_number(results.members_a_fold),
        "parameters": _join(size),
        "validation MAE/MAD": format_number(results.validation_mae_over_mad),
        "validation loss": format_number(numbers.get("validation_loss")),
        "training time": duration(seconds),
        "devices": ", ".join(f"{n} x {name}" for name, n in devices.items()),
    }
    return _pairs("The run", {key: text for key, text in found.items() if text})


def _join(values: Iterable[Number]) -> str:
    return ", ".join(format_number(value) for value in values if value is not None)


def _over_folds(run: Run) -> list[Grid]:
    """Return the means over folds, then per target a grid with a row per fold."""
    parts = {"ensemble": run.results.ensemble, "single": run.results.single}
    means, grids = [], []
    for target in run.targets:
        for part, found in parts.items():
            if target.name in found:
                first = Entry(f"{target.name}, {part}", target.unit)
                spreads = (found[target.name].get(key, Spread()) for key in _METRICS)
                means.append([first, *spreads])
        rows = []
        for fold in run.results.folds:
            metrics = fold.ensemble.get(target.name, {})
            counts = fold.n_train, fold.n_validation, fold.n_test
            seen = fold.test_rows_with_a_training_sentence
            rows.append([fold.fold, *counts, seen, *map(metrics.get, _METRICS)])
        unit = f" ({target.unit})" if target.unit else ""
        head = [*_FOLD_HEAD, *_METRICS.values()]
        grids.append(Grid(f"Folds: {target.name}{unit}", head, rows))
    head = ["target", *_METRICS.values()]
    return [Grid("Test rows, mean over folds", head, means, [_SPREADS]), *grids]


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
            texts = ("-" if x in ("", None, []) else _plain(x) for x in (before, after))
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
        return ", ".join(map(_plain, value[:_MOST_ITEMS])) + more
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value, 6)
    return "none" if value is None else str(value)
