"""Speed of the Debye solid on one core, as one JSON line.

    taskset -c 0 python -m scripts.bench_debye [--pairs 1000000]

For each property: (theta, T) pairs a second for the value alone, and for the value with
both first derivatives, in float32 and float64. theta is 50 to 1850 K, T 0 to 2000 K, so
that both branches are needed. Seconds are processor time, so that other work on the
core does not count.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np

from cloud_jax.physics import debye
from cloud_jax.physics.laws import PROPERTIES


def pairs_per_second(function, theta, temperature, rounds: int) -> int:
    """Return the median rate over rounds, compilation left out."""
    jax.block_until_ready(function(theta, temperature))
    rates = []
    for _ in range(rounds):
        start = time.process_time()
        jax.block_until_ready(function(theta, temperature))
        rates.append(theta.size / (time.process_time() - start))
    return round(statistics.median(rates))


def main() -> None:
    """Time each property and its derivatives."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    theta = rng.uniform(50.0, 1850.0, args.pairs)
    temperature = rng.uniform(0.0, 2000.0, args.pairs)
    rates = {}
    for name in PROPERTIES:
        law = getattr(debye, name)
        derivatives = jax.jit(jax.vmap(jax.value_and_grad(law, (0, 1))))
        for dtype in ("float32", "float64"):
            arrays = jnp.asarray(theta, dtype), jnp.asarray(temperature, dtype)
            rates[f"{name}_{dtype}"] = {
                "value": pairs_per_second(jax.jit(law), *arrays, args.rounds),
                "value_and_gradient": pairs_per_second(
                    derivatives, *arrays, args.rounds
                ),
            }
    result = {
        "benchmark": "debye",
        "pairs": args.pairs,
        "cores": len(os.sched_getaffinity(0)),
        "least_pairs_per_second": min(min(rate.values()) for rate in rates.values()),
        "pairs_per_second": rates,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
