"""Measure every way to compute a layer on an accelerator, as JSON lines; choose one.

    python -m scripts.bench_accelerator --config=configs/bert12.py
        [--steps 10] [--rounds 3] [--epochs 3] [--members 16]
        [--config.data.path=datasets/corpus]

Ten minutes of one H100 are meant to be enough for bert12. In this order:

1. The rate of a large matrix product, the device's peak.
2. Each variant's step (names of cloud_jax/models/kernels.py) beside the reference: the
   error of its gradient, under equal dropout masks, on 16 rows, and of its loss. In
   float32 with exact products it is that against the reference; in the compute type
   against the reference in float32, where the reference's own error is the measure.
3. Time, share of the peak and seconds to compile of each variant's step of
   `cloud-jax pretrain`, on the token shards of the configuration, in alternation.
4. The choice: of the variants whose errors are no larger than the reference's, the
   fastest.
5. Learning curves of `cloud-jax pretrain` with the choice and with the reference, and
   with the reference under another seed, which shows the noise.
6. Fine-tuning steps of one member and of all at once, and the time to make a batch.
7. `predict` in blocks of more and more tokens.

The last line says which setting to switch on, and where. 0 rounds, epochs, members or
sentences leave their part out; without rounds there is no choice. On a CPU kernels are
interpreted: their errors mean something there, their times do not.
"""

import argparse
import dataclasses
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from cloud_jax.config import load_config, pretraining
from cloud_jax.data.member_batches import MemberBatches, Sentences
from cloud_jax.finetuning.steps import Labels, Scale, StepSettings
from cloud_jax.finetuning.steps import compile_steps as compile_members
from cloud_jax.finetuning.targets import prediction
from cloud_jax.models import kernels, network
from cloud_jax.models.folder import load_model
from cloud_jax.models.heads import MaskedLanguageModel, PropertyModel
from cloud_jax.models.network import outputs_and_states
from cloud_jax.training.run import Job, make_steps, prepare, run
from cloud_jax.training.state import TrainState
from cloud_jax.training.steps import pretrain_step
from scripts.bench_pretrain import (
    TOTAL_STEPS,
    draw_lengths,
    matmul_flops,
    stepper,
    time_peak,
)

PACKAGE = Path(__file__).parents[1] / "cloud_jax"
EXACT = 1e-4  # relative error of a gradient in float32, through all layers
NOISE = 1.1  # largest ratio of errors to those of the reference


def variants(backend: str) -> dict[str, tuple[str, ...]]:
    """Return the names of kernels of each variant, the reference first."""
    names = [n for n in kernels.NAMES if backend != "tpu" or n not in kernels.TRITON]
    both = ("attention", "fused_norm")
    found = {"reference": (), **{name: (name,) for name in names}}
    if backend != "tpu":
        found |= {"kernels": both, "kernels_split": (*both, "split_qkv")}
    return found | {"all": tuple(names)}


def emit(benchmark: str, **line: Any) -> None:
    """Print one JSON line, with its numbers rounded to five digits."""
    digits = {k: float(f"{v:.5g}") for k, v in line.items() if isinstance(v, float)}
    print(json.dumps({"benchmark": benchmark} | line | digits), flush=True)


def with_kernels(job: Job, names: tuple[str, ...], **changes: Any):
    """Return the job's module with some kernels."""
    config = dataclasses.replace(job.model.config, kernels=names, **changes)
    return MaskedLanguageModel(config)


# ---- exactness ----


def gradient(job: Job, params, names: tuple[str, ...], dtype: str) -> np.ndarray:
    """Return loss and gradient of one step on 16 rows as one vector."""
    optimizer = optax.trace(0.0)  # its state is the gradient
    step = jax.jit(
        partial(
            pretrain_step,
            model=with_kernels(job, names, dtype=dtype),
            optimizer=optimizer,
            mesh=job.mesh,
            features=job.features,
            mask_fraction=job.config.mask_fraction,
        )
    )
    batch = {name: rows[:16] for name, rows in job.train(0).items()}
    precision = "highest" if dtype == "float32" else None
    with jax.default_matmul_precision(precision):
        state = TrainState(np.int32(0), params, optimizer.init(params))
        state, sums = step(state, batch, jax.random.key(1))
    loss = sums["loss"].sum() / sums["count"].sum()
    leaves = [loss, *jax.tree.leaves(state.opt_state.trace)]
    return np.concatenate([np.asarray(x, np.float64).ravel() for x in leaves])


def errors(job: Job, chosen: dict) -> dict[str, bool]:
    """Print the errors of each variant; return whether they are those of rounding."""
    steps, _ = make_steps(
        job.config, job.model, job.features, job.mesh, total_steps=TOTAL_STEPS
    )
    params = steps.init(jax.random.key(0)).params
    exact = gradient(job, params, (), "float32")
    dtype, good, limit = job.model.config.dtype, {}, None

    def error(names: tuple[str, ...], dtype: str) -> tuple[float, float]:
        """Return the relative errors of loss and gradient."""
        difference = gradient(job, params, names, dtype) - exact
        length = np.linalg.norm(exact[1:])
        loss = abs(difference[0]) / exact[0]
        return float(loss), float(np.linalg.norm(difference[1:]) / length)

    for name, names in chosen.items():
        single = error(names, "float32") if names else (0.0, 0.0)
        half = single if dtype == "float32" else error(names, dtype)
        limit = max(half[1] * NOISE, EXACT) if limit is None else limit
        good[name] = max(single) < EXACT and half[1] <= limit
        line = {}
        for kind, (loss, grad) in {"float32": single, dtype: half}.items():
            line |= {f"loss_error_{kind}": loss, f"gradient_error_{kind}": grad}
        emit("exactness", variant=name, **line, exact=good[name])
    return good


# ---- speed ----


def make_run(job: Job, names: tuple[str, ...]):
    """Return a function from a number of steps of pretraining to their seconds."""
    steps, _ = make_steps(
        job.config,
        with_kernels(job, names),
        job.features,
        job.mesh,
        total_steps=TOTAL_STEPS,
    )
    run_steps = stepper(steps, job.train)

    def take(n: int) -> float:
        start = time.perf_counter()
        run_steps(n)
        return time.perf_counter() - start

    return take


def step_seconds(job: Job, chosen: dict, options, peak: float) -> dict[str, float]:
    """Print and return the time of each variant's step."""
    length, config = job.config.data.row_length, job.model.config
    queries = int(np.ceil(job.config.mask_fraction * length))
    flops = matmul_flops(config, job.train.rows, length, queries)
    runs = {name: make_run(job, names) for name, names in chosen.items()}
    compile_s = {name: take(1) for name, take in runs.items()}
    rounds = [
        {name: take(options.steps) / options.steps for name, take in runs.items()}
        for _ in range(options.rounds)
    ]
    found = {name: statistics.median(r[name] for r in rounds) for name in runs}
    for name, seconds in found.items():
        emit(
            "step",
            variant=name,
            kernels=",".join(chosen[name]) or "none",
            ms=seconds * 1e3,
            share_of_peak=flops / seconds / peak / len(jax.devices()),
            faster_than_reference=statistics.median(
                r["reference"] / r[name] for r in rounds
            ),
            compile_s=compile_s[name],
            rows=job.train.rows,
            row_length=length,
        )
    return found


def learning_curve(config: Any, names: tuple[str, ...], seed: int, epochs: int):
    """Print where a run of `cloud-jax pretrain` gets to."""
    with tempfile.TemporaryDirectory() as folder:
        config.update_from_flattened_dict(
            {
                "workdir": folder,
                "seed": seed,
                "model.kernels": ",".join(names) or "none",
                "optimizer.epochs": epochs,
                "log.every_steps": 10,
            }
        )
        start = time.perf_counter()
        found = run(prepare(config))
        seconds = time.perf_counter() - start
        lines = (Path(folder) / "metrics.jsonl").read_text().splitlines()
        events = map(json.loads, lines)
        curve = [round(x["loss"], 4) for x in events if x["split"] == "train"]
    line = {"kernels": config.model.kernels, "seed": seed, "epochs": epochs}
    emit(
        "curve",
        **line,
        validation_loss=found["validation_loss"],
        train_loss=curve[:: max(1, len(curve) // 20)],
        seconds=seconds,
    )


# ---- fine-tuning and prediction ----


def member_steps(job: Job, names: tuple[str, ...], members: int, n_steps: int):
    """Print the rate of fine-tuning steps of some members at once."""
    store, length = job.store, job.config.data.row_length
    rows = np.arange(min(2000, len(store)))
    sentences = Sentences(store.tokens, store.offsets, store.ids).take(rows)
    labels = np.random.default_rng(0).normal(size=(len(rows), 1))
    settings = StepSettings(
        model=PropertyModel(with_kernels(job, names).config, 1, 1),
        optimizer=optax.adamw(1e-4),
        predict=prediction(None, ()),
        labels=Labels(labels.astype(np.float32), np.ones_like(labels, np.float32)),
        loss="l1",
        weights=np.ones(1, np.float32),
        classes=np.zeros(1, bool),
        features=job.features,
        initial_encoder=None,
    )
    batches = MemberBatches(
        sentences,
        [rows] * members,
        seeds=range(members),
        packed_rows=16,
        row_length=length,
    )
    steps = compile_members(settings, members)
    ones = np.ones((members, 1), np.float32)
    keys = jax.random.split(jax.random.key(0), members)
    state, scale = steps.init(keys), Scale(0 * ones, ones, ones)
    start = time.perf_counter()
    data = [jax.device_put(batches(i), steps.batch_sharding) for i in range(4)]
    batch_ms = (time.perf_counter() - start) / 4 * 1e3
    for n in (1, n_steps):  # the first compiles
        start = time.perf_counter()
        for i in range(n):
            state, losses = steps.train(state, data[i % 4], scale, keys)
        jax.block_until_ready((state, losses))
        ms = (time.perf_counter() - start) / n * 1e3
    crystals = float(np.mean([(np.asarray(x["row"]) >= 0).sum() for x in data]))
    emit(
        "fine-tuning",
        kernels=",".join(names) or "none",
        members=members,
        step_ms=ms,
        batch_ms=batch_ms,
        crystals_per_second=crystals / ms * 1e3,
    )


def predict_rates(n_sentences: int, blocks: list[int]) -> None:
    """Print sentences per second of the model in the package, by size of block."""
    model = load_model(PACKAGE / "weights" / "thermal")
    rng = np.random.default_rng(0)
    tokens = len(model.vocabulary)
    sentences = [
        (1, *rng.integers(5, tokens, n - 1).tolist())
        for n in draw_lengths(n_sentences, None)
    ]
    for block in blocks:
        network.block_tokens = lambda block=block: block
        outputs_and_states(model, sentences)  # compiles
        start = time.perf_counter()
        outputs_and_states(model, sentences)
        seconds = time.perf_counter() - start
        emit("predict", block_tokens=block, sentences_per_second=n_sentences / seconds)


def parse() -> tuple[argparse.Namespace, Any]:
    """Return the arguments and the run's configuration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/bert12.py")
    parser.add_argument("--only", default="", help="variants, joined by commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="in each round")
    parser.add_argument("--epochs", type=int, default=3, help="of each curve")
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--sentences", type=int, default=50_000, help="to predict")
    parser.add_argument(
        "--blocks", type=int, nargs="+", default=[512, 8192, 131072], help="tokens"
    )
    arguments, overrides = parser.parse_known_args()
    return arguments, load_config(arguments.config, overrides, kind=pretraining)


def main() -> None:
    """Parse the command line, measure and print."""
    options, config = parse()
    backend = jax.default_backend()
    chosen = variants(backend)
    if options.only:
        chosen = {k: chosen[k] for k in ("reference", *options.only.split(","))}
    with tempfile.TemporaryDirectory() as folder:
        config.update_from_flattened_dict({"workdir": folder})
        job = prepare(config)
    peak = time_peak(job.model.config.dtype)
    device = jax.devices()[0].device_kind
    emit("peak", device=device, jax=jax.__version__, tflops=peak / 1e12)
    with jax.set_mesh(job.mesh):
        exact = errors(job, chosen)
        if not options.rounds:
            return
        seconds = step_seconds(job, chosen, options, peak)
    best = min((name for name in chosen if exact[name]), key=seconds.get)
    names = chosen[best]
    if options.epochs:
        for run_names, seed in dict.fromkeys(((names, 0), ((), 0), ((), 1))):
            learning_curve(config, run_names, seed, options.epochs)
    if options.members:
        for run_names in dict.fromkeys(((), names)):
            for members in (1, options.members):
                member_steps(job, run_names, members, options.steps)
    if options.sentences:
        predict_rates(options.sentences, options.blocks)
    setting = ",".join(names) or "none"
    emit(
        "choice",
        kernels=setting,
        faster_than_reference=seconds["reference"] / seconds[best],
        switch=f"BY_BACKEND[{backend!r}] = {names} in cloud_jax/models/kernels.py",
        or_for_one_run=f"--config.model.kernels={setting}",
    )


if __name__ == "__main__":
    main()
