"""The loop of fine-tuning: a group of members from the first epoch to the last.

Order of an epoch, which is also the order in which a resumed run finds things: update,
evaluate, select, log, save.
"""

import time
from contextlib import closing
from itertools import islice
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, PyTree
from tqdm import tqdm

from cloud_jax.data.member_batches import MemberBatches
from cloud_jax.data.prefetch import Feed
from cloud_jax.finetuning.groups import Group
from cloud_jax.finetuning.steps import (
    PropertyState,
    PropertySteps,
    Scale,
    cross_entropy,
)
from cloud_jax.training.backend import steps_ahead
from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.errors import DivergedError, InterruptedRunError
from cloud_jax.training.metrics_log import MetricsLog
from cloud_jax.training.startup import StartUp
from cloud_jax.training.stop import StopRequest


class Records(NamedTuple):
    """Where the states and the numbers of a group go.

    Attributes:
        checkpoints: of this group; their steps count epochs.
        log: one event per member and epoch.
        bar: of progress, advanced by one per epoch.
        startup: ended by the first step.
    """

    checkpoints: Checkpoints
    log: MetricsLog
    bar: tqdm
    startup: StartUp


class Trained(NamedTuple):
    """Members at their best on validation rows, stacked.

    Attributes:
        params: [M, ...] on the host.
        raw: outputs for the rows that a member did not train on, NaN for the others.
        values: the same as targets in the units of the table, as logits for classes.
        scale: that was undone to get them, in the frame of the labels.
        score: validation error, see `validation_scores`.
        epoch: after which the parameters were taken.
    """

    params: PyTree
    raw: Float[np.ndarray, "M N O"]
    values: Float[np.ndarray, "M N P"]
    scale: Scale
    score: Float[np.ndarray, " M"]
    epoch: Float[np.ndarray, " M"]


def train_group(
    group: Group,
    records: Records,
    stop: StopRequest,
    *,
    epochs: int,
    every_epochs: int,
) -> PropertyState:
    """Train to the end, from the last checkpoint if there is one.

    Args:
        group: the members.
        records: where states and numbers go.
        stop: asked for at any time, also before the first step.
        epochs: of every member's training rows.
        every_epochs: how often to save.

    Returns:
        The last state, with the best of each member.

    Raises:
        DivergedError: a loss is not finite; no checkpoint holds the state after it.
        InterruptedRunError: after saving.
        OSError: a checkpoint or an event could not be written.
    """
    checkpoints, log, bar, startup = records

    # ---- start, or resume ----
    if latest := checkpoints.latest():
        state, _ = checkpoints.restore(group.steps.abstract, step=latest)
    else:
        state = group.steps.init(group.keys)
    done = int(state.step) // group.train.steps_per_epoch
    if stop.asked and done < epochs:
        raise InterruptedRunError(done)

    with closing(feed_of(group, done, epochs)) as feed:
        for epoch in range(done + 1, epochs + 1):
            # ---- update, evaluate ----
            begun, waited = time.perf_counter(), feed.waited_s
            state, losses = train_epoch(group, state, feed, startup)
            times = {"waiting_seconds": feed.waited_s - waited}
            scores = validation_scores(group, state.params)
            check_finite(group, epoch, losses, scores)

            # ---- select, log ----
            state = group.steps.select(state, scores)
            times["seconds"] = time.perf_counter() - begun
            log_epoch(log, group, epoch, losses, scores, times)
            bar.set_postfix_str(f"validation {scores.mean():.4f}", refresh=False)
            bar.update()

            # ---- save ----
            # `stop` is read once: a signal may come between saving and raising.
            last, stopping = epoch == epochs, stop.asked
            if last or stopping or epoch % every_epochs == 0:
                log.sync()  # before the checkpoint: a resumed run trusts its events
                checkpoints.save(state, {}, step=epoch)
            if stopping and not last:
                checkpoints.wait()
                raise InterruptedRunError(epoch)
    checkpoints.wait()
    return state


def feed_of(group: Group, done: int, epochs: int) -> Feed:
    """Return the batches of all epochs after `done`, on the devices."""
    per_epoch = group.train.steps_per_epoch
    return Feed(
        lambda step: jax.device_put(group.train(step), group.steps.batch_sharding),
        start=done * per_epoch,
        stop=epochs * per_epoch,
    )


def train_epoch(
    group: Group, state: PropertyState, feed: Feed, startup: StartUp
) -> tuple[PropertyState, Float[np.ndarray, " M"]]:
    """Return the state after an epoch's batches, and each member's mean loss."""
    losses = []
    for batch in islice(feed, group.train.steps_per_epoch):
        state, loss = group.steps.train(state, batch, group.scale, group.keys)
        losses.append(loss)
        if startup.running or not steps_ahead():
            jax.block_until_ready(loss)
        startup.end()  # of the first step; later calls do nothing
    # Fetched at the end, so that an accelerator is not waited for after each step.
    return state, np.mean([np.asarray(loss) for loss in losses], axis=0)


def check_finite(
    group: Group,
    epoch: int,
    losses: Float[np.ndarray, " M"],
    scores: Float[np.ndarray, " M"],
) -> None:
    """Raise DivergedError for the first member whose numbers are not finite."""
    for member, loss, score in zip(group.members, losses, scores, strict=True):
        if not np.isfinite([loss, score]).all():
            raise DivergedError(
                f"member {member.name}, epoch {epoch}: loss {loss}, validation "
                f"{score}; give a lower --config.optimizer.learning_rate, and another "
                "--workdir if this one holds a checkpoint"
            )


def log_epoch(
    log: MetricsLog,
    group: Group,
    epoch: int,
    losses: Float[np.ndarray, " M"],
    scores: Float[np.ndarray, " M"],
    times: dict[str, float],
) -> None:
    """Write one event per member; the times are those of all of them together."""
    for member, loss, score in zip(group.members, losses, scores, strict=True):
        log.write(
            {
                "step": epoch,
                "split": member.name,
                "loss": float(loss),
                group.measure: float(score),
                **times,
            }
        )


def validation_scores(group: Group, params: PyTree) -> Float[np.ndarray, " M"]:
    """Return the weighted mean absolute error over validation labels, in MAD.

    The mean absolute deviation (MAD) is that of the training rows. Of a class it is the
    cross-entropy, in units of that of its share among the training rows.
    """
    n_rows = len(group.labels)
    raw = member_outputs(group.steps, params, group.validation, n_rows=n_rows)
    values = group.steps.predict(np.nan_to_num(raw), np.arange(n_rows), group.scale)
    errors = np.abs(np.asarray(values) - group.labels)
    if group.classes.any():
        losses = cross_entropy(np.asarray(values), group.labels)
        errors = np.where(group.classes, losses, errors)
    errors /= np.asarray(group.scale.mad)[:, None]
    known = ~np.isnan(group.labels)
    # Not a number in a prediction stays one, so that the run is seen to diverge.
    errors = np.where(known, errors, 0)
    weights = np.where(known, group.weights, 0)
    return np.array(
        [
            np.average(errors[i, member.validation], weights=weights[member.validation])
            for i, member in enumerate(group.members)
        ],
        np.float32,
    )


def member_outputs(
    steps: PropertySteps, params: PyTree, batches: MemberBatches, *, n_rows: int
) -> Float[np.ndarray, "M N O"]:
    """Return each member's raw outputs for the rows in its batches, NaN for others."""
    # Fetched at the end: the device computes while the next batch is made.
    queued = []
    for step in range(batches.steps_per_epoch):
        batch = batches(step)
        raw = steps.outputs(params, jax.device_put(batch, steps.batch_sharding))
        queued.append((batch["row"], raw))
    n_members, *_, n_outputs = queued[0][1].shape
    found = np.full((n_members, n_rows, n_outputs), np.nan, np.float32)
    for row, raw in queued:
        member, *slot = np.nonzero(row >= 0)
        found[member, row[member, *slot]] = np.asarray(raw)[member, *slot]
    return found


def best_of(group: Group, state: PropertyState) -> Trained:
    """Return the members of a trained group at their best, with what they predict.

    Only rows that a member did not learn from are predicted.
    """
    n_rows = len(group.labels)
    raw = member_outputs(group.steps, state.best_params, group.unseen, n_rows=n_rows)
    values = group.steps.predict(np.nan_to_num(raw), np.arange(n_rows), group.scale)
    values = group.frame.leave(np.asarray(values, float))
    values[np.isnan(raw).any(-1)] = np.nan
    return Trained(
        params=jax.tree.map(np.asarray, state.best_params),
        raw=raw,
        values=values,
        scale=jax.tree.map(np.asarray, group.scale),
        score=np.asarray(state.best_score),
        epoch=np.asarray(state.best_step) // group.train.steps_per_epoch,
    )
