"""Do the local engine and Apache Beam make the same dataset, and at what price?

    python -m scripts.check_beam table:wbm.npz --dialect paper

Builds the sources once with each engine, any other option goes to both, and compares
every file byte for byte. Prints a JSON line an engine: seconds by the clock and of CPU
time, of the command and all its processes. Exit code 0 if all files are equal.
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

from scripts.check_preprocess_resume import hashes


def first_crystals(words: list[str], limit: int, file: Path) -> str:
    """Write the first crystals of the sources as a table, and return its word."""
    from pymatgen.core import Structure

    from cloud_jax.datasets.corpus import read_sources
    from cloud_jax.scope import Rejection
    from cloud_jax.scope.pipeline import read_cell

    items = (item for source in read_sources(words) for item in source.items())
    with file.open("w") as lines:
        for item in itertools.islice(items, limit):
            try:
                cell = read_cell(item)
            except Rejection:
                continue
            kinds = [k if isinstance(k, str) else dict(k) for k in cell.species]
            structure = Structure(cell.lattice, kinds, cell.fractional).as_dict()
            lines.write(json.dumps({"id": item.id, "structure": structure}) + "\n")
    return f"table:{file}"


def build(engine: str, words: list[str], output: Path) -> dict:
    """Run the command; what it took."""
    command = [sys.executable, "-m", "cloud_jax.preprocess", *words]
    command += ["--output", str(output), "--engine", engine]
    began, before = time.perf_counter(), os.times()
    code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    if code:
        raise SystemExit(f"--engine {engine} ended with exit code {code}")
    after = os.times()
    user = after.children_user - before.children_user
    system = after.children_system - before.children_system
    return {
        "engine": engine,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(user + system, 1),
    }


def main() -> int:
    """Build with both, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--limit", type=int, help="only the first so many crystals")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, words = Path(scratch), arguments.sources
        if arguments.limit:
            words = [first_crystals(words, arguments.limit, folder / "first.jsonl")]
        for engine in ("local", "beam"):
            line = build(engine, [*words, *options], folder / engine)
            print(json.dumps(line), flush=True)
        one, two = hashes(folder / "local"), hashes(folder / "beam")
    differing = sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k))
    print(f"{len(one)} and {len(two)} files, differing: {differing or 'none'}")
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main())
