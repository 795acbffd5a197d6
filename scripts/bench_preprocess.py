"""Measure preprocessing, as JSON lines.

    python -m scripts.bench_preprocess                        # the embedded crystals
    python -m scripts.bench_preprocess --limit 2000 table:wbm.npz cif:folder
    python -m scripts.bench_preprocess --symmetry spglib moyopy --every 50 table:wbm.npz

`search` is the symmetry search alone on cells that are already arrays; spglib's is the
floor. `process` is all the work on a crystal, in one process. `command` is the whole
`cloud-jax preprocess` with processes, imports, shards and tables, the peak memory of
all processes, and its rates in the first and the last tenth of the crystals (`search`
gives the cost of these tenths with spglib alone). The first two are CPU time and
alternate in blocks of crystals, so that a busy machine slows both.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from cloud_jax.cores import usable_cores

BLOCK = 100


def measure_crystals(
    words: list[str], limit: int, every: int, dialect: str, searches: list[str]
) -> list[dict]:
    """Return CPU times of the searches alone and of all the work per crystal."""
    from cloud_jax.datasets.corpus import read_sources
    from cloud_jax.scope import pipeline
    from cloud_jax.structures.rejection import Rejection

    pairs = ((s.name, item) for s in read_sources(words) for item in s.items())
    pairs = list(itertools.islice(pairs, 0, limit * every, every))
    options = {
        name: pipeline.Options(dialect=dialect, symmetry=name) for name in searches
    }
    for name in searches:
        pipeline.process(pairs[0][1], "warm", options[name])
    alone = dict.fromkeys(("spglib", *searches), 0.0)
    floors = []  # per block, s per crystal
    whole = dict.fromkeys(searches, 0.0)
    n_records: Counter = Counter()
    n_cells = n_sites = 0
    for start in range(0, len(pairs), BLOCK):
        block = pairs[start : start + BLOCK]
        cells = []
        for _, item in block:
            try:
                cell = pipeline.read_cell(item)
            except Rejection:
                continue
            kinds = {kind: i for i, kind in enumerate(dict.fromkeys(cell.species))}
            numbers = [kinds[kind] for kind in cell.species]
            cells.append((cell.lattice, cell.fractional, numbers))
        before = alone["spglib"]
        for name in alone:
            alone[name] += _search(name, cells)
        floors.append((alone["spglib"] - before) / max(len(cells), 1))
        for name in searches:
            began = time.process_time()
            results = [pipeline.process(item, s, options[name]) for s, item in block]
            whole[name] += time.process_time() - began
            n_records[name] += sum(isinstance(r, pipeline.Record) for r in results)
        n_cells += len(cells)
        n_sites += sum(len(cell[2]) for cell in cells)
    floor = alone["spglib"] / max(n_cells, 1)

    def line(benchmark: str, name: str, n: int, seconds: float) -> dict:
        each = seconds / max(n, 1)
        return {
            "benchmark": benchmark,
            "symmetry": name,
            "crystals": n,
            "ms_per_crystal": round(1e3 * each, 3),
            "crystals_per_second_per_core": round(1 / each, 1) if each else None,
            "times_the_floor": round(each / floor, 2) if floor else None,
        }

    mean = {"mean_sites": round(n_sites / max(n_cells, 1), 1)}
    lines = [line("search", name, n_cells, alone[name]) | mean for name in alone]
    tenth = -(-len(floors) // 10)
    for name, blocks in (("first", floors[:tenth]), ("last", floors[-tenth:])):
        lines[0][f"ms_in_{name}_tenth"] = round(1e3 * sum(blocks) / len(blocks), 3)
    return lines + [
        line("process", name, len(pairs), whole[name]) | {"records": n_records[name]}
        for name in searches
    ]


def _search(name: str, cells: list[tuple]) -> float:
    """Return the seconds of CPU time of a symmetry search on some cells."""
    import spglib

    from cloud_jax.scope import moyo

    began = time.process_time()
    for cell in cells:
        if name == "moyopy":
            moyo.find(*cell, 0.01, 5.0)
            continue
        try:
            spglib.get_symmetry_dataset(cell, 0.01, 5.0)
        except spglib.SpglibError:
            continue
    return time.process_time() - began


def measure_command(
    words: list[str], workers: int, dialect: str, symmetry: str
) -> dict:
    """Return wall time, memory and rates of the command in a scratch folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "cloud_jax.preprocess", *words]
        command += ["--output", f"{folder}/dataset", "--workers", str(workers)]
        command += ["--dialect", dialect, "--symmetry", symmetry]
        command += ["--max-reject-fraction", "0.99"]
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        peak = {"total": 0, "parent": 0, "worker": 0}
        done = [(began, 0)]  # time, chunks finished by then
        parts = Path(folder, "dataset", ".work", "parts")
        while process.poll() is None:
            for name, size in _resident(process.pid).items():
                peak[name] = max(peak[name], size)
            n = len(list(parts.glob("*.part"))) if parts.exists() else 0
            if n > done[-1][1]:
                done.append((time.perf_counter(), n))
            time.sleep(0.1)
        seconds = time.perf_counter() - began
        if process.returncode:
            raise SystemExit(f"the command ended with status {process.returncode}")
        manifest = json.loads(Path(folder, "dataset", "manifest.json").read_text())
    n_read = sum(source["n_read"] for source in manifest["sources"])
    return {
        "benchmark": "command",
        "symmetry": symmetry,
        "crystals": n_read,
        "workers": workers,
        "seconds": round(seconds, 2),
        "crystals_per_second_per_core": round(n_read / seconds / workers, 1),
        "crystals_per_second_in_first_and_last_tenth": _tenths(done, n_read),
        "peak_rss_mib": {name: round(size / 2**20) for name, size in peak.items()},
    }


def _tenths(done: list[tuple[float, int]], n_read: int) -> list[float]:
    """Return the rates in the first and the last tenth of the chunks."""
    (first, start), (last, total) = done[min(1, len(done) - 1)], done[-1]
    early = next(when for when, n in done if n >= start + (total - start) / 10)
    late = next(when for when, n in done if n >= total - (total - start) / 10)
    crystals = n_read / max(total, 1) * (total - start) / 10
    return [round(crystals / max(t, 0.1), 1) for t in (early - first, last - late)]


def _resident(pid: int) -> dict[str, int]:
    """Return resident bytes of a process, its largest child, and all together."""
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
    parser.add_argument(
        "--limit", type=int, default=5000, help="of crystals timed one by one"
    )
    parser.add_argument("--every", type=int, default=1, help="time each n-th crystal")
    parser.add_argument("--workers", type=int, default=usable_cores())
    parser.add_argument(
        "--dialect", choices=("canonical", "paper"), default="canonical"
    )
    parser.add_argument(
        "--symmetry", nargs="+", choices=("spglib", "moyopy"), default=["spglib"]
    )
    arguments = parser.parse_args()
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"  # before numpy is imported: as in the workers
    words, dialect = arguments.sources, arguments.dialect
    for line in measure_crystals(
        words, arguments.limit, arguments.every, dialect, arguments.symmetry
    ):
        print(json.dumps(line), flush=True)
    for symmetry in arguments.symmetry:
        line = measure_command(words, arguments.workers, dialect, symmetry)
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
