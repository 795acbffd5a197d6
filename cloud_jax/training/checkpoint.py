"""Checkpoints: written in the background, whole or not at all; the best one is kept.

A checkpoint is a folder named by its step with two items: `state`, the train state, and
`progress`, the counters of the loop. Orbax writes under a temporary name and renames,
so that a half-written checkpoint never counts.
"""

import json
import logging
import math
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from jax.errors import JaxRuntimeError
from jaxtyping import PyTree
from orbax.checkpoint import checkpoint_managers as policies

from cloud_jax.training.errors import NonFiniteLossError
from cloud_jax.training.state import TrainState, all_finite


def _validation_loss(metrics: dict[str, float | None]) -> float:
    """Return the rank of a checkpoint; those saved without an evaluation come last."""
    loss = metrics["validation_loss"]
    return math.inf if loss is None else loss


def _check_space(directory: Path, state: TrainState) -> None:
    """Raise OSError before a write that cannot fit."""
    # Replicas of a shard hold the same data, and only the first is written.
    shards = (
        shard for leaf in jax.tree.leaves(state) for shard in leaf.addressable_shards
    )
    needed = sum(shard.data.nbytes for shard in shards if shard.replica_id == 0)
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(
            f"{directory}: a checkpoint needs {needed / 1e6:.1f} MB and the disk has "
            f"{free / 1e6:.1f} MB free. Free some space and run the same command: it "
            "resumes from the last checkpoint"
        )


@contextmanager
def _explained(directory: Path) -> Iterator[None]:
    """Explain a failed write, mostly a full disk: the folder, and what to do."""
    try:
        yield
    except JaxRuntimeError:
        raise  # of the device, not of the disk
    except (OSError, ValueError, RuntimeError) as error:
        free = shutil.disk_usage(directory).free
        raise OSError(
            f"{directory}: writing a checkpoint failed with {free / 1e6:.1f} MB free "
            f"on the disk: {error}. Nothing half-written counts; once the cause is "
            "gone, the same command resumes from the last checkpoint"
        ) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Explain a failed read: the checkpoint, and what to do."""
    hook = sys.unraisablehook

    def ignore_late_reads(found: Any) -> None:
        # After the first failure the other reads find orbax's event loop closed.
        if str(found.exc_value) != "Event loop is closed":
            hook(found)

    sys.unraisablehook = ignore_late_reads
    try:
        yield
        sys.unraisablehook = hook
    except Exception as error:  # orbax and its stores raise many kinds
        reason = (str(error).splitlines() or [""])[0][:200]
        raise OSError(
            f"{path}: this checkpoint cannot be read ({type(error).__name__}: {reason})"
            ". Remove that folder: the same command then resumes from the one before"
        ) from error


def _check_metrics(directory: Path) -> None:
    """Raise OSError for a damaged file that orbax reads when it opens the folder."""
    for path in directory.glob("*/metrics/metrics"):
        with _readable(path.parents[1]):
            json.loads(path.read_text())


class Checkpoints:
    """The folder `checkpoints/` of one run."""

    def __init__(self, directory: Path, *, keep: int):
        """Open the folder, or make it.

        Args:
            directory: on a file system that all processes share.
            keep: number of the latest to keep, beside the best.

        Raises:
            OSError: the folder holds a damaged checkpoint.
        """
        self.directory = directory.absolute()
        _check_metrics(self.directory)
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=policies.AnyPreservationPolicy(
                    [
                        policies.LatestN(keep),
                        policies.BestN(
                            get_metric_fn=_validation_loss,
                            reverse=True,  # the best is the lowest
                            n=1,
                        ),
                    ]
                ),
                # The policy decides what is kept. With these, orbax writes the metrics
                # and knows the best step.
                best_fn=_validation_loss,
                best_mode="min",
                cleanup_tmp_directories=True,
                enable_async_checkpointing=True,
                # Otherwise a process that cannot make one learns of it only when all
                # have waited for each other for twenty minutes.
                async_options=ocp.options.AsyncOptions(
                    create_directories_asynchronously=False
                ),
            ),
        )

    def latest(self) -> int | None:
        """Return the step of the latest complete checkpoint; None without one."""
        return self._manager.latest_step()

    def best(self) -> int | None:
        """Return the step of the kept checkpoint with the lowest validation loss."""
        return self._manager.best_step()

    def path(self, step: int) -> Path:
        """Return the folder of a checkpoint."""
        return self.directory / str(step)

    def save(
        self,
        state: TrainState,
        progress: dict[str, Any],
        *,
        step: int,
        validation_loss: float | None = None,
    ) -> None:
        """Start to write a checkpoint; return once the state is copied to the host.

        Raises:
            NonFiniteLossError: the state holds a number that is infinite or NaN.
            OSError: the disk has no room, or the write before this one failed.
        """
        # A loss tells of the parameters before its update, not of those after it.
        if not all_finite(state):
            raise NonFiniteLossError(step, "the update made the state infinite or NaN")
        self._settle()
        _check_space(self.directory, state)
        with _explained(self.directory):
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    progress=ocp.args.JsonSave(progress),
                ),
                metrics={"validation_loss": validation_loss},
                force=True,
            )

    def restore(
        self, abstract: TrainState, *, step: int
    ) -> tuple[TrainState, dict[str, Any]]:
        """Return the state of a checkpoint, laid out as `abstract`, and its counters.

        The mesh may differ from the one that wrote it.

        Raises:
            OSError: it is damaged, or holds a number that is infinite or NaN.
        """
        with _readable(self.path(step)):
            found = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(abstract),
                    progress=ocp.args.JsonRestore(),
                ),
            )
            state = found["state"]
            if not all_finite(state):
                raise ValueError("its parameters are infinite or NaN")
        return state, found["progress"]

    def wait(self) -> None:
        """Wait until the last write is on the disk.

        Raises:
            OSError: it failed.
        """
        self._settle()
        with _explained(self.directory):
            self._manager.wait_until_finished()
            self._manager.check_for_errors()

    def _settle(self) -> None:
        """Wait until no write is in progress, and raise its error at once.

        Orbax would tell of the error only after all processes have finished writing,
        which those without an error never do.
        """
        with _explained(self.directory):
            while self._manager.is_saving_in_progress():
                self._manager.check_for_errors()
                time.sleep(0.02)

    def close(self) -> None:
        """Finish the last write and end the threads."""
        with _explained(self.directory):
            self._manager.close()


def read_params(path: Path) -> PyTree:
    """Return the parameters of a checkpoint as NumPy arrays, whatever mesh wrote it.

    All processes must call this: they wait for each other.

    Args:
        path: folder of the checkpoint.

    Raises:
        OSError: it is damaged.
    """
    path = path.absolute()
    # Orbax warns that the item `state` has no metadata file of its own; the checkpoint
    # has it.
    logging.getLogger("absl").addFilter(
        lambda record: "Metadata file does not exist" not in record.getMessage()
    )
    with _readable(path), ocp.PyTreeCheckpointer() as checkpointer:
        tree = checkpointer.metadata(path / "state").item_metadata.tree
        to_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
        return checkpointer.restore(
            path / "state", restore_args=jax.tree.map(lambda _: to_numpy, tree)
        )["params"]
