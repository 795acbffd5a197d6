"""One section a run: its numbers, figures, settings, time, environment and hashes."""

from collections.abc import Sequence
from typing import Any

from cloud_jax.studies import paper
from cloud_jax.studies.report.benchmarks import results_of, targets_of
from cloud_jax.studies.report.gather import Run, dig, many, number
from cloud_jax.studies.report.grids import (
    Entry,
    Grid,
    Section,
    duration,
    figure_of,
    flatten,
    measured,
    pairs,
    plain,
)

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
# Shown elsewhere in a section, or of no interest to a reader.
_ELSEWHERE = {"kind", "figures", "hashes", "note", "ensemble", "single", "folds"}
_ELSEWHERE |= {"table", "members_a_fold", "protocol", "dialect", "checkpoint", "law"}
_ELSEWHERE |= {"rows_used", "rows_rejected", "parameters_of_a_member"}
_ELSEWHERE |= {"validation_mae_over_mad", "training_seconds"}
_ELSEWHERE |= {"targets", "benchmark", "absent", "missing"}
_ELSEWHERE |= {"optima", "intervals", "warnings", "measured"}
_ELSEWHERE |= {"stability", "thresholds", "curve"}  # of discovery
_ELSEWHERE |= {"table_1", "errors", "heat_capacities", "other_temperatures"}  # phonon


def run_section(run: Run, anchor: str, defaults: dict[str, dict[str, Any]]) -> Section:
    """All that is known of a run.

    Args:
        run: of any kind.
        anchor: of the section.
        defaults: of each kind of run that has a configuration, its defaults.
    """
    note = str(dig(run.results, "note") or "")
    grids = [_facts(run)]
    if run.kind == "finetune":
        grids += [_over_folds(run), *_folds(run)]
    numbers = {k: v for k, v in run.results.items() if k not in _ELSEWHERE}
    folded = [pairs("Other entries of results.json", flatten(numbers))]
    if run.config and run.kind in defaults:
        changed = differences(defaults[run.kind], run.config)
        folded.append(_settings(changed))
    folded += _environment(run)
    return Section(
        anchor,
        f"{_KINDS[run.kind]}: {run.name}",
        [note] if note else [],
        [grid for grid in grids if grid.rows],
        run.figures,
        [grid for grid in folded if grid.rows],
    )


def _facts(run: Run) -> Grid:
    results = run.results
    benchmark = str(dig(results, "benchmark") or "")
    titles = [r.benchmark.title for r in results_of(run)]
    if not titles and benchmark:
        known = paper.benchmarks().get(benchmark)
        titles = [known.title if known else f"{benchmark} (none of the paper's)"]
    seconds = number(run.timing, "training_seconds") or number(
        results, "training_seconds"
    )
    checkpoint = dig(results, "checkpoint")
    tuned = run.kind == "finetune"
    devices = list(map(str, many(run.environment, "devices")))
    found = {
        "task": ", ".join(titles),
        "table": dig(results, "table") or dig(run.config, "data", "table"),
        "starts from" if tuned else "checkpoint": checkpoint or ("scratch" * tuned),
        "protocol": dig(results, "protocol"),
        "dialect": dig(results, "dialect") or dig(run.config, "data", "dialect"),
        "physical law": dig(results, "law"),
        "rows used, rejected": _join(results, "rows_used", "rows_rejected"),
        "members a fold": dig(results, "members_a_fold"),
        "parameters": _join(results, "parameters_of_a_member", "parameters"),
        "validation MAE/MAD": measured(number(results, "validation_mae_over_mad")),
        "validation loss": measured(number(results, "validation_loss")),
        "training time": duration(seconds or number(results, "wall_seconds")),
        "devices": ", ".join(
            f"{devices.count(d)} x {d}" for d in dict.fromkeys(devices)
        ),
    }
    return pairs("The run", [(k, plain(v)) for k, v in found.items() if v])


def _join(results: dict[str, Any], *keys: str) -> str:
    values = [number(results, key) for key in keys]
    return ", ".join(figure_of(value) for value in values if value is not None)


def _over_folds(run: Run) -> Grid:
    """Means over folds, of ensembles and of single members."""
    rows = []
    for target in targets_of(run):
        for what in ("ensemble", "single"):
            found = dig(run.results, what, target["name"])
            if found is None:
                continue
            name = f"{target['name']}, {what}"
            numbers = [
                measured(number(found, key, "mean"), number(found, key, "std"))
                for key in _METRICS
            ]
            entries = [Entry(text or "-", numeric=True) for text in numbers]
            rows.append([Entry(name, str(target.get("unit") or "")), *entries])
    notes = (
        "In brackets the deviation: of ensembles over folds, of single members over "
        "all members.",
    )
    return Grid(
        "Test rows, mean over folds", ["target", *_METRICS.values()], rows, notes
    )


def _folds(run: Run) -> list[Grid]:
    """A grid a target, a row a fold."""
    grids = []
    for target in targets_of(run):
        name, unit = target["name"], target.get("unit")
        rows = []
        for fold in many(run.results, "folds"):
            counts = ("n_train", "n_validation", "n_test")
            counts += ("test_rows_with_a_training_sentence",)
            entries = [
                Entry(figure_of(number(fold, key)), numeric=True) for key in counts
            ]
            metrics = dig(fold, "ensemble", name)
            entries += [
                Entry(figure_of(number(metrics, key)) or "-", numeric=True)
                for key in _METRICS
            ]
            rows.append([Entry(str(dig(fold, "fold"))), *entries])
        head = [
            "fold",
            "train",
            "validation",
            "test",
            "test rows with a trained sentence",
        ]
        head += _METRICS.values()
        of_unit = f" ({unit})" if unit else ""
        grids.append(Grid(f"Folds: {name}{of_unit}", head, rows))
    return grids


def differences(
    default: Any, actual: Any, name: str = ""
) -> list[tuple[str, str, str]]:
    """(key, default, actual) of each setting of a run that is not the default."""
    if isinstance(default, dict) and isinstance(actual, dict):
        keys = [*default, *(key for key in actual if key not in default)]
        return [
            line
            for key in keys
            if key not in ("workdir", "hashes")
            for line in differences(
                default.get(key), actual.get(key), f"{name}.{key}" if name else key
            )
        ]
    default = list(default) if isinstance(default, tuple) else default  # as in JSON
    return [] if default == actual else [(name, _shown(default), _shown(actual))]


def _shown(value: Any) -> str:
    if value in ("", None, []):
        return "-"
    return ", ".join(map(plain, value)) if isinstance(value, list) else plain(value)


def _settings(changed: Sequence[tuple[str, str, str]]) -> Grid:
    rows = [[Entry(text) for text in line] for line in changed]
    head = ("setting", "default", "this run")
    return Grid("Settings that are not the defaults", head, rows)


def _environment(run: Run) -> list[Grid]:
    environment = {k: v for k, v in run.environment.items() if k != "hashes"}
    command = environment.pop("command", None)
    if isinstance(command, list):
        environment = {"command": " ".join(map(str, command)), **environment}
    hashes = dig(run.results, "hashes") or dig(run.environment, "hashes") or {}
    return [
        pairs("Command and environment", flatten(environment)),
        pairs("SHA-256 of inputs", flatten(hashes)),
    ]
