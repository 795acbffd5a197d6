"""The training loop.

Order of a step, which is also the order in which a resumed run finds things: update,
log, evaluate, checkpoint. So everything at or before a checkpoint's step is in
metrics.jsonl when the checkpoint appears, and everything after it is dropped when the
run resumes from there.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from cloud_jax.data.batches import PackedBatches
from cloud_jax.data.prefetch import prefetch
from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.errors import InterruptedRunError, NonFiniteLossError
from cloud_jax.training.masking import SEGMENTS
from cloud_jax.training.metrics_log import MetricsLog, summarise
from cloud_jax.training.sharding import to_host
from cloud_jax.training.state import TrainState
from cloud_jax.training.steps import Steps
from cloud_jax.training.stop import StopRequest


def zero_sums() -> dict[str, Any]:
    """Sums over no batches, in float64: per segment, and scalars."""
    return {
        **{key: np.zeros(len(SEGMENTS)) for key in ("loss", "correct", "count")},
        **dict.fromkeys(("crystals", "tokens", "grad_norm", "steps"), 0.0),
    }


@dataclass
class Progress:
    """What the loop carries beside the train state; saved with every checkpoint.

    Attributes:
        window: sums since the last logged event.
        crystals: crystals in timed steps.
        tokens: tokens in timed steps.
        seconds: time of those steps, without evaluation, saving and compiling.
        wall_seconds: time of the whole run, all its processes' lives added.
    """

    window: dict[str, Any] = field(default_factory=zero_sums)
    crystals: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    wall_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers; Python's JSON keeps every bit of a float."""
        return asdict(self) | {
            "window": {key: np.asarray(v).tolist() for key, v in self.window.items()}
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Progress":
        """The inverse of `to_json`."""
        window = {
            key: np.array(v) if isinstance(v, list) else v
            for key, v in value["window"].items()
        }
        return cls(**(value | {"window": window}))


@dataclass(frozen=True)
class Cadence:
    """Every how many steps to log, to evaluate and to save."""

    log: int
    evaluate: int
    checkpoint: int


def lagging(results: Iterable[PyTree], ahead: int) -> Iterator[PyTree]:
    """Host copies of device results, each fetched `ahead` results later.

    So the device always has work queued while the host waits.
    """
    waiting: deque[PyTree] = deque()
    for result in results:
        waiting.append(result)
        if len(waiting) > ahead:
            yield to_host(waiting.popleft())
    while waiting:
        yield to_host(waiting.popleft())


def evaluate(
    params: PyTree,
    batches: PackedBatches,
    *,
    steps: Steps,
    key: PRNGKeyArray,
    n_batches: int,
    ahead: int,
) -> dict[str, float]:
    """Means over the first `n_batches` of `batches` under their fixed masks."""
    with closing(
        prefetch(batches, start=0, stop=n_batches, sharding=steps.batch_sharding)
    ) as feed:
        results = (
            steps.evaluate(params, batch, np.int32(index), key)
            for index, batch in enumerate(feed)
        )
        total = zero_sums()
        for sums in lagging(results, ahead):
            for name, value in sums.items():
                total[name] += value
    return summarise(total)


class Trainer:
    """One run's loop: holds what stays the same from step to step."""

    def __init__(
        self,
        *,
        steps: Steps,
        batches: PackedBatches,
        key: PRNGKeyArray,
        total_steps: int,
        rate: Callable[[int], Any],
        cadence: Cadence,
        evaluate_params: Callable[[PyTree], dict[str, float]],
        checkpoints: Checkpoints,
        log: MetricsLog,
        ahead: int,
        bar: Any,
    ):
        """Gather the parts.

        Args:
            steps: compiled functions.
            batches: batch as a function of its number.
            key: the run's key for masks and dropout.
            total_steps: where the run ends.
            rate: learning rate of a step number.
            cadence: how often to log, evaluate and save.
            evaluate_params: validation means of parameters.
            checkpoints: where states go.
            log: where numbers go.
            ahead: steps the host may queue before it waits for the oldest one.
            bar: a tqdm bar, advanced by one a step.
        """
        self.steps, self.batches, self.key = steps, batches, key
        self.total_steps, self.rate, self.cadence = total_steps, rate, cadence
        self.evaluate_params, self.checkpoints = evaluate_params, checkpoints
        self.log, self.ahead, self.bar = log, ahead, bar
        self._queue: deque[tuple[int, PyTree]] = deque()
        self._mark: float | None = None  # end of the last timed step
        self._logged = (0.0, 0.0, 0.0)  # crystals, tokens, seconds at the last event

    def run(
        self, state: TrainState, progress: Progress
    ) -> tuple[TrainState, dict[str, float]]:
        """Train from `state.step` to the end.

        Returns:
            The last state and its validation means.

        Raises:
            NonFiniteLossError: no checkpoint holds the state after it.
            InterruptedRunError: after saving.
            OSError: a checkpoint or an event could not be written.
        """
        first = int(to_host(state.step))
        self._logged = (progress.crystals, progress.tokens, progress.seconds)
        begun = time.perf_counter() - progress.wall_seconds
        validation: dict[str, float] = {}
        with (
            StopRequest() as stop,
            closing(
                prefetch(
                    self.batches,
                    start=first,
                    stop=self.total_steps,
                    sharding=self.steps.batch_sharding,
                )
            ) as feed,
        ):
            for step, batch in enumerate(feed, start=first + 1):
                state, sums = self.steps.train(state, batch, self.key)
                self._queue.append((step, sums))
                self._drain(progress, down_to=self.ahead)
                last = step == self.total_steps
                evaluating = last or step % self.cadence.evaluate == 0
                saving = evaluating or step % self.cadence.checkpoint == 0
                logging = step % self.cadence.log == 0
                # Several processes ask each other, so they do it less often.
                asking = logging or jax.process_count() == 1
                stopping = asking and not last and stop.agreed()
                if not (saving or stopping):
                    continue
                self._drain(progress, down_to=0)
                validation = self._evaluate(state, step) if evaluating else {}
                progress.wall_seconds = time.perf_counter() - begun
                self._save(state, progress, step, validation.get("loss"))
                if stopping:
                    self.checkpoints.wait()
                    raise InterruptedRunError(step)
                self._mark = time.perf_counter()
        self.checkpoints.wait()
        return state, validation

    def _drain(self, progress: Progress, *, down_to: int) -> None:
        """Account for finished steps until `down_to` are left in flight."""
        while len(self._queue) > down_to:
            step, sums = self._queue.popleft()
            sums = to_host(sums)
            now = time.perf_counter()
            if not all(np.isfinite(value).all() for value in sums.values()):
                raise NonFiniteLossError(
                    step,
                    loss=summarise(sums)["loss"],
                    grad_norm=float(sums["grad_norm"]),
                    record_ids=self.batches.record_ids(step - 1),
                )
            if self._mark is not None:  # the first step compiles: not timed
                progress.seconds += now - self._mark
                progress.crystals += float(sums["crystals"])
                progress.tokens += float(sums["tokens"])
            self._mark = now
            for name, value in (sums | {"steps": 1}).items():
                progress.window[name] += value
            self.bar.update()
            if step % self.cadence.log == 0:
                self._log_window(progress, step)

    def _log_window(self, progress: Progress, step: int) -> None:
        window, progress.window = progress.window, zero_sums()
        means = summarise(window)
        clock = (progress.crystals, progress.tokens, progress.seconds)
        crystals, tokens, seconds = np.subtract(clock, self._logged).tolist()
        self._logged, seconds = clock, max(seconds, 1e-9)
        self.log.write(
            {
                "step": step,
                "epoch": step / self.batches.steps_per_epoch,
                "split": "train",
                **means,
                "learning_rate": float(self.rate(step - 1)),
                "grad_norm": float(window["grad_norm"] / window["steps"]),
                "crystals_per_second": crystals / seconds,
                "tokens_per_second": tokens / seconds,
                "seconds": progress.seconds,
            }
        )
        self.bar.set_postfix_str(f"loss {means['loss']:.4f}", refresh=False)

    def _evaluate(self, state: TrainState, step: int) -> dict[str, float]:
        means = self.evaluate_params(state.params)
        epoch = step / self.batches.steps_per_epoch
        self.log.write({"step": step, "epoch": epoch, "split": "validation", **means})
        return means

    def _save(
        self, state: TrainState, progress: Progress, step: int, loss: float | None
    ) -> None:
        if loss is not None and not math.isfinite(loss):
            raise NonFiniteLossError(step, loss=loss)
        self.log.sync()
        self.checkpoints.save(
            state, progress.to_json(), step=step, validation_loss=loss
        )
