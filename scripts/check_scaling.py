"""How often the intervals of a scaling law hold the constants that made the points.

    python -m scripts.check_scaling

Each data set is a grid of N and D with the losses of a known law times log-normal
noise, fitted as `cloud_jax.scaling fit` does. JSON on the last line: the share of data
sets whose 95 % interval holds each constant, and all five at once.
"""

import argparse
import json

import numpy as np

from cloud_jax.studies import paper
from cloud_jax.studies.scaling import law as scaling

SPAN_N, SPAN_D = (1e5, 1e8), (1e6, 3e8)  # what the paper's models and corpus span


def main() -> None:
    """Draw, fit, count, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--datasets", type=int, default=100)
    parser.add_argument("--noise", type=float, default=0.01, help="of log loss")
    parser.add_argument("--sizes", type=int, default=5, help="different N")
    parser.add_argument("--lengths", type=int, default=4, help="different D")
    parser.add_argument("--points", type=int, help="the cheapest of them (all)")
    for name in scaling.CONSTANTS:
        value = paper.read_paper()["scaling"][name]
        parser.add_argument(f"--{name}", type=float, default=value)
    arguments = parser.parse_args()
    law = scaling.Law(*(getattr(arguments, name) for name in scaling.CONSTANTS))
    parameters, tokens = np.meshgrid(
        np.geomspace(*SPAN_N, arguments.sizes), np.geomspace(*SPAN_D, arguments.lengths)
    )
    cheapest = np.argsort((parameters * tokens).ravel(), kind="stable")
    cheapest = cheapest[: arguments.points]
    parameters, tokens = parameters.ravel()[cheapest], tokens.ravel()[cheapest]
    held, widths = [], []
    for seed in range(arguments.datasets):
        noise = np.random.default_rng(seed).normal(size=parameters.shape)
        loss = law.loss(parameters, tokens) * np.exp(arguments.noise * noise)
        fitted = scaling.fit(parameters, tokens, loss)
        ends = np.array([fitted.interval(name) for name in scaling.CONSTANTS])
        held.append((ends[:, 0] <= law) & (law <= ends[:, 1]))
        widths.append((ends[:, 1] - ends[:, 0]) / law)
        print(f"{seed + 1}: {int(held[-1].sum())} of 5 held", flush=True)
    share, width = np.mean(held, axis=0), np.median(widths, axis=0)
    found = {
        "datasets": len(held),
        "held": dict(zip(scaling.CONSTANTS, share.tolist(), strict=True)),
        "all_five": float(np.mean(np.all(held, axis=1))),
        "median_width_over_constant": dict(
            zip(scaling.CONSTANTS, width.round(3).tolist(), strict=True)
        ),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
