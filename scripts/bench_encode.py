"""From CIF text to paper-dialect string, beside the floor and the reference recipe.

    python -m scripts.bench_encode FOLDER_OF_CIFS [--rounds 5]

One core, in alternation in one run, JSON lines out, milliseconds a file:
    ours       read_cif, encode, sentence
    floor      gemmi's parser (cell, sites, elements) and one spglib call
    reference  pymatgen's parser and symmetry analyser
and last the ratio ours / floor, median of the rounds.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import gemmi
import numpy as np
import spglib
from pymatgen.io.cif import CifParser
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from cloud_jax.scope import encode, sentence
from cloud_jax.structures.readers import read_cif


def ours(text: str) -> None:
    """Text to string."""
    sentence(encode(read_cif(text)), "paper")


def floor(text: str) -> None:
    """What nobody can do without: parse, and find the symmetry once."""
    block = gemmi.cif.read_string(text)[0]
    small = gemmi.make_small_structure_from_block(block)
    lattice = np.array(small.cell.orth.mat.tolist()).T
    fractional = [site.fract.tolist() for site in small.sites]
    numbers = [site.element.atomic_number for site in small.sites]
    spglib.get_symmetry_dataset((lattice, fractional, numbers), 0.01, 5)


def reference(text: str) -> None:
    """The reference pipeline's two calls."""
    structure = CifParser.from_str(text).parse_structures(primitive=False)[0]
    SpacegroupAnalyzer(structure).get_symmetry_dataset()


def milliseconds(task: Callable[[str], None], texts: list[str]) -> float:
    """Mean time a text."""
    start = time.perf_counter()
    for text in texts:
        task(text)
    return 1e3 * (time.perf_counter() - start) / len(texts)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # pymatgen's notes on rounded coordinates
    texts = [path.read_text() for path in sorted(options.folder.glob("*.cif"))]
    tasks = (ours, floor, reference)
    for task in tasks:
        task(texts[0])
    times: dict[str, list[float]] = {task.__name__: [] for task in tasks}
    for _ in range(options.rounds):
        for task in tasks:
            times[task.__name__].append(milliseconds(task, texts))
    for name, values in times.items():
        print(json.dumps({"task": name, "ms_per_file": statistics.median(values)}))
    ratios = [a / b for a, b in zip(times["ours"], times["floor"], strict=True)]
    print(json.dumps({"files": len(texts), "ours/floor": statistics.median(ratios)}))


if __name__ == "__main__":
    main()
