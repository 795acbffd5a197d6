"""Pretrain CLOUD: masked-language modelling on symmetry sentences.

    python -m cloud_jax.pretrain --config configs/quickstart.py

Run the same command again and it resumes; exit codes are in `--help`.
"""

import argparse
import math
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from cloud_jax.config import (
    differences,
    flatten,
    load_config,
    parse_arguments,
    pretraining,
)

EXIT_FAILED, EXIT_NON_FINITE, EXIT_INTERRUPTED = 1, 3, 75

EPILOG = """\
exit codes
  0   finished (also when it had finished before)
  1   something to correct: settings, data, disk
  2   wrong arguments
  3   the loss or gradient was not finite; see nonfinite.json in the workdir
  75  stopped by SIGTERM or SIGINT with its state saved: run it again to resume

configuration keys, with the defaults of the paper's preset that configs/*.py change
"""


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Command-line arguments, and those that start with `--config.`."""
    keys = flatten(pretraining())
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.pretrain",
        description="Pretrain CLOUD on a folder of symmetry sentences. An interrupted "
        "run resumes when the same command is given again.",
        epilog=EPILOG + "\n".join(f"  --config.{k}={v!r}" for k, v in keys.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, help="such as configs/quickstart.py")
    parser.add_argument("--workdir", help="folder of this run (default: runs/NAME)")
    parser.add_argument(
        "--distributed",
        default="auto",
        choices=("auto", "manual", "off"),
        help="join other processes: found from Slurm or the TPU pod (auto), given by "
        "the three arguments below (manual), or never (off)",
    )
    parser.add_argument("--coordinator", help="HOST:PORT of process 0")
    parser.add_argument("--num_processes", type=int, help="how many there are")
    parser.add_argument("--process_id", type=int, help="number of this one, from 0")
    return parse_arguments(parser, argv)


def main(argv: list[str] | None = None) -> int:
    """Parse, run, and turn what went wrong into a message and an exit code."""
    arguments, overrides = parse(argv)
    try:
        config = load_config(arguments.config, overrides, kind=pretraining)
        if arguments.workdir:
            config.workdir = arguments.workdir
        job = prepare(config, arguments)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    return execute(job)


class Job(NamedTuple):
    """The parts of one run, checked against each other."""

    config: Any
    folder: Path
    mesh: Any
    train: Any  # PackedBatches
    validation: Any  # PackedBatches
    store: Any  # TokenStore of the training split
    model: Any
    features: Any
    hashes: dict[str, str]


def make_batches(config: Any, train: Any, validation: Any, *, n_parts: int) -> tuple:
    """Batches of both splits, with `batch_crystals` crystals a batch on average.

    Rows are a multiple of 8 and of the devices that share them, so that the same run
    fits any 1, 2, 4 or 8 of them.
    """
    from cloud_jax.data.batches import PackedBatches

    length, seed = config.data.row_length, config.seed
    single = PackedBatches(train, rows=1, row_length=length, seed=seed)
    wanted = config.data.batch_crystals * single.n_rows / single.n_crystals
    multiple = math.lcm(8, n_parts)
    rows = max(1, round(wanted / multiple)) * multiple
    return (
        PackedBatches(train, rows=rows, row_length=length, seed=seed),
        # Shuffled, so that a capped evaluation sees a fair sample: always the same.
        PackedBatches(validation, rows=rows, row_length=length, seed=0),
    )


def make_model(config: Any, store: Any) -> tuple[Any, Any]:
    """The module, and the token descriptors it takes (or None)."""
    from cloud_jax.models.bert import preset
    from cloud_jax.models.heads import MaskedLanguageModel
    from cloud_jax.training.backend import compute_dtype

    features = store.vocabulary.features if config.model.token_features else None
    encoder = preset(
        config.model.preset,
        vocab_size=len(store.vocabulary),
        max_positions=store.manifest["max_tokens"],
        dropout=config.model.dropout,
        attention_dropout=config.model.attention_dropout,
        token_features=0 if features is None else features.shape[1],
        dtype=compute_dtype(config.model.dtype),
        scan_layers=config.model.scan_layers,
    )
    return MaskedLanguageModel(encoder), features


def prepare(config: Any, arguments: argparse.Namespace) -> Job:
    """Join the other processes, open the data, and check that all parts fit.

    The workdir is not touched, so that what is wrong here can be corrected there.

    Raises:
        ValueError: settings and data that do not go together.
        OSError: a file that cannot be read, or processes that do not meet.
    """
    import jax

    from cloud_jax.training import dataset, distributed, sharding, workdir

    folder = Path(config.workdir)
    workdir.refuse_object_store(folder)
    distributed.initialize(
        arguments.distributed,
        timeout_s=config.distributed.timeout_s,
        coordinator=arguments.coordinator,
        num_processes=arguments.num_processes,
        process_id=arguments.process_id,
    )
    path = Path(config.data.path)
    dataset.ensure(
        path,
        build=config.data.build,
        dialect=config.data.dialect,
        timeout_s=config.distributed.timeout_s,
        active=jax.process_index() == 0,
    )
    train, validation, hashes = dataset.open_splits(
        path, dialect=config.data.dialect, row_length=config.data.row_length
    )
    model, features = make_model(config, train)
    mesh = sharding.make_mesh(**config.mesh, heads=model.config.heads)
    batches = make_batches(
        config, train, validation, n_parts=sharding.row_devices(mesh)
    )
    return Job(config, folder, mesh, *batches, train, model, features, hashes)


def execute(job: Job) -> int:
    """Train, evaluate, report; return the exit code."""
    import jax

    from cloud_jax.files import write_json
    from cloud_jax.training.errors import (
        InterruptedRunError,
        NonFiniteLossError,
        RunMismatchError,
    )
    from cloud_jax.training.workdir import claim

    active = jax.process_index() == 0
    identity = {"hashes": job.hashes, "rows": job.train.rows}
    try:
        with (
            claim(
                job.folder,
                job.config.to_dict() | identity,
                differences=differences,
                active=active,
            ),
            jax.set_mesh(job.mesh),
        ):
            run(job, active=active)
    except InterruptedRunError as stop:
        if active:
            print(f"saved step {stop.step} in {job.folder}; run it again to resume")
        return EXIT_INTERRUPTED
    except NonFiniteLossError as stop:
        file = job.folder / "nonfinite.json"
        if active:
            write_json(file, stop.to_json())
        crystals = (
            f"The {len(stop.record_ids)} crystals of that batch are listed in {file}, "
            f"first {', '.join(stop.record_ids[:5])}. "
        )
        print(
            f"error: {stop}. {crystals if stop.record_ids else ''}No checkpoint "
            "holds that state; lower the learning rate or set those crystals aside",
            file=sys.stderr,
        )
        return EXIT_NON_FINITE
    except (OSError, RunMismatchError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    return 0


def run(job: Job, *, active: bool) -> None:
    """Train and write the results unless that was done before; print them."""
    from cloud_jax.files import read_json, write_json
    from cloud_jax.training.summary import format_summary
    from cloud_jax.training.workdir import environment

    path = job.folder / "results.json"
    if path.exists():
        found = read_json(path)
        print(f"{job.folder}: this run has finished")
    else:
        if active:
            write_json(job.folder / "environment.json", environment(job.hashes))
            job.store.vocabulary.save(job.folder / "vocabulary.json")
        found = pretrain(job)
        if active:
            write_json(path, found)
    if not (job.folder / "model").exists():
        write_model(job, found, active=active)
    if active:
        print(format_summary(found, job.folder))


def write_model(job: Job, found: dict[str, Any], *, active: bool) -> None:
    """Write the best state's parameters as the folder that fine-tuning begins with."""
    import dataclasses

    from cloud_jax.models.bert import unroll
    from cloud_jax.models.folder import save_model
    from cloud_jax.training.checkpoint import read_params

    checkpoint = job.folder / "checkpoints" / Path(found["best_checkpoint"]).name
    params = read_params(checkpoint)  # by all processes, which wait for each other
    if not active:
        return
    config = dataclasses.replace(job.model.config, dtype="float32", scan_layers=False)
    manifest = job.store.manifest
    save_model(
        job.folder / "model",
        description={
            "kind": "encoder",
            "encoder": dataclasses.asdict(config),
            **{k: manifest[k] for k in ("symprec", "angle_tolerance", "max_tokens")},
            "symmetry": manifest.get("symmetry", "spglib"),
            "provenance": {"hashes": job.hashes},
        },
        vocabulary=job.store.vocabulary,
        params=params | {"encoder": unroll(params["encoder"])},
    )


def pretrain(job: Job) -> dict[str, Any]:
    """Train to the end, from the last checkpoint if there is one.

    Returns:
        The content of results.json.
    """
    import jax
    from tqdm import tqdm

    from cloud_jax.training import loop
    from cloud_jax.training import summary as report
    from cloud_jax.training.baselines import baseline_means
    from cloud_jax.training.checkpoint import Checkpoints
    from cloud_jax.training.metrics_log import MetricsLog
    from cloud_jax.training.state import count_parameters

    config, active = job.config, jax.process_index() == 0
    total_steps = config.optimizer.steps or math.ceil(
        config.optimizer.epochs * job.train.steps_per_epoch
    )
    steps, rate = make_steps(
        config, job.model, job.features, job.mesh, total_steps=total_steps
    )
    init_key, key = jax.random.split(jax.random.key(config.seed))
    n_batches = job.validation.steps_per_epoch
    fixed = {
        "batches": job.validation,
        "steps": steps,
        "key": jax.random.key(config.evaluate.mask_seed),
        "n_batches": min(config.evaluate.max_batches or n_batches, n_batches),
    }
    # The CPU backend has nothing to gain from steps in flight.
    ahead = 0 if jax.default_backend() == "cpu" else 2
    evaluate = partial(loop.evaluate, ahead=ahead, **fixed)

    with (
        closing(
            Checkpoints(job.folder / "checkpoints", keep=config.checkpoint.keep)
        ) as checkpoints,
        closing(
            MetricsLog(job.folder, step=checkpoints.latest() or 0, active=active)
        ) as log,
        tqdm(
            total=total_steps,
            initial=checkpoints.latest() or 0,
            disable=not active,
            unit="step",
            desc="pretrain",
            mininterval=0.5 if sys.stderr.isatty() else 10,
        ) as bar,
    ):
        if latest := checkpoints.latest():
            state, progress = checkpoints.restore(steps.abstract, step=latest)
            progress = loop.Progress.from_json(progress)
        else:
            state, progress = steps.init(init_key), loop.Progress()
        state, means = loop.Trainer(
            steps=steps,
            batches=job.train,
            key=key,
            total_steps=total_steps,
            rate=rate,
            cadence=loop.Cadence(
                log=config.log.every_steps,
                evaluate=config.evaluate.every_steps,
                checkpoint=config.checkpoint.every_steps,
            ),
            evaluate_params=evaluate,
            checkpoints=checkpoints,
            log=log,
            ahead=ahead,
            bar=bar,
        ).run(state, progress)
        return report.results(
            validation=means or evaluate(state.params),
            baselines=baseline_means(job.store, **fixed),
            progress=progress,
            parameters=count_parameters(state.params),
            steps=total_steps,
            epochs=total_steps / job.train.steps_per_epoch,
            checkpoint=checkpoints.path(total_steps),
            best_checkpoint=checkpoints.path(checkpoints.best()),
            hashes=job.hashes,
        )


def make_steps(
    config: Any, model: Any, features: Any, mesh: Any, *, total_steps: int
) -> tuple[Any, Any]:
    """The compiled steps, and the learning rate of a step number."""
    from cloud_jax.training import optim
    from cloud_jax.training.steps import compile_steps

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


if __name__ == "__main__":
    sys.exit(main())
