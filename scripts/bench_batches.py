"""Speed of building batches on one core, as JSON lines.

    python -m scripts.bench_batches [--crystals 1000000] [--lengths CSV]

The crystals are random tokens; their lengths are drawn from a CSV of strings (first
column, words + 2) or, without one, from a gamma distribution like that of real
crystals. One line for each row length: the share of positions filled, the time to make
the recipe and an epoch's plan, and crystals per second with the plan included.
"""

import argparse
import csv
import json
import statistics
import time
from types import SimpleNamespace

import numpy as np

from cloud_jax.data.batches import PackedBatches


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
        tokens=rng.integers(5, 600, lengths.sum(), dtype=np.uint16),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        lengths=lengths,
        ids=range(len(lengths)),
    )


def main() -> None:
    """Time one epoch for each row length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crystals", type=int, default=1_000_000)
    parser.add_argument("--rows", type=int, default=1024)
    parser.add_argument("--row-length", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--lengths", help="CSV whose first column holds strings")
    args = parser.parse_args()

    store = make_store(draw_lengths(args.crystals, args.lengths))
    for row_length in args.row_length:
        start = time.perf_counter()
        batches = PackedBatches(store, rows=args.rows, row_length=row_length, seed=0)
        recipe_s = time.perf_counter() - start
        rates, plan_s = [], []
        for epoch in range(3):
            start = time.perf_counter()
            batches(epoch * batches.steps_per_epoch)
            plan_s.append(time.perf_counter() - start)
            for step in range(1, batches.steps_per_epoch):
                batches(epoch * batches.steps_per_epoch + step)
            rates.append(batches.n_crystals / (time.perf_counter() - start))
        result = {
            "benchmark": "batches",
            "crystals": args.crystals,
            "rows": args.rows,
            "row_length": row_length,
            "fill": round(batches.fill, 4),
            "recipe_s": round(recipe_s, 3),
            "plan_s": round(statistics.median(plan_s), 3),
            "crystals_per_second": round(statistics.median(rates)),
        }
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
