"""The training loop.

The order of a step is update, log, evaluate, checkpoint, and a resumed run relies on
it: everything at or before a checkpoint's step is in metrics.jsonl when the checkpoint
appears, and everything after it is dropped when the run resumes from there.
"""

import math
import time
from collections import deque
from collections.abc import Callable
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
from cloud_jax.training.metrics_log import MetricsLog, summarise, zero_sums
from cloud_jax.training.sharding import to_host
from cloud_jax.training.startup import StartUp
from cloud_jax.training.state import TrainState
from cloud_jax.training.steps import Steps
from cloud_jax.training.stop import StopRequest


@dataclass
class Counters:
    """Counts of the loop, saved beside the train state with every checkpoint.

    Attributes:
        window: sums since the last logged event.
        crystals: crystals in timed steps.
        tokens: tokens in timed steps.
        seconds: time of those steps, without evaluation, saving and compiling.
        waiting_seconds: part of it in which the loop waited for a batch.
        wall_seconds: time of the whole run, added up over its restarts.
    """

    window: dict[str, Any] = field(default_factory=zero_sums)
    crystals: float = 0.0
    tokens: float = 0.0
    seconds: float = 0.0
    waiting_seconds: float = 0.0
    wall_seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and numbers; Python's JSON keeps every bit of a float."""
        window = {key: np.asarray(value).tolist() for key, value in self.window.items()}
        return asdict(self) | {"window": window}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Counters":
        """Return the counters that `to_json` wrote."""
        window = {
            key: np.array(v) if isinstance(v, list) else v
            for key, v in value["window"].items()
        }
        return cls(**(value | {"window": window}))


@dataclass(frozen=True)
class Cadence:
    """Numbers of steps between two events of the log, two evaluations, two saves."""

    log: int
    evaluate: int
    checkpoint: int


@dataclass
class Trainer:
    """The loop of one run, and what stays the same from step to step.

    Attributes:
        steps: compiled functions.
        batches: batch as a function of the step.
        key: the run's key, for masks and dropout.
        total_steps: where the run ends.
        rate: learning rate as a function of the step.
        cadence: how often to log, evaluate and save.
        evaluate_params: validation means of parameters.
        checkpoints: where states go.
        log: where numbers go.
        ahead: steps that the host may queue before it waits for the oldest one.
        bar: advanced by one per step.
        startup: ended by the first step.
    """

    steps: Steps
    batches: PackedBatches
    key: PRNGKeyArray
    total_steps: int
    rate: Callable[[int], Any]
    cadence: Cadence
    evaluate_params: Callable[[PyTree], dict[str, float]]
    checkpoints: Checkpoints
    log: MetricsLog
    ahead: int
    bar: Any
    startup: StartUp
    _queue: deque[tuple[int, PyTree]] = field(default_factory=deque, init=False)
    # End of the last timed step; None before the first, which compiles.
    _mark: float | None = field(default=None, init=False)
    # Crystals, tokens and seconds at the last event.
    _logged: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0), init=False)

    def run(
        self, state: TrainState, counters: Counters
    ) -> tuple[TrainState, dict[str, float]]:
        """Train from `state.step` to the end.

        Returns:
            The last state and its validation means.

        Raises:
            NonFiniteLossError: no checkpoint holds what is not finite.
            InterruptedRunError: after saving.
            OSError: a checkpoint or an event could not be written.
        """
        first = int(to_host(state.step))
        self._logged = (counters.crystals, counters.tokens, counters.seconds)
        begun = time.perf_counter() - counters.wall_seconds
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
            waited = 0.0
            for step, batch in enumerate(feed, start=first + 1):
                if self._mark is not None:
                    counters.waiting_seconds += feed.waited_s - waited
                waited = feed.waited_s
                # Returns at once: the device computes while the host continues.
                state, sums = self.steps.train(state, batch, self.key)
                self._queue.append((step, sums))
                self._drain(counters, down_to=self.ahead)

                last = step == self.total_steps
                evaluating = last or step % self.cadence.evaluate == 0
                saving = evaluating or step % self.cadence.checkpoint == 0
                # Several processes have to ask each other, so they do it less often.
                asking = step % self.cadence.log == 0 or jax.process_count() == 1
                stopping = asking and not last and stop.agreed()
                if not (saving or stopping):
                    continue

                # A state is only saved once its loss, and all before, are known finite.
                self._drain(counters, down_to=0)
                validation = self._evaluate(state, step) if evaluating else {}
                counters.wall_seconds = time.perf_counter() - begun
                self._save(state, counters, step, validation.get("loss"))
                if stopping:
                    self.checkpoints.wait()
                    raise InterruptedRunError(step)
                self._mark = time.perf_counter()  # the above is not training time
        self.checkpoints.wait()
        return state, validation

    def _drain(self, counters: Counters, *, down_to: int) -> None:
        """Account for finished steps until `down_to` are left in flight."""
        while len(self._queue) > down_to:
            step, sums = self._queue.popleft()
            sums = to_host(sums)
            now = time.perf_counter()
            if not all(np.isfinite(value).all() for value in sums.values()):
                loss, grad_norm = summarise(sums)["loss"], float(sums["grad_norm"])
                raise NonFiniteLossError(
                    step,
                    f"loss {loss}, gradient norm {grad_norm}",
                    record_ids=self.batches.record_ids(step - 1),
                )
            self.startup.end()
            if self._mark is not None:
                counters.seconds += now - self._mark
                counters.crystals += float(sums["crystals"])
                counters.tokens += float(sums["tokens"])
            self._mark = now
            for name, value in (sums | {"steps": 1}).items():
                counters.window[name] += value
            self.bar.update()
            if step % self.cadence.log == 0:
                self._log_window(counters, step)

    def _log_window(self, counters: Counters, step: int) -> None:
        """Write the means since the last event, and begin a new window."""
        window, counters.window = counters.window, zero_sums()
        means = summarise(window)
        clock = (counters.crystals, counters.tokens, counters.seconds)
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
                "seconds": counters.seconds,
                "waiting_seconds": counters.waiting_seconds,
            }
        )
        self.bar.set_postfix_str(f"loss {means['loss']:.4f}", refresh=False)

    def _evaluate(self, state: TrainState, step: int) -> dict[str, float]:
        """Return the validation means, after writing them to the log."""
        means = self.evaluate_params(state.params)
        if not math.isfinite(means["loss"]):
            raise NonFiniteLossError(step, f"validation loss {means['loss']}")
        epoch = step / self.batches.steps_per_epoch
        self.log.write({"step": step, "epoch": epoch, "split": "validation", **means})
        return means

    def _save(
        self, state: TrainState, counters: Counters, step: int, loss: float | None
    ) -> None:
        """Start a checkpoint; `loss` is its validation loss if that is known."""
        # A checkpoint on the disk means that the events up to its step are there, too.
        self.log.sync()
        self.checkpoints.save(
            state, counters.to_json(), step=step, validation_loss=loss
        )
