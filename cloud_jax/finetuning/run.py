"""Train all members of a fine-tuning run, group by group, and write what came out."""

import sys
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from urllib.parse import quote

import jax
import numpy as np
from jaxtyping import PyTree
from tqdm import tqdm

from cloud_jax.data.member_batches import MemberBatches, Sentences, packed_rows_of
from cloud_jax.files import read_json, write_json
from cloud_jax.finetuning import outputs
from cloud_jax.finetuning.folds import Scaling
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.loop import Group, Member, member_outputs, train_group
from cloud_jax.finetuning.steps import (
    Labels,
    PropertySteps,
    Scale,
    compile_property_steps,
)
from cloud_jax.finetuning.table import write_rejects
from cloud_jax.finetuning.targets import prediction
from cloud_jax.finetuning.trained import Trained
from cloud_jax.training import optim
from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.errors import RunMismatchError
from cloud_jax.training.metrics_log import MetricsLog
from cloud_jax.training.stop import StopRequest
from cloud_jax.training.workdir import environment


def run(job: Job) -> None:
    """Train and write the results unless that was done before; print them."""
    folder = Path(job.config.workdir)
    path = folder / "results.json"
    if path.exists():
        print(f"{folder}: this run has finished")
        said = {"benchmark": job.config.benchmark, "note": job.config.note}
        if (found := read_json(path)) != found | said:
            write_json(path, found | said)
    else:
        write_json(folder / "environment.json", environment(job.hashes))
        write_rejects(folder / "rejects.csv", job.table.rejects)
        outputs.announce(job)
        trained = train(job)
        outputs.write_predictions(folder / "predictions.csv", job, trained)
        outputs.write_model(folder / "model", job, trained)
        found = outputs.results(job, trained)
        outputs.draw_parity(folder / "parity.png", job, trained, found)
        outputs.write_timing(folder / "timing.json", folder)
        write_json(path, found)
    if not (leaderboard := folder / "matbench_results.json.gz").exists():
        outputs.write_leaderboard(leaderboard, job)
    print(outputs.format_summary(read_json(path), folder))


def train(job: Job) -> Trained:
    """Train every member, or restore those that are trained.

    Raises:
        DivergedError, InterruptedRunError, OSError: see `train_group`.
        RunMismatchError: the run began with groups of another size.
    """
    config, n = job.config, len(job.members)
    size = config.members_at_once or (
        jax.device_count() if jax.default_backend() == "cpu" else n
    )
    check_groups(job, min(size, n))
    trained = []
    with (
        StopRequest() as stop,
        tqdm(
            total=config.optimizer.epochs * -(-n // size),
            unit="epoch",
            desc="fine-tune",
            mininterval=0.5 if sys.stderr.isatty() else 10,
        ) as bar,
    ):
        for group in make_groups(job, size):
            trained.append(train_one(job, group, bar, stop))
    return Trained(*(merge(parts) for parts in zip(*trained, strict=True)))


def make_groups(job: Job, size: int) -> Iterator[Group]:
    """Yield groups of members that train side by side, ready to train."""
    config = job.config
    sentences = Sentences.pack(job.table.tokens, job.table.ids)
    longest = int(sentences.lengths.max())
    row_length = max(64, -(-longest // 32) * 32)
    packed_rows = packed_rows_of(
        sentences,
        row_length=row_length,
        batch_crystals=config.optimizer.batch_crystals,
    )
    shape = {"packed_rows": packed_rows, "row_length": row_length}

    def batches(members: list[Member], rows: list[np.ndarray]) -> MemberBatches:
        seeds = [data_seed(config.seed, member) for member in members]
        return MemberBatches(sentences, rows, seeds=seeds, **shape)

    # Of all members, so that the schedule does not depend on who trains beside whom.
    per_epoch = batches(job.members, [m.train for m in job.members]).steps_per_epoch
    compiled = cache(
        lambda n_members: compile_steps(
            job, n_members, total_steps=per_epoch * config.optimizer.epochs
        )
    )
    for members in groups_of(job.members, size):
        steps = compiled(len(members))
        unseen = [
            np.union1d(member.validation, job.folds[member.fold].test)
            for member in members
        ]
        train = batches(members, [m.train for m in members])
        train.steps_per_epoch = per_epoch
        yield Group(
            members=members,
            steps=steps,
            train=train,
            validation=batches(members, [m.validation for m in members]),
            unseen=batches(members, unseen),
            scale=jax.device_put(make_scale(job, members), steps.sharding),
            keys=jax.device_put(member_keys(config.seed, members), steps.sharding),
            targets=job.table.targets,
        )


def groups_of(members: list[Member], size: int) -> list[list[Member]]:
    """Cut the members into groups that train side by side."""
    return [members[start : start + size] for start in range(0, len(members), size)]


def check_groups(job: Job, size: int) -> None:
    """Refuse to go on with groups of another size than the run began with.

    Their states would not be found, and all would begin anew without a word.

    Raises:
        RunMismatchError: with the size that it had.
    """
    folder = Path(job.config.workdir) / "members"
    states = [path for path in folder.glob("*/checkpoints/*") if path.name.isdecimal()]
    found = {path.parents[1].name for path in states}

    def fits(size: int) -> bool:
        return found <= {group_name(job, g) for g in groups_of(job.members, size)}

    if not fits(size):
        was = next(filter(fits, range(1, len(job.members) + 1)), "what it was")
        raise RunMismatchError(
            f"{folder} was trained {was} members at once, this run has {size} (as many "
            f"as there are devices): give --config.members_at_once={was} to resume it"
        )


def train_one(job: Job, group: Group, bar: tqdm, stop: StopRequest) -> Trained:
    """Train one group and predict all that its members did not learn from."""
    config, members, steps = job.config, group.members, group.steps
    names = [member_name(job, member) for member in members]
    folder = Path(config.workdir) / "members" / group_name(job, members)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        closing(Checkpoints(folder / "checkpoints", keep=1)) as checkpoints,
        closing(MetricsLog(folder, step=checkpoints.latest() or 0, active=True)) as log,
    ):
        state = train_group(
            group,
            epochs=config.optimizer.epochs,
            checkpoints=checkpoints,
            every_epochs=config.checkpoint.every_epochs,
            log=log,
            names=names,
            bar=bar,
            stop=stop,
        )
    n_rows = len(job.table.ids)
    raw = member_outputs(steps, state.best_params, group.unseen, n_rows=n_rows)
    values = np.asarray(
        steps.predict(np.nan_to_num(raw), np.arange(n_rows), group.scale), float
    )
    values[np.isnan(raw).any(-1)] = np.nan
    return Trained(
        params=jax.tree.map(np.asarray, state.best_params),
        raw=raw,
        values=values,
        scale=jax.tree.map(np.asarray, group.scale),
        score=np.asarray(state.best_score),
        epoch=np.asarray(state.best_step) // group.train.steps_per_epoch,
    )


def merge(parts: list[PyTree]) -> PyTree:
    """Stack the members of all groups."""
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def member_name(job: Job, member: Member) -> str:
    """Fold and number, as in `fold_0.2`."""
    return f"{job.folds[member.fold].name}.{member.number}"


def group_name(job: Job, members: list[Member]) -> str:
    """Name of a group's folder, whatever letters a fold's name has."""
    ends = (member_name(job, member) for member in (members[0], members[-1]))
    return quote("-".join(ends), safe="")


def data_seed(seed: int, member: Member) -> int:
    """Seed of a member's order of rows; its own, whoever trains beside it."""
    entropy = [seed, member.fold, member.number]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def member_keys(seed: int, members: list[Member]) -> jax.Array:
    """A key a member, of its own."""
    root = jax.random.key(seed)
    return jax.numpy.stack(
        [
            jax.random.fold_in(jax.random.fold_in(root, member.fold), member.number)
            for member in members
        ]
    )


def make_scale(job: Job, members: list[Member]) -> Scale:
    """Statistics of each member's training rows, float32."""
    names = [target.name for target in job.targets]
    mean, std, mad = [], [], []
    for member in members:
        rows = job.table.targets[member.train]
        fitted = Scaling.fit(job.table.targets, member.train, names)
        mean.append(fitted.mean)
        std.append(fitted.scale)
        mad.append(np.abs(rows - fitted.mean).mean(axis=0))
    return Scale(*(np.array(x, np.float32) for x in (mean, std, mad)))


def compile_steps(job: Job, n_members: int, *, total_steps: int) -> PropertySteps:
    """The compiled steps of a group of that size."""
    options = job.config.optimizer
    per_epoch = total_steps // options.epochs
    optimizer = optim.finetuning_adamw(
        optim.schedule(
            learning_rate=options.learning_rate,
            warmup_fraction=options.warmup_fraction,
            total_steps=total_steps,
        ),
        weight_decay=options.weight_decay,
        clip_norm=options.clip_norm,
        n_layers=job.encoder.layers,
        layer_decay=options.layer_decay,
        frozen_steps=options.frozen_epochs * per_epoch,
    )
    return compile_property_steps(
        job.model,
        optimizer,
        predict=prediction(job.law, job.targets),
        labels=Labels(
            np.asarray(job.table.targets, np.float32),
            np.asarray(job.amounts, np.float32),
        ),
        loss=options.loss,
        features=job.vocabulary.features if job.encoder.token_features else None,
        n_members=n_members,
        initial_encoder=job.initial_encoder,
    )
