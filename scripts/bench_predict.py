"""Measure the structures per second of `cloud-jax predict`, from files to rows.

    python -m scripts.bench_predict FOLDER [--checkpoint DIR] [--rounds 3]

JSON lines out. The first, `start_up`, is what a run pays once for any number of files:
imports, loading the model, and compilation (all files once, less the time of the
fastest later round). Then one line per round, `reading` (workers started, files parsed)
and `predicting` (network, law at 300 K, rows) in seconds, and last the median rate.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from cloud_jax.cores import usable_cores


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    start = time.perf_counter()
    import cloud_jax
    from cloud_jax.inference.crystals import to_crystals
    from cloud_jax.inference.inputs import parse, path_items
    from cloud_jax.inference.properties import make_request
    from cloud_jax.inference.tables import rows

    predictor = cloud_jax.load(options.checkpoint)
    loading = time.perf_counter() - start
    law = predictor.model.description["head"]["kind"] == "physics"
    request = make_request(predictor.model.description, [300.0] if law else None, None)
    workers = usable_cores()

    def once() -> dict[str, float]:
        begun = time.perf_counter()
        results = parse(
            path_items([str(options.folder)]), predictor.options, workers=workers
        )
        crystals, rejects = to_crystals(results, predictor.model)
        read = time.perf_counter()
        crystals, raw, _ = predictor.outputs(crystals)
        for chunk, made in predictor.properties(crystals, raw, request):
            rows(chunk, made)
        done = time.perf_counter()
        counts = {"predicted": len(crystals), "rejected": len(rejects)}
        return counts | {"reading": read - begun, "predicting": done - read}

    first, *later = (once() for _ in range(options.rounds + 1))
    compiling = first["predicting"] - min(found["predicting"] for found in later)
    print(json.dumps({"start_up": loading + compiling, "loading": loading}))
    rates = []
    for found in later:
        print(json.dumps(found))
        rates.append(found["predicted"] / (found["reading"] + found["predicting"]))
    print(json.dumps({"structures_per_second": statistics.median(rates)}))


if __name__ == "__main__":
    main()
