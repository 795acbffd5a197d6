"""One section per run: numbers, figures, settings, time, environment and hashes."""

import shlex
from dataclasses import fields
from pathlib import PurePath
from typing import Any

from cloud_jax.config import flatten as flat_settings
from cloud_jax.studies import paper
from cloud_jax.studies.report.benchmarks import results_of
from cloud_jax.studies.report.gather import Run
from cloud_jax.studies.report.grids import (
    Entry,
    Grid,
    Section,
    duration,
    flatten,
    format_number,
    pairs,
    plain,
)
from cloud_jax.studies.report.records import Results, Spread, decode

_KINDS = {
    "finetune": "Fine-tuning",
    "pretrain": "Pretraining",
    "discovery": "Discovery",
    "phonon": "Phonon errors",
    "scaling": "Scaling",
    "attention": "Attention",
}
_METRICS = {
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R2",
    "mae_over_mad_train_mean": "MAE/MAD, training mean",
    "mae_over_mad_test_mean": "MAE/MAD, test mean",
}
_FOLD_HEAD = (
    "fold",
    "train",
    "validation",
    "test",
    "test rows with a trained sentence",
)
# The rest of results.json is listed; of what is shown elsewhere, these in part only.
_ELSEWHERE = {field.name for field in fields(Results)} | {"kind", "curve"}
_ELSEWHERE -= {"reference", "formation_energy", "verdict"}


def run_section(run: Run, defaults: dict[str, dict[str, Any]]) -> Section:
    """Return all that is known of a run.

    Args:
        run: of any kind.
        defaults: {kind of run: the defaults of its configuration}.
    """
    note = run.results.note
    tuned = [_over_folds(run), *_folds(run)] if run.kind == "finetune" else []
    others = {key: run.raw[key] for key in run.raw if key not in _ELSEWHERE}
    changed = []
    if run.config and run.kind in defaults:
        changed = differences(defaults[run.kind], run.config)
    head = ("setting", "default", "this run")
    environment = {k: v for k, v in run.environment.items() if k != "hashes"}
    command = decode(list[str], environment.pop("command", None))
    if command:
        environment = {"command": as_typed(command), **environment}
    hashes = run.results.hashes or run.environment.get("hashes") or {}
    folded = [
        pairs("Other entries of results.json", flatten(others)),
        Grid("Settings that are not the defaults", head, changed),
        pairs("Command and environment", flatten(environment)),
        pairs("SHA-256 of inputs", flatten(hashes)),
    ]
    return Section(
        run.anchor,
        f"{_KINDS[run.kind]}: {run.name}",
        [note] if note else [],
        [_facts(run), *tuned],
        run.figures,
        folded,
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
    known = paper.benchmarks().get(results.benchmark)
    tasks = [result.benchmark.title for result in results_of(run)]
    if not tasks and results.benchmark:
        other = f"{results.benchmark} (not in the paper)"
        tasks = [known.title if known else other]
    tuned = run.kind == "finetune"
    data = decode(dict[str, str], run.config.get("data"))
    devices = decode(list[str], run.environment.get("devices"))
    counts = [f"{devices.count(name)} x {name}" for name in dict.fromkeys(devices)]
    seconds = numbers.get("training_seconds") or numbers.get("wall_seconds")
    size = results.parameters_of_a_member, numbers.get("parameters")
    found = {
        "task": ", ".join(tasks),
        "table": results.table or data.get("table"),
        "starts from" if tuned else "checkpoint": results.checkpoint
        or ("scratch" if tuned else ""),
        "protocol": results.protocol,
        "dialect": results.dialect or data.get("dialect"),
        "physical law": results.law,
        "rows used, rejected": _join(results.rows_used, results.rows_rejected),
        "members per fold": format_number(results.members_a_fold),
        "parameters": _join(*size),
        "validation MAE/MAD": format_number(results.validation_mae_over_mad),
        "validation loss": format_number(numbers.get("validation_loss")),
        "training time": duration(seconds),
        "devices": ", ".join(counts),
    }
    return pairs("The run", ((key, text) for key, text in found.items() if text))


def _join(*values: float | None) -> str:
    return ", ".join(format_number(value) for value in values if value is not None)


def _over_folds(run: Run) -> Grid:
    """Return means over folds, of ensembles and of single members."""
    parts = {"ensemble": run.results.ensemble, "single": run.results.single}
    rows = [
        [
            Entry(f"{target.name}, {part}", target.unit),
            *(found[target.name].get(key, Spread()) for key in _METRICS),
        ]
        for target in run.targets
        for part, found in parts.items()
        if target.name in found
    ]
    notes = (
        "In brackets the deviation: of ensembles over folds, of single members over "
        "all members.",
    )
    head = ["target", *_METRICS.values()]
    return Grid("Test rows, mean over folds", head, rows, notes)


def _folds(run: Run) -> list[Grid]:
    """Return a grid per target with a row per fold."""
    grids = []
    for target in run.targets:
        rows = []
        for fold in run.results.folds:
            metrics = fold.ensemble.get(target.name, {})
            counts = fold.n_train, fold.n_validation, fold.n_test
            seen = fold.test_rows_with_a_training_sentence
            rows.append([fold.fold, *counts, seen, *map(metrics.get, _METRICS)])
        unit = f" ({target.unit})" if target.unit else ""
        head = [*_FOLD_HEAD, *_METRICS.values()]
        grids.append(Grid(f"Folds: {target.name}{unit}", head, rows))
    return grids


def differences(
    default: dict[str, Any], actual: dict[str, Any]
) -> list[tuple[str, str, str]]:
    """Return (key, default, actual) of each setting that is not the default."""
    old, new = flat_settings(default), flat_settings(actual)
    lines = []
    for key in old | new:
        before, after = old.get(key), new.get(key)
        before = list(before) if isinstance(before, tuple) else before  # as in JSON
        if before != after and not {"workdir", "hashes"} & {*key.split(".")}:
            lines.append((key, _shown(before), _shown(after)))
    return lines


def _shown(value: Any) -> str:
    return "-" if value in ("", None, []) else plain(value)
