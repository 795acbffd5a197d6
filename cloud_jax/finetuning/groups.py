"""Groups: members that train side by side, with everything that they train on."""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import jax
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from cloud_jax.data.member_batches import MemberBatches, Sentences, packed_rows_of
from cloud_jax.finetuning.folds import Member
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.labels import Frame, fit_scaling
from cloud_jax.finetuning.steps import (
    Labels,
    PropertySteps,
    Scale,
    StepSettings,
    compile_steps,
    most_devices,
)
from cloud_jax.finetuning.targets import (
    are_classes,
    prediction,
    validation_measure,
)
from cloud_jax.training import optim
from cloud_jax.training.errors import RunMismatchError


class Group(NamedTuple):
    """Members that train side by side, with their batches and compiled steps.

    Attributes:
        members: M of them.
        steps: compiled for M members.
        train: batches of their training rows.
        validation: batches of their validation rows.
        unseen: batches of all rows that they do not learn from, test rows included.
        scale: of each member's targets, on the device.
        keys: one per member, for initialisation and dropout.
        frame: of the labels.
        labels: of the table, in their frame.
        weights: of each target in losses and scores.
        classes: which targets are classes.
        measure: name of the validation scores.
    """

    members: Sequence[Member]
    steps: PropertySteps
    train: MemberBatches
    validation: MemberBatches
    unseen: MemberBatches
    scale: Scale
    keys: PRNGKeyArray
    frame: Frame
    labels: Float[np.ndarray, "N P"]
    weights: Float[np.ndarray, " P"]
    classes: Bool[np.ndarray, " P"]
    measure: str


def make_groups(job: Job, size: int) -> Iterator[Group]:
    """Yield the groups of a job, each ready to train.

    Args:
        job: with the members of all folds.
        size: members per group; the last group may have fewer.
    """
    config = job.config
    sentences = Sentences.pack(job.table.tokens, job.table.ids)
    # Multiples of 32 tokens, so that tables of similar sentences share programs.
    row_length = max(64, -(-int(sentences.lengths.max()) // 32) * 32)
    packed_rows = packed_rows_of(
        sentences,
        row_length=row_length,
        batch_crystals=config.optimizer.batch_crystals,
    )

    def batches(
        members: Sequence[Member], rows: list[np.ndarray], packed_rows: int
    ) -> MemberBatches:
        return MemberBatches(
            sentences,
            rows,
            seeds=[data_seed(config.seed, member) for member in members],
            packed_rows=packed_rows,
            row_length=row_length,
        )

    # Of all members, so that neither shapes nor the schedule depend on who trains
    # beside whom.
    training = [member.train for member in job.members]
    of_all = batches(job.members, training, packed_rows)
    if of_all.most_rows < packed_rows:
        packed_rows = of_all.most_rows
        print(
            f"note: the batch shrinks from {config.optimizer.batch_crystals} to "
            f"{max(map(len, training))} crystals, all that a member trains on"
        )
    per_epoch = of_all.steps_per_epoch
    settings = step_settings(job, steps_per_epoch=per_epoch)
    rows = row_devices(len(job.members), packed_rows)
    compiled = cache(lambda n_members: compile_steps(settings, n_members, rows))
    for members in groups_of(job.members, size):
        steps = compiled(len(members))
        train = batches(members, [m.train for m in members], packed_rows)
        train.steps_per_epoch = per_epoch
        unseen = [np.union1d(m.validation, job.folds[m.fold].test) for m in members]
        yield Group(
            members=members,
            steps=steps,
            train=train,
            validation=batches(members, [m.validation for m in members], packed_rows),
            unseen=batches(members, unseen, packed_rows),
            scale=jax.device_put(make_scale(job, members), steps.sharding),
            keys=jax.device_put(member_keys(config.seed, members), steps.sharding),
            frame=job.frame,
            labels=job.labels,
            weights=target_weights(job),
            classes=are_classes(job.targets),
            measure=validation_measure(job.targets),
        )


def row_devices(n_members: int, packed_rows: int) -> int:
    """Return how many devices share the rows of each batch of a job.

    They are those that a job with few members leaves. All its groups do the same, so
    that a member does not depend on who trains beside it.
    """
    # Not on a CPU: nobody has measured that small batches gain by it there.
    if jax.default_backend() == "cpu":
        return 1
    n_devices = jax.device_count()
    return most_devices(n_devices // most_devices(n_devices, n_members), packed_rows)


def step_settings(job: Job, *, steps_per_epoch: int) -> StepSettings:
    """Return the settings of the steps of a job's members."""
    options = job.config.optimizer
    encoder = job.start.encoder
    optimizer = optim.finetuning_adamw(
        optim.schedule(
            learning_rate=options.learning_rate,
            warmup_fraction=options.warmup_fraction,
            total_steps=options.epochs * steps_per_epoch,
        ),
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
        n_layers=encoder.layers,
        layer_decay=options.layer_decay,
        frozen_steps=options.frozen_epochs * steps_per_epoch,
    )
    return StepSettings(
        model=job.model,
        optimizer=optimizer,
        predict=prediction(job.law, job.targets),
        labels=Labels(
            np.asarray(job.labels, np.float32),
            np.asarray(job.amounts, np.float32),
        ),
        loss=options.loss,
        weights=target_weights(job),
        classes=are_classes(job.targets),
        features=job.start.vocabulary.features if encoder.token_features else None,
        initial_encoder=job.start.params,
    )


def target_weights(job: Job) -> Float[np.ndarray, " P"]:
    """Return the weight of each target in losses and scores, 1 on average."""
    weights = np.array([target.weight for target in job.targets], np.float32)
    return weights / weights.mean()


def make_scale(job: Job, members: Sequence[Member]) -> Scale:
    """Return statistics of each member's training rows in their frame, float32."""
    names = [target.name for target in job.targets]
    classes = are_classes(job.targets)
    fitted = [fit_scaling(job.labels, m.train, names, classes) for m in members]
    return Scale(*(np.array(x, np.float32) for x in zip(*fitted, strict=True)))


def data_seed(seed: int, member: Member) -> int:
    """Return the seed of a member's order of rows, whoever trains beside it."""
    entropy = [seed, member.fold, member.number]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def member_keys(seed: int, members: Sequence[Member]) -> PRNGKeyArray:
    """Return one key per member, whoever trains beside it."""
    root = jax.random.key(seed)
    return jax.numpy.stack(
        [
            jax.random.fold_in(jax.random.fold_in(root, member.fold), member.number)
            for member in members
        ]
    )


def groups_of(members: Sequence[Member], size: int) -> list[list[Member]]:
    """Cut the members into groups that train side by side."""
    starts = range(0, len(members), size)
    return [list(members[start : start + size]) for start in starts]


def group_name(members: Sequence[Member]) -> str:
    """Return the name of a group's folder, whatever letters a fold's name has."""
    return quote(f"{members[0].name}-{members[-1].name}", safe="")


def saved_epochs(folder: Path) -> dict[str, int]:
    """Return the last saved epoch of each group that has saved one.

    Args:
        folder: `members/` of the work directory.
    """
    saved: dict[str, int] = {}
    for path in folder.glob("*/checkpoints/*"):
        if path.name.isdecimal():
            group = path.parents[1].name
            saved[group] = max(int(path.name), saved.get(group, 0))
    return saved


def check_groups(folder: Path, members: Sequence[Member], size: int) -> None:
    """Refuse to resume with groups of another size than the run started with.

    Their states would not be found, and all would start again without a word.

    Raises:
        RunMismatchError: with the size that they had.
    """
    found = saved_epochs(folder).keys()

    def fits(size: int) -> bool:
        return found <= {group_name(group) for group in groups_of(members, size)}

    if not fits(size):
        was = next(filter(fits, range(1, len(members) + 1)), "what it was")
        raise RunMismatchError(
            f"{folder} was trained {was} members at once, this run has {size} (one per "
            f"device by default): give --config.members_at_once={was} to resume it"
        )
