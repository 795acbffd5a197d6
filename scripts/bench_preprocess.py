"""Measure preprocessing, as JSON lines.

    python -m scripts.bench_preprocess                        # the embedded crystals
    python -m scripts.bench_preprocess --limit 2000 table:wbm.npz cif:folder

`spglib` is the floor, the symmetry search alone on cells that are already arrays;
`process` is everything that happens to one crystal, in one process; `command` is the
whole `python -m cloud_jax.preprocess` with its processes, imports, shards and tables,
its peak memory summed over all of them. Floor and `process` alternate in blocks of
crystals, so that a busy machine slows both.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

BLOCK = 100


def measure_crystals(words: list[str], limit: int, dialect: str) -> list[dict]:
    """Time spglib alone and the whole per-crystal work on the same crystals."""
    import numpy as np
    import spglib

    from cloud_jax.preprocess import pipeline
    from cloud_jax.preprocess.sources.corpus import read_sources
    from cloud_jax.scope.rejection import Rejection

    options = pipeline.Options(dialect=dialect)
    pairs = ((s.name, item) for s in read_sources(words) for item in s.items())
    pairs = list(itertools.islice(pairs, limit))
    pipeline.process(pairs[0][1], "warm", options)
    spent = {"spglib": 0.0, "process": 0.0}
    n_cells = n_records = n_sites = 0
    for start in range(0, len(pairs), BLOCK):
        block = pairs[start : start + BLOCK]
        cells = []
        for _, item in block:
            try:
                cell = pipeline.read_cell(item)
            except Rejection:
                continue
            kinds = {kind: i for i, kind in enumerate(dict.fromkeys(cell.species))}
            numbers = np.array([kinds[kind] for kind in cell.species])
            cells.append((cell.lattice, cell.fractional, numbers))
        began = time.perf_counter()
        for cell in cells:
            try:
                spglib.get_symmetry_dataset(cell, 0.01, 5.0)
            except spglib.SpglibError:
                continue
        middle = time.perf_counter()
        results = [pipeline.process(item, name, options) for name, item in block]
        spent["spglib"] += middle - began
        spent["process"] += time.perf_counter() - middle
        n_cells += len(cells)
        n_sites += sum(len(cell[2]) for cell in cells)
        n_records += sum(isinstance(r, pipeline.Record) for r in results)
    floor = spent["spglib"] / max(n_cells, 1)
    whole = spent["process"] / len(pairs)
    return [
        {
            "benchmark": "spglib",
            "crystals": n_cells,
            "mean_sites": round(n_sites / max(n_cells, 1), 1),
            "ms_per_crystal": round(1e3 * floor, 3),
            "crystals_per_second_per_core": round(1 / floor, 1) if floor else None,
        },
        {
            "benchmark": "process",
            "crystals": len(pairs),
            "records": n_records,
            "ms_per_crystal": round(1e3 * whole, 3),
            "crystals_per_second_per_core": round(1 / whole, 1),
            "times_the_floor": round(whole / floor, 2) if floor else None,
        },
    ]


def measure_command(words: list[str], workers: int, dialect: str) -> dict:
    """Run the command in a scratch folder and watch its memory."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cloud_jax.preprocess", *words]
        command += ["--output", f"{folder}/dataset", "--workers", str(workers)]
        command += ["--dialect", dialect, "--max-reject-fraction", "0.99"]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = {"total": 0, "parent": 0, "worker": 0}
        while process.poll() is None:
            for name, size in _resident(process.pid).items():
                peak[name] = max(peak[name], size)
            time.sleep(0.1)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise SystemExit(f"the command ended with status {process.returncode}")
        manifest = json.loads(Path(folder, "dataset", "manifest.json").read_text())
    n_read = sum(source["n_read"] for source in manifest["sources"])
    return {
        "benchmark": "command",
        "crystals": n_read,
        "workers": workers,
        "seconds": round(seconds, 2),
        "crystals_per_second_per_core": round(n_read / seconds / workers, 1),
        "peak_rss_mib": {name: round(size / 2**20) for name, size in peak.items()},
    }


def _resident(pid: int) -> dict[str, int]:
    """Resident bytes of a process, of its largest child, and of all together."""
    try:
        parent = psutil.Process(pid)
        own = parent.memory_info().rss
        children = [c.memory_info().rss for c in parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return {}
    return {
        "parent": own,
        "worker": max(children, default=0),
        "total": own + sum(children),
    }


def main() -> None:
    """Parse the command line and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--limit", type=int, default=5000, help="crystals timed singly")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--dialect", choices=("canonical", "paper"), default="canonical"
    )
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # before numpy is imported: as in the workers
    for line in measure_crystals(arguments.sources, arguments.limit, arguments.dialect):
        print(json.dumps(line), flush=True)
    line = measure_command(arguments.sources, arguments.workers, arguments.dialect)
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
