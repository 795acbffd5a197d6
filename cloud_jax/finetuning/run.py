"""One run of fine-tuning, in the order in which it happens.

`prepare` of `job.py` fits settings, table and checkpoint together and writes nothing;
`run` claims the work directory, trains, and leaves results.json and model/ there.
"""

from contextlib import closing
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree
from tqdm import tqdm

from cloud_jax.files import read_json, write_json
from cloud_jax.finetuning import outputs
from cloud_jax.finetuning.groups import (
    Group,
    check_groups,
    group_name,
    make_groups,
    saved_epochs,
)
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.loop import Records, Trained, best_of, train_group
from cloud_jax.finetuning.results import format_summary, results
from cloud_jax.finetuning.table import write_rejects
from cloud_jax.progress import progress
from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.errors import memory_explained
from cloud_jax.training.metrics_log import MetricsLog
from cloud_jax.training.startup import format_times
from cloud_jax.training.stop import StopRequest
from cloud_jax.training.workdir import claim, environment


def run(job: Job) -> None:
    """Train and write the results unless that was done before, and print them.

    Raises:
        DivergedError, InterruptedRunError, OSError: see `train_group`.
        MemoryExhaustedError: fewer members at once may help.
        RunMismatchError: the folder holds a run with other settings.
    """
    folder = Path(job.config.workdir)
    defined_by = job.config.to_dict() | {"hashes": job.hashes}
    with claim(folder, defined_by, active=True):
        path = folder / "results.json"
        if path.exists():
            print(f"{folder}: this run has finished")
            update_labels(path, job)
        else:
            # ---- what trains on what ----
            write_json(folder / "environment.json", environment(job.hashes))
            write_rejects(folder / "rejects.csv", job.table.rejects)
            print(job.summary())

            # ---- training ----
            trained = train(job)

            # ---- results: results.json comes last, and says that the run finished ----
            found = results(job, trained)
            outputs.write_predictions(folder / "predictions.csv", job, trained)
            outputs.draw_figures(folder, job, trained, found)
            outputs.write_timing(folder / "timing.json", folder, job.startup)
            outputs.write_model(folder / "model", job, trained)
            write_json(path, found)

        # ---- leaderboard: from predictions.csv, so also of a run that is done ----
        if not (leaderboard := folder / "matbench_results.json.gz").exists():
            outputs.write_leaderboard(leaderboard, job)
        print(format_summary(read_json(path), folder))
        if (timing := folder / "timing.json").exists():
            print(format_times(read_json(timing)))


def update_labels(path: Path, job: Job) -> None:
    """Write the benchmark and the note of a finished run anew where they changed."""
    labels = {"benchmark": job.config.benchmark, "note": job.config.note}
    if (found := read_json(path)) != found | labels:
        write_json(path, found | labels)


def train(job: Job) -> Trained:
    """Train every member, or restore those that are trained.

    Raises:
        DivergedError, InterruptedRunError, OSError: see `train_group`.
        MemoryExhaustedError: fewer members at once may help.
        RunMismatchError: the run started with groups of another size.
    """
    folder = Path(job.config.workdir) / "members"
    size = group_size(job)
    check_groups(folder, job.members, size)
    n_groups = -(-len(job.members) // size)
    trained = []
    with (
        memory_explained("config.members_at_once or config.optimizer.batch_crystals"),
        StopRequest() as stop,
        progress(
            "fine-tuning",
            total=job.config.optimizer.epochs * n_groups,
            unit="epochs",
            done=sum(saved_epochs(folder).values()),
        ) as bar,
    ):
        for group in make_groups(job, size):
            trained.append(train_one(job, group, bar, stop))
    return Trained(*(stack_members(parts) for parts in zip(*trained, strict=True)))


def group_size(job: Job) -> int:
    """Return how many members train side by side.

    By default it is one per core of a CPU, and all on a GPU or a TPU, where members
    fill the device that one alone would leave idle.
    """
    n_members = len(job.members)
    if size := job.config.members_at_once:
        return min(size, n_members)
    on_cpu = jax.default_backend() == "cpu"
    return min(jax.device_count(), n_members) if on_cpu else n_members


def train_one(job: Job, group: Group, bar: tqdm, stop: StopRequest) -> Trained:
    """Train one group in its folder; return its members at their best."""
    folder = Path(job.config.workdir) / "members" / group_name(group.members)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        closing(Checkpoints(folder / "checkpoints", keep=1)) as checkpoints,
        closing(MetricsLog(folder, step=checkpoints.latest() or 0, active=True)) as log,
    ):
        state = train_group(
            group,
            Records(checkpoints, log, bar, job.startup),
            stop,
            epochs=job.config.optimizer.epochs,
            every_epochs=job.config.checkpoint.every_epochs,
        )
    return best_of(group, state)


def stack_members(parts: list[PyTree]) -> PyTree:
    """Concatenate arrays of all groups along the axis of the members."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
