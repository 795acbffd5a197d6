"""Measure what `cloud-jax predict` spends its time on, from files to rows.

    python -m scripts.bench_predict FILE_OR_FOLDER [--symmetry moyopy] [--rounds 3]

JSON lines out, wall and CPU seconds (`_cpu`, of all threads and workers) side by side:

    start_up  importing the packages, loading the model, starting the workers that many
              files have, and compiling: the network and the law of a first pass, less
              those of the fastest later one
    a round   reading (files, symmetry, sentences; without the start of the workers),
              network, law (at 300 K), rows
    last      median structures per second of the rounds, by wall time, and as many as
              this many cores would do by CPU time, where other work shares the machine

Compiled programs are kept and found as by the command: with
JAX_ENABLE_COMPILATION_CACHE=false compiling is what it costs the first time.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from cloud_jax.compiled import keep_compiled_programs
from cloud_jax.cores import usable_cores


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("path")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--symmetry", choices=("spglib", "moyopy"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_compiled_programs()
    start = Stopwatch()
    from cloud_jax.inference.predictor import load

    start.lap("importing")
    predictor = load(options.checkpoint, symmetry=options.symmetry)
    start.lap("loading")
    once = _pass(predictor, options.path)
    first, *later = (once() for _ in range(options.rounds + 1))
    for name in ("", "_cpu"):
        first_time, *others = (
            found[f"network{name}"] + found[f"law{name}"] for found in (first, *later)
        )
        start.seconds[f"compiling{name}"] = first_time - min(others)
        start.seconds[f"workers{name}"] = first[f"workers{name}"]
    print(json.dumps({"start_up": start.seconds}))
    rates: dict[str, list[float]] = {"": [], "_cpu": []}
    for found in later:
        print(json.dumps(found))
        for name, values in rates.items():
            spent = sum(found[f"{stage}{name}"] for stage in STAGES)
            values.append(found["predicted"] / max(spent, 1e-9))
    wall, cpu = (statistics.median(values) for values in rates.values())
    cores = usable_cores()
    print(
        json.dumps(
            {
                "structures_per_second": wall,
                "structures_per_second_by_cpu_time": cpu * cores,
                "cores": cores,
            }
        )
    )


STAGES = ("reading", "network", "law", "rows")


class Stopwatch:
    """Wall and CPU seconds of stages, by name."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._before = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        # Workers count once they have ended.
        return time.perf_counter(), sum(os.times()[:4])

    def lap(self, stage: str) -> None:
        """Note what has passed since the stage before."""
        now = self._now()
        for name, new, old in zip(("", "_cpu"), now, self._before, strict=True):
            self.seconds[stage + name] = round(new - old, 4)
        self._before = now


def _pass(predictor, path: str) -> Callable[[], dict[str, float]]:
    """Return what predicts everything once, and says what each stage took."""
    from cloud_jax.inference.crystals import to_crystals
    from cloud_jax.inference.inputs import POOL_FROM, parse, path_items
    from cloud_jax.inference.properties import make_request
    from cloud_jax.inference.tables import rows
    from cloud_jax.structures.source import RawItem

    law = predictor.model.description["head"]["kind"] == "physics"
    request = make_request(predictor.model.description, [300.0] if law else None, None)
    workers = usable_cores()
    has_workers = workers > 1 and len(list(path_items([path]))) >= POOL_FROM
    nothing = [RawItem("", ("none", ""), "reject")] * (POOL_FROM if has_workers else 0)

    def once() -> dict[str, float]:
        clock = Stopwatch()
        parse(nothing, predictor.options, workers=workers)
        clock.lap("workers")
        results = parse(path_items([path]), predictor.options, workers=workers)
        crystals, rejects = to_crystals(results, predictor.model)
        clock.lap("reading")
        crystals, raw, _ = predictor.outputs(crystals)
        clock.lap("network")
        made = list(predictor.properties(crystals, raw, request))
        clock.lap("law")
        for chunk, values in made:
            rows(chunk, values)
        clock.lap("rows")
        for name in ("", "_cpu"):  # they were started again
            started = clock.seconds[f"workers{name}"]
            clock.seconds[f"reading{name}"] -= started
        return {"predicted": len(crystals), "rejected": len(rejects)} | clock.seconds

    return once


if __name__ == "__main__":
    main()
