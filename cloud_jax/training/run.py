"""One pretraining run, in the order in which it happens.

`prepare` fits settings, data and devices together and writes nothing into the work
directory; `run` claims the directory, trains, and leaves results.json and model/ there.
"""

import math
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float

from cloud_jax.data.batches import PackedBatches
from cloud_jax.data.token_store import TokenStore
from cloud_jax.files import read_json, write_json
from cloud_jax.models.bert import preset
from cloud_jax.models.folder import encoder_fields, save_model
from cloud_jax.models.heads import MaskedLanguageModel
from cloud_jax.models.kernels import choose_kernels
from cloud_jax.progress import progress
from cloud_jax.training import dataset, optim, processes, sharding
from cloud_jax.training.backend import ROW_SHARES, compute_dtype, steps_ahead
from cloud_jax.training.baselines import baseline_means
from cloud_jax.training.checkpoint import Checkpoints, read_params
from cloud_jax.training.errors import NonFiniteLossError, memory_explained
from cloud_jax.training.evaluate import evaluate
from cloud_jax.training.loop import Cadence, Counters, Trainer
from cloud_jax.training.metrics_log import MetricsLog
from cloud_jax.training.startup import StartUp
from cloud_jax.training.state import count_parameters
from cloud_jax.training.steps import Steps, compile_steps
from cloud_jax.training.summary import results
from cloud_jax.training.workdir import (
    DIVERGED,
    claim,
    devices,
    environment,
    program,
    refuse_object_store,
)

MEMORY_ADVICE = (
    "config.data.batch_crystals, take a smaller config.model.preset, or split the "
    "parameters over devices with config.mesh.fsdp"
)


class Job(NamedTuple):
    """The parts of one run, checked against each other.

    Attributes:
        config: the settings, see `cloud_jax.config.pretraining`.
        folder: the work directory.
        store: the training split.
        train: its batches.
        validation: batches of the validation split.
        model: the module.
        features: descriptors of the tokens, or None.
        mesh: over all devices of all processes.
        hashes: of the data set and of its vocabulary.
        startup: the clock of the run's start.
    """

    config: Any
    folder: Path
    store: TokenStore
    train: PackedBatches
    validation: PackedBatches
    model: MaskedLanguageModel
    features: Float[np.ndarray, "V F"] | None
    mesh: Mesh
    hashes: dict[str, str]
    startup: StartUp


def prepare(config: Any) -> Job:
    """Open the data and make the parts of a run.

    The work directory is not touched: what is wrong here can be corrected without it.

    Raises:
        ValueError: settings and data that do not go together.
        OSError: a file that cannot be read.
        RunMismatchError: the processes of this run differ.
    """
    startup = StartUp()
    folder, path = Path(config.workdir), Path(config.data.path)
    refuse_object_store(folder)
    processes.refuse_differences("settings", config.to_dict() | {"program": program()})

    # ---- data: built where it is missing, verified by its hashes ----
    dataset.ensure(
        path,
        build=config.data.build,
        dialect=config.data.dialect,
        active=processes.is_first(),
    )
    store, validation_store, hashes = dataset.open_splits(
        path, dialect=config.data.dialect, row_length=config.data.row_length
    )

    processes.refuse_differences("data", {"data": hashes} | devices())

    # ---- model, and the mesh that divides its heads ----
    model, features = make_model(config, store)
    mesh = sharding.make_mesh(**config.mesh, heads=model.config.heads)

    # ---- batches: as many rows as the mesh can share evenly ----
    train, validation = make_batches(
        config, store, validation_store, n_parts=sharding.row_devices(mesh)
    )
    return Job(
        config,
        folder,
        store,
        train,
        validation,
        model,
        features,
        mesh,
        hashes,
        startup,
    )


def run(job: Job) -> dict[str, Any]:
    """Train, evaluate and write the results, unless that was done before.

    Returns:
        The content of results.json.

    Raises:
        ProcessError: the processes of this run do not share the work directory.
        RunMismatchError: the work directory belongs to another run.
        InterruptedRunError: a signal stopped the run, and its state is saved.
        MemoryExhaustedError: a smaller batch or model may help.
        NonFiniteLossError: described in nonfinite.json.
        OSError: a file could not be read or written.
    """
    active = processes.is_first()
    # Beside the settings: the data may change behind its path, and the number of rows
    # follows from the devices. A resumed run must see the same batches.
    identity = {"hashes": job.hashes, "rows": job.train.rows}
    settings = job.config.to_dict() | identity
    path = job.folder / "results.json"
    with (
        claim(job.folder, settings, active=active),
        jax.set_mesh(job.mesh),
    ):
        processes.refuse_private(job.folder)
        if path.exists():
            found = read_json(path)
            if active:
                print(f"{job.folder}: this run has finished")
        else:
            if active:
                write_json(job.folder / "environment.json", environment(job.hashes))
                job.store.vocabulary.save(job.folder / "vocabulary.json")
            try:
                found = train(job, active=active)
            except NonFiniteLossError as error:
                if active:
                    write_json(job.folder / DIVERGED, error.to_json())
                raise
            if active:
                write_json(path, found)
        if not (job.folder / "model").exists():
            write_model(job, found, active=active)
    return found


def train(job: Job, *, active: bool) -> dict[str, Any]:
    """Train to the last step, from the latest checkpoint if there is one.

    Returns:
        The content of results.json.
    """
    config = job.config

    # ---- steps: compiled for the mesh, with their schedule ----
    total_steps = config.optimizer.steps or math.ceil(
        config.optimizer.epochs * job.train.steps_per_epoch
    )
    steps, rate = make_steps(
        config, job.model, job.features, job.mesh, total_steps=total_steps
    )
    init_key, key = jax.random.split(jax.random.key(config.seed))

    # ---- evaluation: the same batches under the same masks every time ----
    n_batches = job.validation.steps_per_epoch
    fixed = {
        "batches": job.validation,
        "steps": steps,
        "key": jax.random.key(config.evaluate.mask_seed),
        "n_batches": min(config.evaluate.max_batches or n_batches, n_batches),
    }
    ahead = steps_ahead()
    evaluate_params = partial(evaluate, ahead=ahead, **fixed)

    checkpoint_dir = job.folder / "checkpoints"
    with (
        closing(Checkpoints(checkpoint_dir, keep=config.checkpoint.keep)) as saved,
        processes.announcing(),
        memory_explained(MEMORY_ADVICE),
    ):
        # ---- state: read onto the mesh, or initialised on it ----
        done = saved.latest() or 0
        if done:
            state, counters = saved.restore(steps.abstract, step=done)
            counters = Counters.from_json(counters)
        else:
            state, counters = steps.init(init_key), Counters()

        # ---- loop ----
        bar = progress(
            "training", total=total_steps, unit="steps", done=done, show=active
        )
        with closing(MetricsLog(job.folder, step=done, active=active)) as log, bar:
            trainer = Trainer(
                steps=steps,
                batches=job.train,
                key=key,
                total_steps=total_steps,
                rate=rate,
                cadence=cadence_of(config),
                evaluate_params=evaluate_params,
                checkpoints=saved,
                log=log,
                ahead=ahead,
                bar=bar,
                startup=job.startup,
            )
            state, means = trainer.run(state, counters)

        # ---- results: beside those of counting on the same masked positions ----
        return results(
            validation=means or evaluate_params(state.params),
            baselines=baseline_means(job.store, **fixed),
            counters=counters,
            startup=job.startup,
            parameters=count_parameters(state.params),
            steps=total_steps,
            epochs=total_steps / job.train.steps_per_epoch,
            checkpoint=saved.path(total_steps),
            best_checkpoint=saved.path(saved.best()),
            hashes=job.hashes,
        )


# ---- parts ----


def make_model(config: Any, store: TokenStore) -> tuple[MaskedLanguageModel, Any]:
    """Return the module, and the token descriptors it takes (or None)."""
    features = store.vocabulary.features if config.model.token_features else None
    encoder = preset(
        config.model.preset,
        vocab_size=len(store.vocabulary),
        max_positions=store.manifest["max_tokens"],
        dropout=config.model.dropout,
        attention_dropout=config.model.attention_dropout,
        token_features=0 if features is None else features.shape[1],
        dtype=compute_dtype(config.model.dtype),
        kernels=choose_kernels(config.model.kernels),
    )
    return MaskedLanguageModel(encoder), features


def make_batches(
    config: Any, train: TokenStore, validation: TokenStore, *, n_parts: int
) -> tuple[PackedBatches, PackedBatches]:
    """Return the batches of both splits, of `batch_crystals` crystals on average.

    No more than hold all crystals of the training split. Rows are a multiple of
    `ROW_SHARES` and of the `n_parts` devices that share them, so
    that the same run fits any 1, 2, 4 or 8 of them.
    """
    length, seed = config.data.row_length, config.seed
    single = PackedBatches(train, rows=1, row_length=length, seed=seed)
    wanted = config.data.batch_crystals * single.n_rows / single.n_crystals
    multiple = math.lcm(*ROW_SHARES, n_parts)
    rows = max(1, round(wanted / multiple)) * multiple
    filled = -(-single.n_rows // multiple) * multiple
    if filled < rows:
        rows = filled
        if jax.process_index() == 0:
            print(
                f"note: the batch shrinks from {config.data.batch_crystals:,} to "
                f"{single.n_crystals:,} crystals, all of the training split"
            )
    return (
        PackedBatches(train, rows=rows, row_length=length, seed=seed),
        # Shuffled, so that a capped evaluation sees a fair sample; by a fixed seed, so
        # that runs of different seeds are measured on the same one.
        PackedBatches(validation, rows=rows, row_length=length, seed=0),
    )


def make_steps(
    config: Any,
    model: MaskedLanguageModel,
    features: Any,
    mesh: Mesh,
    *,
    total_steps: int,
) -> tuple[Steps, Any]:
    """Return the compiled steps, and the learning rate as a function of the step."""
    options = config.optimizer
    rate = optim.schedule(
        learning_rate=options.learning_rate,
        warmup_fraction=options.warmup_fraction,
        total_steps=total_steps,
    )
    optimizer = optim.adamw(
        rate, weight_decay=options.weight_decay, clip_norm=options.clip_norm
    )
    steps = compile_steps(
        model,
        optimizer,
        mesh=mesh,
        features=features,
        mask_fraction=config.mask_fraction,
    )
    return steps, rate


def cadence_of(config: Any) -> Cadence:
    """Return how often the settings ask to log, to evaluate and to save."""
    return Cadence(
        log=config.log.every_steps,
        evaluate=config.evaluate.every_steps,
        checkpoint=config.checkpoint.every_steps,
    )


def write_model(job: Job, found: dict[str, Any], *, active: bool) -> None:
    """Write the parameters of the best checkpoint as the folder `model`.

    Fine-tuning, prediction and other runs begin with that folder.
    """
    # The folder may have been moved since, so of the recorded path the name counts.
    checkpoint = job.folder / "checkpoints" / Path(found["best_checkpoint"]).name
    params = read_params(checkpoint)  # by all processes, which wait for each other
    if not active:
        return
    manifest = job.store.manifest
    save_model(
        job.folder / "model",
        description={
            "kind": "encoder",
            "encoder": encoder_fields(job.model.config),
            **{k: manifest[k] for k in ("symprec", "angle_tolerance", "max_tokens")},
            "symmetry": manifest.get("symmetry", "spglib"),
            "provenance": {
                "hashes": job.hashes,
                "learned": [
                    {
                        "table": Path(job.config.data.path).name,
                        "labels": {"masked tokens": len(job.store.lengths)},
                    }
                ],
            },
        },
        vocabulary=job.store.vocabulary,
        params=params,
    )
