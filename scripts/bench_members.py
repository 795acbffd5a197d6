"""What training members side by side is worth on this machine.

    python -m scripts.bench_members [--config configs/thermal.py] [--config.KEY=VALUE]

The same five members take the same steps, one after another and then in groups of every
size up to all at once, in alternation. Crystals a second of each, and the ratio to one
after another; the last line is JSON.
"""

import argparse
import json
import time
from statistics import median

from cloud_jax.config import finetuning, load_config
from cloud_jax.finetune import use_all_cores


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/thermal.py")
    parser.add_argument("--steps", type=int, default=20, help="of each member a round")
    parser.add_argument("--rounds", type=int, default=3)
    arguments, overrides = parser.parse_known_args()
    config = load_config(arguments.config, overrides, kind=finetuning)
    use_all_cores()
    rates = measure(config, steps=arguments.steps, rounds=arguments.rounds)
    for size, rate in rates.items():
        print(f"{size} at once: {rate:8.0f} crystals/s, {rate / rates[1]:.2f} times")
    print(json.dumps({f"at_once_{size}": rate for size, rate in rates.items()}))


def measure(config, *, steps: int, rounds: int) -> dict[int, float]:
    """Crystals a second by the size of groups, medians over rounds."""
    import jax
    import numpy as np

    from cloud_jax.finetuning.job import prepare
    from cloud_jax.finetuning.run import make_groups

    job = prepare(config)
    n = len(job.members)
    sizes = sorted({1, min(2, n), n})
    groups = {size: list(make_groups(job, size)) for size in sizes}
    states = {
        size: [group.steps.init(group.keys) for group in groups[size]] for size in sizes
    }
    times = {size: [] for size in sizes}
    for turn in range(rounds + 1):  # the first compiles
        for size in sizes:
            crystals, begun = 0, time.perf_counter()
            for index, group in enumerate(groups[size]):
                state = states[size][index]
                for step in range(steps):
                    batch = group.train(step)
                    crystals += int(np.sum(batch["row"] >= 0))
                    state, losses = group.steps.train(
                        state,
                        jax.device_put(batch, group.steps.sharding),
                        group.scale,
                        group.keys,
                    )
                states[size][index] = state
                jax.block_until_ready(losses)
            if turn:
                times[size].append(crystals / (time.perf_counter() - begun))
    return {size: median(values) for size, values in times.items()}


if __name__ == "__main__":
    main()
