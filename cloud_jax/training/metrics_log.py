"""The log of a run: metrics.jsonl and TensorBoard."""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cloud_jax.files import atomic_write
from cloud_jax.training.masking import SEGMENTS

# Keys measured by a clock: two equal runs differ in these and in nothing else.
TIMING_KEYS = ("crystals_per_second", "tokens_per_second", "seconds", "waiting_seconds")


def summarise(sums: dict[str, np.ndarray]) -> dict[str, float]:
    """Return loss (nats), perplexity and accuracy, in all and by segment.

    Args:
        sums: `loss`, `correct` and `count` per segment. Segments without a selected
            token are left out of the result.
    """
    count = float(np.sum(sums["count"]))
    loss = float(np.sum(sums["loss"])) / max(count, 1.0)
    means = {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)) if math.isfinite(loss) else loss,
        "accuracy": float(np.sum(sums["correct"])) / max(count, 1.0),
    }
    for index, name in enumerate(SEGMENTS):
        n = float(sums["count"][index])
        if n:
            means[f"loss_{name}"] = float(sums["loss"][index]) / n
            means[f"accuracy_{name}"] = float(sums["correct"][index]) / n
    return means


def zero_sums() -> dict[str, Any]:
    """Return sums over no batches, in float64: three per segment, and four scalars."""
    return {
        **{key: np.zeros(len(SEGMENTS)) for key in ("loss", "correct", "count")},
        **dict.fromkeys(("crystals", "tokens", "grad_norm", "steps"), 0.0),
    }


def truncate_after(path: Path, step: int) -> None:
    """Drop the events of a log after `step`, and a torn last line."""
    kept = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            break  # a line torn by a kill: nothing after it was synced
        if event["step"] <= step:
            kept.append(line)
    atomic_write(path, "".join(f"{line}\n" for line in kept))


class MetricsLog:
    """Appends events to metrics.jsonl and TensorBoard, on the first process only."""

    def __init__(self, workdir: Path, *, step: int, active: bool):
        """Open the log at `step`, dropping what an interrupted run wrote later.

        Args:
            workdir: the run's folder.
            step: events after it are removed.
            active: False on all processes but the first.
        """
        self._file = self._board = None
        if not active:
            return
        path = workdir / "metrics.jsonl"
        truncate_after(path, step)
        # Unbuffered: an event is in the file or an error says why. A buffer would be
        # written again on closing, after the error.
        self._file = path.open("ab", buffering=0)
        self._board = _open_tensorboard(workdir / "tensorboard", step)

    def write(self, event: dict[str, Any]) -> None:
        """Write one event, which holds `step` and `split`.

        Raises:
            OSError: the line could not be written, for instance on a full disk.
        """
        if self._file is None:
            return
        try:
            self._file.write(f"{json.dumps(event)}\n".encode())
        except OSError as error:
            raise OSError(
                error.errno,
                f"metrics could not be written ({error.strerror}); free some space "
                "and run the same command, it resumes from the last checkpoint",
                self._file.name,
            ) from error
        if self._board:
            for key, value in event.items():
                if isinstance(value, float):
                    self._board.add_scalar(
                        f"{event['split']}/{key}", value, event["step"]
                    )

    def sync(self) -> None:
        """Force what was written onto the disk."""
        if self._file:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close both logs."""
        if self._file:
            self._file.close()
        if self._board:
            self._board.close()


def _open_tensorboard(directory: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        print(
            "note: tensorboardX is not installed, so no TensorBoard events are "
            "written; metrics.jsonl holds the same numbers",
            file=sys.stderr,
        )
        return None
    return SummaryWriter(str(directory), purge_step=step + 1 if step else None)
