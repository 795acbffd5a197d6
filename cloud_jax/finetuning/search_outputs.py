"""The files of a search: trials.csv after each trial, best.json and a figure last."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from cloud_jax.files import atomic_open, write_json
from cloud_jax.finetuning.search import answered, folder_name
from cloud_jax.finetuning.space import Space, argument

COLUMNS = ("seconds", "folder", "error")


class NoTrialFinishedError(Exception):
    """Every trial failed."""


def report(study: optuna.Study, folder: Path, space: Space, n_trials: int) -> None:
    """Write trials.csv and print how the last trial ended.

    Args:
        study: with one trial at least.
        folder: of the search.
        space: keys that vary, one column each.
        n_trials: that are to have an answer.
    """
    trials = answered(study)
    with atomic_open(folder / "trials.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["trial", measure(study)[0], *space, *COLUMNS])
        for trial in trials:
            seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
            writer.writerow(
                [trial.number, trial.value]
                + [trial.params[key] for key in space]
                + [f"{seconds:.1f}", f"trials/{folder_name(trial)}"]
                + [trial.user_attrs.get("error")]
            )
    last = trials[-1]
    outcome = last.user_attrs.get("error") or f"{measure(study)[1]} {last.value:.4f}"
    print(f"trial {last.number} ({len(trials)} of {n_trials}): {outcome}", flush=True)


def measure(study: optuna.Study) -> tuple[str, str]:
    """Return the name of what a search lowers, in files and for people."""
    # Absent from studies of an earlier version, which had no classes.
    if any(study.user_attrs["identity"].get("targets.positives", ())):
        return "validation_loss_over_baseline", "validation loss / baseline's"
    return "validation_mae_over_mad", "validation MAE/MAD"


def conclude(
    study: optuna.Study, folder: Path, space: Space, overrides: Sequence[str]
) -> dict[str, Any]:
    """Write best.json and search.png; return the content of best.json.

    Args:
        study: with all its trials.
        folder: of the search.
        space: keys that varied.
        overrides: `--config.KEY=VALUE` arguments of the search.

    Raises:
        NoTrialFinishedError: with the error of the last trial.
    """
    from cloud_jax.evaluation.figures import search_plot

    trials = answered(study)
    finished = [trial for trial in trials if trial.value is not None]
    if not finished:
        raise NoTrialFinishedError(
            f"none of {len(trials)} trials finished, the last one: "
            f"{trials[-1].user_attrs['error']}"
        )
    best = study.best_trial
    found = {
        measure(study)[0]: best.value,
        "trial": best.number,
        "parameters": {key: best.params[key] for key in space},
        "arguments": [*overrides, *(argument(key, best.params[key]) for key in space)],
        "trials_finished": len(finished),
        "trials_failed": len(trials) - len(finished),
        "hashes": study.user_attrs["identity"]["hashes"],
    }
    write_json(folder / "best.json", found)
    search_plot(
        folder / "search.png",
        [trial.value for trial in trials],
        {key: [trial.params[key] for trial in trials] for key in space},
        log=[key for key, values in space.items() if getattr(values, "log", False)],
        quantity=measure(study)[1],
    )
    return found
