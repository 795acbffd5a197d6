"""Pretrain CLOUD: masked-language modelling on symmetry sentences.

    python -m cloud_jax.pretrain --config configs/quickstart.py

Run the same command again and it resumes; exit codes are in `--help`.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from cloud_jax import configuration
from cloud_jax.configuration import ConfigurationError

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
    keys = configuration.flatten(configuration.pretraining())
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
    arguments, rest = parser.parse_known_args(argv)
    unknown = [argument for argument in rest if not argument.startswith("--config.")]
    if unknown:
        parser.error(
            f"unknown argument {unknown[0]}; settings are given as --config.KEY=VALUE"
        )
    return arguments, rest


def main(argv: list[str] | None = None) -> int:
    """Parse, run, and turn what went wrong into a message and an exit code."""
    arguments, overrides = parse(argv)
    try:
        config = configuration.load(arguments.config, overrides)
        if arguments.workdir:
            config.workdir = arguments.workdir
        return run(config, arguments)
    except (ConfigurationError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED


def ensure_dataset(config: Any, *, active: bool) -> Path:
    """The data set's folder; built first if the config says how.

    It is built by another process, so that this one imports no pymatgen and no
    TensorFlow. Processes other than the first wait for it.

    Raises:
        ConfigurationError: it is missing and cannot be built.
    """
    path = Path(config.data.path)
    manifest = path / "manifest.json"
    if manifest.exists():
        return path
    if not config.data.build:
        raise ConfigurationError(
            f"there is no data set at {path} (no {manifest}). Make one with python -m "
            "cloud_jax.preprocess, or give --config.data.path=FOLDER"
        )
    if active:
        values = {"path": path, "dialect": config.data.dialect}
        build = [argument.format(**values) for argument in config.data.build]
        words = " ".join(build)
        print(f"building {path}: python -m cloud_jax.preprocess {words}", flush=True)
        command = [sys.executable, "-m", "cloud_jax.preprocess", *build]
        if subprocess.run(command).returncode or not manifest.exists():
            raise ConfigurationError(f"building {path} failed, see above")
    deadline = time.monotonic() + config.distributed.timeout_s
    while not manifest.exists():
        if time.monotonic() > deadline:
            raise ConfigurationError(
                f"{manifest} did not appear within {config.distributed.timeout_s} s; "
                "is the folder on a file system that all hosts share?"
            )
        time.sleep(1)
    return path


def open_stores(config: Any, path: Path) -> tuple[Any, Any, dict[str, str]]:
    """Training and validation split of a data set, and the hashes that name it.

    Raises:
        ConfigurationError: it is in another dialect, or its sentences do not fit.
    """
    import hashlib

    from cloud_jax.data.token_store import TokenStore

    train, validation = (TokenStore.open(path, s) for s in ("train", "validation"))
    manifest = train.manifest
    if manifest["dialect"] != config.data.dialect:
        raise ConfigurationError(
            f"{path} is in the {manifest['dialect']} dialect, the configuration asks "
            f"for {config.data.dialect}: give --config.data.dialect="
            f"{manifest['dialect']}, or prepare the data set again"
        )
    if manifest["max_tokens"] > config.data.row_length:
        raise ConfigurationError(
            f"{path} holds sentences of up to {manifest['max_tokens']} tokens, which "
            f"do not fit rows of {config.data.row_length}: give "
            f"--config.data.row_length={manifest['max_tokens']}"
        )
    content = (path / "manifest.json").read_bytes()
    return (
        train,
        validation,
        {
            "dataset": hashlib.sha256(content).hexdigest(),
            "vocabulary": train.vocabulary.sha256,
        },
    )


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
        rows,
    )


def make_model(config: Any, store: Any) -> tuple[Any, Any]:
    """The module, and the token descriptors it takes (or None)."""
    import jax

    from cloud_jax.models.bert import preset
    from cloud_jax.models.heads import MaskedLanguageModel

    dtype = config.model.dtype
    if dtype == "auto":
        dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
    features = store.vocabulary.features if config.model.token_features else None
    encoder = preset(
        config.model.preset,
        vocab_size=len(store.vocabulary),
        max_positions=store.manifest["max_tokens"],
        dropout=config.model.dropout,
        attention_dropout=config.model.attention_dropout,
        token_features=0 if features is None else features.shape[1],
        dtype=dtype,
        scan_layers=config.model.scan_layers,
    )
    return MaskedLanguageModel(encoder), features


def run(config: Any, arguments: argparse.Namespace) -> int:
    """Wire the parts, train, evaluate against the baselines, report."""
    import jax

    from cloud_jax.training import distributed, sharding, workdir
    from cloud_jax.training.logging import write_json
    from cloud_jax.training.loop import InterruptedRunError, NonFiniteLossError
    from cloud_jax.training.report import screen

    distributed.initialize(
        arguments.distributed,
        timeout_s=config.distributed.timeout_s,
        coordinator=arguments.coordinator,
        num_processes=arguments.num_processes,
        process_id=arguments.process_id,
    )
    active = jax.process_index() == 0
    path = ensure_dataset(config, active=active)
    train, validation, hashes = open_stores(config, path)
    model, features = make_model(config, train)
    mesh = sharding.make_mesh(**config.mesh, heads=model.config.heads)
    *batches, rows = make_batches(
        config, train, validation, n_parts=sharding.row_devices(mesh)
    )
    folder = Path(config.workdir)
    workdir.open_workdir(
        folder,
        {**config.to_dict(), "hashes": hashes, "rows": rows},
        differences=configuration.differences,
        active=active,
    )
    if (folder / "results.json").exists():
        print(f"{folder}: this run has finished")
        print(screen(json.loads((folder / "results.json").read_text()), folder))
        return 0
    if active:
        write_json(folder / "environment.json", workdir.environment(hashes))
        train.vocabulary.save(folder / "vocabulary.json")
    try:
        with jax.set_mesh(mesh):
            found = pretrain(
                config,
                folder,
                mesh=mesh,
                batches=batches,
                model=model,
                features=features,
                store=train,
                hashes=hashes,
            )
    except InterruptedRunError as stop:
        if active:
            print(f"saved step {stop.step} in {folder}; run it again to resume")
        return EXIT_INTERRUPTED
    except NonFiniteLossError as stop:
        file = folder / "nonfinite.json"
        if active:
            write_json(file, stop.to_json())
        print(
            f"error: {stop}. The {len(stop.record_ids)} crystals of that batch are "
            f"listed in {file}, first {', '.join(stop.record_ids[:5])}. No checkpoint "
            "holds that state; lower the learning rate or set those crystals aside",
            file=sys.stderr,
        )
        return EXIT_NON_FINITE
    if active:
        write_json(folder / "results.json", found)
        print(screen(found, folder))
    return 0


def pretrain(
    config: Any,
    folder: Path,
    *,
    mesh: Any,
    batches: list,
    model: Any,
    features: Any,
    store: Any,
    hashes: dict[str, str],
) -> dict[str, Any]:
    """Train to the end, from the last checkpoint if there is one.

    Returns:
        The content of results.json.
    """
    import jax
    from tqdm import tqdm

    from cloud_jax.training import loop, report
    from cloud_jax.training.baselines import baseline_means
    from cloud_jax.training.checkpoint import Checkpoints
    from cloud_jax.training.logging import MetricsLog
    from cloud_jax.training.state import count_parameters

    active = jax.process_index() == 0
    train, validation = batches
    total_steps = config.optimizer.steps or math.ceil(
        config.optimizer.epochs * train.steps_per_epoch
    )
    steps, rate = make_steps(config, model, features, mesh, total_steps)
    init_key, key = jax.random.split(jax.random.key(config.seed))
    fixed = {
        "batches": validation,
        "steps": steps,
        "key": jax.random.key(config.evaluate.mask_seed),
        "n_batches": min(
            config.evaluate.max_batches or validation.steps_per_epoch,
            validation.steps_per_epoch,
        ),
    }
    # The CPU backend has nothing to gain from steps in flight.
    ahead = 0 if jax.default_backend() == "cpu" else 2
    evaluate = partial(loop.evaluate, ahead=ahead, **fixed)

    checkpoints = Checkpoints(folder / "checkpoints", keep=config.checkpoint.keep)
    start = checkpoints.latest() or 0
    if start:
        state, progress = checkpoints.restore(steps.abstract, step=start)
        progress = loop.Progress.from_json(progress)
    else:
        state, progress = steps.init(init_key), loop.Progress()
    log = MetricsLog(folder, step=start, active=active)
    terminal = sys.stderr.isatty()
    with (
        closing(checkpoints),
        closing(log),
        tqdm(
            total=total_steps, initial=start, disable=not active, unit="step",
            desc="pretrain", mininterval=0.5 if terminal else 10,
        ) as bar,
    ):  # fmt: skip
        trainer = loop.Trainer(
            steps=steps, batches=train, key=key, total_steps=total_steps, rate=rate,
            cadence=loop.Cadence(
                log=config.log.every_steps,
                evaluate=config.evaluate.every_steps,
                checkpoint=config.checkpoint.every_steps,
            ),
            evaluate_params=evaluate, checkpoints=checkpoints, log=log, ahead=ahead,
            bar=bar,
        )  # fmt: skip
        state, means = trainer.run(state, progress)
    return report.results(
        validation=means or evaluate(state.params),
        baselines=baseline_means(store, **fixed),
        progress=progress,
        parameters=count_parameters(state.params),
        steps=total_steps,
        epochs=total_steps / train.steps_per_epoch,
        checkpoint=checkpoints.path(total_steps),
        best_checkpoint=checkpoints.path(checkpoints.best()),
        hashes=hashes,
    )


def make_steps(
    config: Any, model: Any, features: Any, mesh: Any, total_steps: int
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
