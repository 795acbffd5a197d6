"""The loop of fine-tuning: some members side by side, from the first step to the last.

Order of an epoch, which is also the order in which a resumed run finds things: update,
evaluate, select, log, checkpoint.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray, PyTree

from cloud_jax.data.member_batches import MemberBatches
from cloud_jax.finetuning.steps import PropertyState, PropertySteps, Scale
from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.errors import InterruptedRunError
from cloud_jax.training.metrics_log import MetricsLog
from cloud_jax.training.stop import StopRequest


class Member(NamedTuple):
    """One model of the run.

    Attributes:
        fold: number of its fold.
        number: of the member in its fold, from 0.
        train: rows of the table it learns from.
        validation: rows its best state is chosen with.
    """

    fold: int
    number: int
    train: Int[np.ndarray, " n"]
    validation: Int[np.ndarray, " v"]


class DivergedError(Exception):
    """The loss of a member stopped being a number."""


class Group(NamedTuple):
    """What a group of M members trains with.

    Attributes:
        members: M of them.
        steps: compiled for M members.
        train: batches of their training rows.
        validation: batches of their validation rows.
        unseen: batches of all rows that they do not learn from, test rows included.
        scale: of each member's targets, on the device.
        keys: one a member, for initialisation and dropout.
        targets: of the table.
    """

    members: Sequence[Member]
    steps: PropertySteps
    train: MemberBatches
    validation: MemberBatches
    unseen: MemberBatches
    scale: Scale
    keys: PRNGKeyArray
    targets: Float[np.ndarray, "N P"]


def member_outputs(
    steps: PropertySteps, params: PyTree, batches: MemberBatches, *, n_rows: int
) -> Float[np.ndarray, "M N O"]:
    """Raw outputs of each member for the rows in its batches; NaN for all others."""
    found = None
    for step in range(batches.steps_per_epoch):
        batch = batches(step)
        raw = np.asarray(steps.outputs(params, jax.device_put(batch, steps.sharding)))
        if found is None:
            found = np.full((len(raw), n_rows, raw.shape[-1]), np.nan, np.float32)
        member, *slot = np.nonzero(batch["row"] >= 0)
        found[member, batch["row"][member, *slot]] = raw[member, *slot]
    return found


def validation_scores(group: Group, params: PyTree) -> Float[np.ndarray, " M"]:
    """Mean absolute error over validation rows, in parts of the training rows' MAD."""
    n_rows = len(group.targets)
    raw = member_outputs(group.steps, params, group.validation, n_rows=n_rows)
    values = group.steps.predict(np.nan_to_num(raw), np.arange(n_rows), group.scale)
    errors = np.abs(np.asarray(values) - group.targets)
    return np.array(
        [
            (errors[i, member.validation] / np.asarray(group.scale.mad)[i]).mean()
            for i, member in enumerate(group.members)
        ],
        np.float32,
    )


def train_group(
    group: Group,
    *,
    epochs: int,
    checkpoints: Checkpoints,
    every_epochs: int,
    log: MetricsLog,
    names: Sequence[str],
    bar: Any,
    stop: StopRequest,
) -> PropertyState:
    """Train to the end, from the last checkpoint if there is one.

    Args:
        group: the members.
        epochs: of every member's training rows.
        checkpoints: of this group.
        every_epochs: how often to save.
        log: where numbers go; its steps count epochs.
        names: of the members.
        bar: a tqdm bar, advanced by one an epoch.
        stop: asked for at any time, also before the first step.

    Raises:
        DivergedError: a loss is not finite; no checkpoint holds the state after it.
        InterruptedRunError: after saving.
        OSError: a checkpoint or an event could not be written.
    """
    steps, per_epoch = group.steps, group.train.steps_per_epoch
    if latest := checkpoints.latest():
        state, _ = checkpoints.restore(steps.abstract, step=latest)
    else:
        state = steps.init(group.keys)
    done = int(state.step) // per_epoch
    bar.update(done)
    if stop.asked and done < epochs:
        raise InterruptedRunError(done)
    for epoch in range(done, epochs):
        begun = time.perf_counter()
        losses = []
        for step in range(epoch * per_epoch, (epoch + 1) * per_epoch):
            batch = jax.device_put(group.train(step), steps.sharding)
            state, loss = steps.train(state, batch, group.scale, group.keys)
            losses.append(loss)
        losses = np.mean([np.asarray(loss) for loss in losses], axis=0)
        scores = validation_scores(group, state.params)
        for name, loss, score in zip(names, losses, scores, strict=True):
            if not np.isfinite([loss, score]).all():
                raise DivergedError(
                    f"member {name}, epoch {epoch + 1}: loss {loss}, validation "
                    f"{score}; lower config.optimizer.learning_rate"
                )
            log.write(
                {
                    "step": epoch + 1,
                    "split": name,
                    "loss": float(loss),
                    "validation_mae_over_mad": float(score),
                    "seconds": time.perf_counter() - begun,
                }
            )
        state = steps.select(state, scores)
        bar.update()
        bar.set_postfix_str(f"validation {scores.mean():.4f}", refresh=False)
        last, stopping = epoch + 1 == epochs, stop.asked
        if last or stopping or (epoch + 1) % every_epochs == 0:
            log.sync()
            checkpoints.save(state, {}, step=epoch + 1)
        if stopping and not last:
            checkpoints.wait()
            raise InterruptedRunError(epoch + 1)
    checkpoints.wait()
    return state
