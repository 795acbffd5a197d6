"""Is the canonical sentence one sentence per crystal, however the crystal is given?

    python -m scripts.check_canonical [--seed 0]

Each of the crystals embedded in pymatgen and jarvis-tools is given again with its
atoms shuffled, as a 2x1x1 supercell, as spglib's primitive and conventional cell,
with a random origin and with oxidation states. Prints every crystal whose sentence
changes, with the reason, the share of crystals that do, and how many change in the
paper dialect.
"""

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np
import spglib

from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.scope import Cell, Rejection, encode, sentence
from cloud_jax.structures.readers import read_json


def variants(cell: Cell, rng: np.random.Generator) -> Iterator[tuple[str, Cell]]:
    """Yield (name, the same crystal given another way)."""
    order = rng.permutation(len(cell.species))
    species = tuple(cell.species[i] for i in order)
    yield "shuffled", Cell(cell.lattice, cell.fractional[order], species)
    yield "origin", Cell(cell.lattice, cell.fractional + rng.random(3), cell.species)
    halves = [cell.fractional * [0.5, 1, 1] + [shift, 0, 0] for shift in (0, 0.5)]
    yield (
        "2x1x1",
        Cell(
            cell.lattice * np.array([[2], [1], [1]]),
            np.concatenate(halves),
            cell.species * 2,
        ),
    )
    states = [[(f"{s}{1 + i % 3}+", 1.0)] for i, s in enumerate(cell.species)]
    yield "oxidation states", Cell.from_sites(cell.lattice, cell.fractional, states)
    kinds = list(dict.fromkeys(cell.species))
    numbers = [kinds.index(s) for s in cell.species]
    for name, to_primitive in (("primitive", True), ("conventional", False)):
        lattice, fractional, numbers_out = spglib.standardize_cell(
            (cell.lattice, cell.fractional, numbers),
            to_primitive=to_primitive,
            no_idealize=True,
            symprec=0.01,
            angle_tolerance=5,
        )
        yield name, Cell(lattice, fractional, tuple(kinds[n] for n in numbers_out))


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=0)
    rng = np.random.default_rng(parser.parse_args().seed)
    counts: Counter[str] = Counter()
    for item in EmbeddedSource("embedded").items():
        try:
            cell = read_json(item.payload)
            scope = encode(cell)
        except Rejection as rejection:
            counts["rejected"] += 1
            print(f"{item.id}: {rejection}")
            continue
        counts["crystals"] += 1
        expected, changed = sentence(scope, "canonical"), {}
        paper = sentence(scope, "paper")
        paper_changed = False
        for variant, other in variants(cell, rng):
            try:
                found = encode(other)
            except Rejection as rejection:
                changed[variant] = str(rejection)
                continue
            paper_changed |= sentence(found, "paper") != paper
            if found.space_group != scope.space_group:
                changed[variant] = (
                    f"space group {scope.space_group} became {found.space_group}"
                )
            elif sentence(found, "canonical") != expected:
                changed[variant] = f"{expected} became {sentence(found, 'canonical')}"
        counts["changed in the paper dialect"] += paper_changed
        if changed:
            counts["changed"] += 1
            print(f"{item.id}:")
            for variant, reason in changed.items():
                counts[variant] += 1
                print(f"    {variant}: {reason}")
    print(dict(counts))
    print(f"changed: {100 * counts['changed'] / counts['crystals']:.2f} %")


if __name__ == "__main__":
    main()
