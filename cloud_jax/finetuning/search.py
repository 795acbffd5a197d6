"""Trials of a hyper-parameter search: chosen by Optuna, trained as fine-tuning trains.

A trial sees training and validation rows only: no fold has test rows to predict, and
the labels of rows that no member learns from or selects with are removed.
"""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from cloud_jax.config import flatten
from cloud_jax.finetuning.job import Job, prepare, read
from cloud_jax.finetuning.run import train
from cloud_jax.finetuning.space import Range, Space
from cloud_jax.finetuning.start import Start
from cloud_jax.finetuning.table import Table
from cloud_jax.training.errors import (
    DivergedError,
    MemoryExhaustedError,
    RunMismatchError,
)
from cloud_jax.training.workdir import differences

STUDY = "study.db"


class Search(NamedTuple):
    """Settings of a search.

    Attributes:
        folder: of the study and its trials.
        space: choices or a range per key.
        configured: the configuration's own values of those keys, the first trial.
        configure: from values of those keys to a configuration.
        identity: what must be the same when the search resumes.
        seed: of the choices.
    """

    folder: Path
    space: Space
    configured: dict[str, Any]
    configure: Callable[[dict[str, Any]], Any]
    identity: dict[str, Any]
    seed: int


class FailedTrialError(Exception):
    """A trial failed by itself; the search continues with the next one."""


class StudyFileError(ValueError):
    """study.db is damaged, of another program, or cannot be written."""


class SharedTable:
    """Reads the table once for all trials that see it in the same way."""

    def __init__(self):
        self._tables: dict[tuple, Table] = {}

    def __call__(self, config: Any, start: Start) -> Table:
        """Return what `job.read` returns."""
        key = start.vocabulary.sha256, *sorted(start.origin.items())
        if key not in self._tables:
            self._tables[key] = read(config, start)
        return self._tables[key]


def plan_search(
    config: Any, space: Space, job: Job, configure: Callable[[dict[str, Any]], Any]
) -> Search:
    """Return the search of a configuration.

    Args:
        config: of the run, with the folder of the search as its work directory.
        space: keys that vary.
        job: of the configuration itself.
        configure: from values of the keys to a configuration.
    """
    configured = flatten(config)
    identity = {key: value for key, value in configured.items() if key not in space}
    identity["space"] = {key: repr(values) for key, values in space.items()}
    return Search(
        folder=Path(config.workdir),
        space=space,
        configured={key: configured[key] for key in space},
        configure=configure,
        identity=identity | {"hashes": job.hashes},
        seed=config.seed,
    )


def search(
    plan: Search, *, n_trials: int, reader: SharedTable, report: Callable
) -> optuna.Study:
    """Run trials until enough have an answer, those of earlier calls included.

    Args:
        plan: what is searched.
        n_trials: finished or failed by themselves; those that were killed run again.
        reader: of the table.
        report: called with the study after each trial.

    Raises:
        RunMismatchError: the folder holds another search.
        StudyFileError: study.db is damaged, or cannot be written.
        InterruptedRunError: a signal; the trial resumes in the next call.
        OSError, JaxRuntimeError: not the fault of one trial.
    """
    with study_file_explained(plan.folder):
        study = open_study(plan)
        requeue_killed(study)
        distributions = {
            key: distribution(values, plan.configured[key])
            for key, values in plan.space.items()
        }
        while len(answered(study)) < n_trials:
            # Seeded by the trial's number, so that a resumed search chooses the same.
            number = len(study.trials)
            entropy = np.random.SeedSequence([plan.seed, number]).generate_state(1)[0]
            study.sampler = optuna.samplers.TPESampler(seed=int(entropy))
            trial = study.ask(distributions)
            run_trial(study, trial, plan, reader)
            report(study)
    return study


@contextmanager
def study_file_explained(folder: Path, *others: type[Exception]) -> Iterator[None]:
    """Raise StudyFileError where study.db cannot be read or written.

    Args:
        folder: of the search.
        others: errors that mean it too.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError, *others) as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise StudyFileError(
            f"{folder / STUDY}: not a study that Optuna can use ({reason}): move it "
            "away to start anew, or give another --workdir"
        ) from error


def open_study(plan: Search) -> optuna.Study:
    """Return the study in the folder, made where there is none.

    Raises:
        RunMismatchError: with the lines that differ.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    connect = partial(sqlite3.connect, plan.folder / STUDY)
    # RuntimeError: the file is of a later version of Optuna.
    with study_file_explained(plan.folder, RuntimeError):
        study = optuna.create_study(
            study_name="search",
            # Not by a URL, which reads ?, % and braces in a path as its own syntax.
            storage=optuna.storages.RDBStorage("sqlite://", {"creator": connect}),
            direction="minimize",
            load_if_exists=True,
        )
    identity = json.loads(json.dumps(plan.identity))  # as the study keeps it
    had = study.user_attrs.get("identity")
    if had and study.trials:
        if lines := differences(had, identity):
            raise RunMismatchError(
                f"{plan.folder} holds a search with other settings (there -> here):\n  "
                + "\n  ".join(lines)
                + "\nUse those settings to resume it, or another --workdir"
            )
        return study
    study.set_user_attr("identity", identity)
    # The configuration itself comes first: what is found must be better than it.
    outside = [
        key for key, values in plan.space.items() if plan.configured[key] not in values
    ]
    if not outside:
        study.enqueue_trial(plan.configured)
    else:
        print(
            f"note: the configuration's own {', '.join(outside)} lies outside the "
            "space, so the configuration itself is not one of the trials"
        )
    return study


def requeue_killed(study: optuna.Study) -> None:
    """Let trials that were cut off resume in their folder, under a new number."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs={"folder": folder_name(trial)})


def answered(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that finished, or failed by themselves."""
    ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.FAIL))
    return [t for t in ended if t.value is not None or "error" in t.user_attrs]


def folder_name(trial: Trial | FrozenTrial) -> str:
    """Return the name of a trial's folder: the number under which it first ran."""
    return trial.user_attrs.get("folder", f"{trial.number:04d}")


def distribution(values: list | Range, like: Any) -> BaseDistribution:
    """Return what Optuna draws from; `like` is a value of the key."""
    if not isinstance(values, Range):
        return CategoricalDistribution(values)
    kind = IntDistribution if type(like) is int else FloatDistribution
    return kind(values.low, values.high, log=values.log)


def run_trial(
    study: optuna.Study, trial: Trial, plan: Search, reader: SharedTable
) -> None:
    """Train with a trial's values and tell the study the outcome."""
    config = plan.configure(trial.params)
    folder = plan.folder / "trials" / folder_name(trial)
    config.workdir = str(folder)
    try:
        score = validation_error(config, reader)
    except FailedTrialError as error:
        trial.set_user_attr("error", str(error))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, score)
    for states in folder.glob("members/*/checkpoints"):
        shutil.rmtree(states)  # nothing resumes them any more
    jax.clear_caches()  # the next trial compiles programs of its own


def validation_error(config: Any, reader: SharedTable) -> float:
    """Return the mean MAE/MAD of the members over their validation rows.

    Raises:
        FailedTrialError: these values do not fit each other, diverge, or need more
            memory than there is.
    """
    try:
        job = without_test_rows(prepare(config, reader=reader))
    except ValueError as error:
        raise FailedTrialError(str(error)) from error
    try:
        return float(train(job).score.mean())
    except DivergedError as error:
        raise FailedTrialError(str(error)) from error
    except MemoryExhaustedError as error:
        raise FailedTrialError("memory does not hold it") from error


def without_test_rows(job: Job) -> Job:
    """Return a job without what a trial must not see."""
    seen = [np.union1d(member.train, member.validation) for member in job.members]
    seen = np.unique(np.concatenate(seen))
    targets = np.full_like(job.table.targets, np.nan)
    targets[seen] = job.table.targets[seen]
    no_rows = np.zeros(0, int)
    return job._replace(
        table=job.table._replace(targets=targets),
        folds=[fold._replace(test=no_rows) for fold in job.folds],
    )
