"""Measure the speed of pretraining steps, or of building batches, as JSON lines.

    python -m scripts.bench_pretrain --config=configs/bert.py:3 [--reference]
        [--rounds 5] [--steps 2] [--config.data.batch_crystals=256]
    python -m scripts.bench_pretrain --batches 1000000 [--lengths CSV]

Ours is the step of `cloud-jax pretrain` on packed rows of random tokens: masking,
dropout, AdamW, clipping. With `--reference` (needs torch and transformers)
`BertForMaskedLM` of the same architecture, vocabulary, dropout, optimizer, clipping,
compute type and number of threads runs in alternation, on batches of as many crystals
padded to 64 and masked beforehand (which is not counted). Neither counts compilation,
the first steps, or building batches. A round measures in turn a large matrix product in
the compute type, ours, and the reference; the last lines hold medians over rounds.
Rates per second of CPU time are fair where other programs use the machine, too.
`fraction_of_peak` is the work of the model's matrix products, padding included, over
the best product measured.

`--batches` instead builds batches of random crystals on one core: the share of filled
positions, the time to make the recipe and an epoch's plan, and crystals per second,
plan included. Lengths come from a CSV of sentences (first column), or from a gamma
distribution like that of real crystals.
"""

import argparse
import csv
import json
import statistics
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloud_jax.config import load_config, pretraining
from cloud_jax.cores import usable_cores
from cloud_jax.data.batches import PackedBatches
from cloud_jax.data.prefetch import make_global
from cloud_jax.models.bert import EncoderConfig, preset
from cloud_jax.models.heads import MaskedLanguageModel
from cloud_jax.models.kernels import choose_kernels
from cloud_jax.training import sharding
from cloud_jax.training.backend import ROW_SHARES, compute_dtype, use_all_cores
from cloud_jax.training.run import make_batches, make_steps
from cloud_jax.training.steps import Steps

VOCAB_SIZE = 600  # about that of both dialects
PADDED_LENGTH = 64  # of the reference pipeline's sentences
N_BATCHES = 4
TOTAL_STEPS = 10_000  # of the schedule; the rate does not change what a step costs


def draw_lengths(n_crystals: int, path: str | None) -> np.ndarray:
    """Return sentence lengths, [CLS] and [SEP] included."""
    rng = np.random.default_rng(0)
    if path is None:
        return np.clip(rng.gamma(12.0, 2.5, n_crystals), 12, 64).astype(np.int64)
    with open(path, newline="") as file:
        rows = list(csv.reader(file))[1:]
    return rng.choice([len(row[0].split()) + 2 for row in rows], n_crystals)


def make_store(lengths: np.ndarray) -> SimpleNamespace:
    """Return what PackedBatches reads of a TokenStore, with random tokens."""
    rng = np.random.default_rng(1)
    return SimpleNamespace(
        tokens=rng.integers(5, VOCAB_SIZE, lengths.sum(), dtype=np.uint16),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        lengths=lengths,
        ids=range(len(lengths)),
    )


def time_batches(lengths: np.ndarray, row_length: int, rounds: int) -> dict:
    """Return fill, times and rate of building batches of 1,024 rows."""
    store = make_store(lengths)
    start = time.perf_counter()
    batches = PackedBatches(store, rows=1024, row_length=row_length, seed=0)
    recipe_s = time.perf_counter() - start
    rates, plan_s = [], []
    for epoch in range(rounds):
        start = time.perf_counter()
        batches(epoch * batches.steps_per_epoch)
        plan_s.append(time.perf_counter() - start)
        for step in range(1, batches.steps_per_epoch):
            batches(epoch * batches.steps_per_epoch + step)
        rates.append(batches.n_crystals / (time.perf_counter() - start))
    return {
        "benchmark": "batches",
        "crystals": len(lengths),
        "row_length": row_length,
        "fill": round(batches.fill, 4),
        "recipe_s": round(recipe_s, 3),
        "plan_s": round(statistics.median(plan_s), 3),
        "crystals_per_second": round(statistics.median(rates)),
    }


def matmul_flops(config: EncoderConfig, rows: int, length: int, queries: int) -> int:
    """Return the operations of a step's matrix products, forward and backward.

    Args:
        config: architecture.
        rows: per batch.
        length: tokens per row.
        queries: positions per row at which the last layer and the head are evaluated.
    """
    width, mlp, tokens, asked = config.width, config.mlp_width, rows * length, queries

    def layer(n: int) -> int:
        """Return keys and values everywhere; attention and the rest at n positions."""
        each = 2 * width**2 + 2 * width * mlp + 2 * length * width
        return tokens * 2 * width**2 + n * each

    head = width**2 + width * config.vocab_size
    forward = (config.layers - 1) * layer(tokens) + layer(rows * asked)
    return 3 * 2 * (forward + rows * asked * head)


def time_peak(dtype: str) -> float:
    """Return operations per second of a large matrix product."""
    n = 2048 if jax.default_backend() == "cpu" else 8192
    x = jnp.ones((n, n), dtype)
    product = jax.jit(jnp.dot)
    product(x, x).block_until_ready()
    start = time.perf_counter()
    for _ in range(4):
        y = product(x, x)
    y.block_until_ready()
    # In a mesh each of its devices computes the whole product.
    products = 4 * len(y.sharding.device_set)
    return products * 2 * n**3 / (time.perf_counter() - start)


def make_ours(config, encoder: EncoderConfig, batches: PackedBatches) -> Callable:
    """Return a function that takes some steps of ours, see `stepper`."""
    mesh = sharding.make_mesh(**config.mesh, heads=encoder.heads)
    jax.set_mesh(mesh)
    model = MaskedLanguageModel(encoder)
    steps, _ = make_steps(config, model, None, mesh, total_steps=TOTAL_STEPS)
    return stepper(steps, batches)


def stepper(steps: Steps, batches: PackedBatches) -> Callable[[int], None]:
    """Return a function that takes some training steps and waits for them."""
    key = jax.random.key(0)
    data = [make_global(batches, i, steps.batch_sharding) for i in range(N_BATCHES)]
    state = [steps.init(key)]

    def run(n: int) -> None:
        for i in range(n):
            state[0], sums = steps.train(state[0], data[i % N_BATCHES], key)
        jax.block_until_ready((state[0], sums))

    return run


def make_reference(
    config, encoder: EncoderConfig, n_crystals: int, lengths
) -> Callable:
    """Return the same for Hugging Face's BertForMaskedLM on padded sentences."""
    import torch
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    torch.set_num_threads(usable_cores())
    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=encoder.vocab_size,
            hidden_size=encoder.width,
            num_hidden_layers=encoder.layers,
            num_attention_heads=encoder.heads,
            intermediate_size=encoder.mlp_width,
            max_position_embeddings=PADDED_LENGTH,
            hidden_dropout_prob=encoder.dropout,
            attention_probs_dropout_prob=encoder.attention_dropout,
        )
    )
    model = model.to(device).train()
    options = config.optimizer
    optimizer = torch.optim.AdamW(
        model.parameters(), options.learning_rate, weight_decay=options.weight_decay
    )

    rng = np.random.default_rng(0)

    def batch() -> dict:
        chosen = torch.as_tensor(rng.choice(lengths, n_crystals))
        shape = (n_crystals, PADDED_LENGTH)
        mask = torch.arange(PADDED_LENGTH)[None] < chosen[:, None]
        tokens = torch.randint(5, encoder.vocab_size, shape) * mask
        chosen = (torch.rand(shape) < config.mask_fraction) & mask
        inputs = {
            "input_ids": torch.where(chosen, 3, tokens),
            "attention_mask": mask.long(),
            "labels": torch.where(chosen, tokens, -100),
        }
        return {name: value.to(device) for name, value in inputs.items()}

    data = [batch() for _ in range(N_BATCHES)]
    half = encoder.dtype == "bfloat16"

    def run(n: int) -> None:
        for i in range(n):
            with torch.autocast(device, torch.bfloat16, enabled=half):
                loss = model(**data[i % N_BATCHES]).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), options.clip_norm)
            optimizer.step()
            optimizer.zero_grad()
        loss.item()

    return run


def median_ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median over rounds of one rate over the other."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 2)


def parse() -> tuple[argparse.Namespace, Any]:
    """Return the arguments and the run's configuration."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/bert.py:3")
    parser.add_argument("--reference", action="store_true", help="run PyTorch too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="in each round")
    parser.add_argument("--lengths", help="CSV whose first column holds sentences")
    parser.add_argument("--batches", type=int, metavar="N", help="of N crystals")
    arguments, overrides = parser.parse_known_args()
    return arguments, load_config(arguments.config, overrides, kind=pretraining)


def make_encoder(config) -> EncoderConfig:
    """Return the architecture, without token features, which the reference lacks."""
    return preset(
        config.model.preset,
        vocab_size=VOCAB_SIZE,
        max_positions=PADDED_LENGTH,
        dropout=config.model.dropout,
        attention_dropout=config.model.attention_dropout,
        dtype=compute_dtype(config.model.dtype),
        kernels=choose_kernels(config.model.kernels),
    )


def alternate(contenders: dict, dtype: str, arguments: argparse.Namespace) -> tuple:
    """Return peaks, and crystals per second and per CPU second, of each round."""
    peaks = []
    rates, cpu_rates = ({name: [] for name in contenders} for _ in range(2))
    for run, *_ in contenders.values():
        run(2)  # compilation, allocations
    for index in range(arguments.rounds):
        peaks.append(time_peak(dtype))
        for name, (run, crystals, _) in contenders.items():
            start, cpu_start = time.perf_counter(), time.process_time()
            run(arguments.steps)
            elapsed, cpu = time.perf_counter() - start, time.process_time() - cpu_start
            rates[name].append(crystals * arguments.steps / elapsed)
            cpu_rates[name].append(crystals * arguments.steps / cpu)
            line = {"round": index, "implementation": name}
            line["crystals_per_second"] = round(rates[name][-1], 1)
            line["crystals_per_cpu_second"] = round(cpu_rates[name][-1], 1)
            print(json.dumps(line), flush=True)
    return peaks, rates, cpu_rates


def main() -> None:
    """Parse the command line, measure and print."""
    arguments, config = parse()
    if arguments.batches:
        lengths = draw_lengths(arguments.batches, arguments.lengths)
        for row_length in (64, 128):
            line = time_batches(lengths, row_length, arguments.rounds)
            print(json.dumps(line), flush=True)
        return
    if -1 in config.mesh.values():
        use_all_cores(ROW_SHARES)
    encoder = make_encoder(config)
    length, n_crystals = config.data.row_length, config.data.batch_crystals
    lengths = draw_lengths(max(20_000, 2 * N_BATCHES * n_crystals), arguments.lengths)
    store = make_store(lengths)
    batches, _ = make_batches(config, store, store, n_parts=1)
    rows = batches.rows
    mean_crystals = batches.n_crystals * rows / batches.n_rows
    queries = int(np.ceil(config.mask_fraction * length))
    # name -> (run, crystals of a step, operations of a step)
    contenders = {
        "cloud_jax": (
            make_ours(config, encoder, batches),
            mean_crystals,
            matmul_flops(encoder, rows, length, queries),
        )
    }
    if arguments.reference:
        contenders["transformers"] = (
            make_reference(config, encoder, n_crystals, lengths),
            n_crystals,
            matmul_flops(encoder, n_crystals, PADDED_LENGTH, PADDED_LENGTH),
        )

    peaks, rates, cpu_rates = alternate(contenders, encoder.dtype, arguments)
    for name, (_, crystals, flops) in contenders.items():
        rate = statistics.median(rates[name])
        line = {
            "benchmark": "pretrain",
            "implementation": name,
            "preset": config.model.preset,
            "dtype": encoder.dtype,
            "device": jax.devices()[0].device_kind,
            "threads": usable_cores(),
            "crystals_per_step": round(crystals, 1),
            "rounds": arguments.rounds,
            "crystals_per_second": round(rate, 1),
            "crystals_per_cpu_second": round(statistics.median(cpu_rates[name]), 1),
            "tokens_per_second": round(rate * float(lengths.mean())),
            "matmul_peak_gflops": round(max(peaks) / 1e9, 1),
            "fraction_of_peak": round(flops * rate / crystals / max(peaks), 3),
            "cloud_jax_over_this": median_ratio(rates["cloud_jax"], rates[name]),
            "cloud_jax_over_this_by_cpu_time": median_ratio(
                cpu_rates["cloud_jax"], cpu_rates[name]
            ),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
