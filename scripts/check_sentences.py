"""Compare sentences with the reference's, between descriptions, and between searches.

    python -m scripts.check_sentences paper FOLDER
    python -m scripts.check_sentences paper LABELS.csv STRUCTURES.csv.gz
    python -m scripts.check_sentences canonical [table:wbm.npz] [--every 850] [--seed 0]
    python -m scripts.check_sentences symmetry table:wbm.npz [--limit 1000]

`paper` compares our sentences with strings of the reference pipeline. FOLDER holds
expected.csv (file, space_group, n_atoms_primitive, scope) and cifs/; the two tables
have mp_id, scope_paper, n_atoms and mp_id, structure (an ASE dictionary as text).
`canonical` describes each crystal again (the embedded ones, or one in so many of other
sources): atoms shuffled, as a 2x1x1 supercell, as spglib's primitive and conventional
cell, with a random origin, rotated, with its axes permuted, as its mirror image, and
with oxidation states; no sentence may change. `symmetry` counts the crystals for which
spglib and moyopy agree. Each prints every crystal that differs, and the counts.
"""

import argparse
import ast
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import spglib

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.scope import Cell, Rejection, encode, sentence
from cloud_jax.scope.pipeline import read_cell
from cloud_jax.scope.space_groups import wyckoff_relabelings
from cloud_jax.structures.readers import read_cif, read_json
from cloud_jax.structures.source import RawItem

PARTS = ("generators", "Wyckoff symbols", "composition")


def read_expected(paths: list[Path]) -> Iterator[tuple[str, Cell, str, int]]:
    """Yield name, cell, the reference's string and its primitive atom count."""
    if len(paths) == 1:
        (folder,) = paths
        for row in pd.read_csv(folder / "expected.csv").itertuples():
            cell = read_cif((folder / "cifs" / row.file).read_text())
            yield row.file, cell, row.scope, row.n_atoms_primitive
    else:
        labels, structures = map(pd.read_csv, paths)
        for row in labels.merge(structures, on="mp_id", validate="1:1").itertuples():
            cell = read_json(ast.literal_eval(row.structure))
            yield row.mp_id, cell, row.scope_paper, row.n_atoms


def is_relabelled(space_group: int, ours: str, theirs: str) -> bool:
    """Return whether the normaliser turns our Wyckoff symbols into theirs."""
    return ours != theirs and any(
        " ".join(f"{word[:-1]}{relabeling[word[-1]]}" for word in ours.split())
        == theirs
        for relabeling in wyckoff_relabelings(space_group)
    )


def check_paper(arguments: argparse.Namespace) -> Counter:
    """Compare with the reference's strings, part by part."""
    counts: Counter[str] = Counter()
    for name, cell, expected, n_atoms in read_expected(arguments.paths):
        scope = encode(cell)
        found = sentence(scope, "paper")
        counts["n_atoms equal"] += scope.n_atoms == n_atoms
        counts["total"] += 1
        if found == expected:
            counts["string equal"] += 1
            continue
        ours, theirs = found.split(" | "), expected.split(" | ")
        pairs = zip(PARTS, ours, theirs, strict=True)
        reason = "differs in " + ", ".join(part for part, a, b in pairs if a != b)
        if is_relabelled(scope.space_group, ours[1], theirs[1]):
            reason += " by a choice of origin or axes"
        counts[reason] += 1
        print(f"{name}, space group {scope.space_group}: {reason}")
        print(f"    ours   {found}\n    theirs {expected}")
    return counts


def describe_again(cell: Cell, rng: np.random.Generator) -> Iterator[tuple[str, Cell]]:
    """Yield (name, the same crystal described in another way)."""
    order = rng.permutation(len(cell.species))
    species = tuple(cell.species[i] for i in order)
    yield "shuffled", Cell(cell.lattice, cell.fractional[order], species)
    yield "origin", Cell(cell.lattice, cell.fractional + rng.random(3), cell.species)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    yield "rotated", Cell(cell.lattice @ rotation, cell.fractional, cell.species)
    mirrored = cell.lattice * [-1, 1, 1]
    yield "mirror image", Cell(mirrored, cell.fractional, cell.species)
    axes = rng.permutation(3)
    yield "axes", Cell(cell.lattice[axes], cell.fractional[:, axes], cell.species)
    doubled = cell.lattice * np.array([[2], [1], [1]])
    halves = [cell.fractional * [0.5, 1, 1] + [shift, 0, 0] for shift in (0, 0.5)]
    yield "2x1x1", Cell(doubled, np.concatenate(halves), cell.species * 2)
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


def check_canonical(arguments: argparse.Namespace) -> Counter:
    """Compare the sentences of each crystal, described in several ways."""
    rng = np.random.default_rng(arguments.seed)
    counts: Counter[str] = Counter()
    for item in every(arguments.sources, arguments.every):
        try:
            cell = read_cell(item)
            expected = encode(cell)
        except Rejection:
            counts["rejected"] += 1
            continue
        counts["crystals"] += 1
        changed, paper_changed = [], False
        for name, other in describe_again(cell, rng):
            try:
                found = encode(other)
            except Rejection as rejection:
                changed.append(f"{name}: {rejection}")
                continue
            ours = sentence(found, "canonical")
            if ours != sentence(expected, "canonical"):
                changed.append(f"{name}: group {found.space_group}, {ours}")
            paper_changed |= sentence(found, "paper") != sentence(expected, "paper")
        counts["changed in the paper dialect"] += paper_changed
        counts["changed"] += bool(changed)
        if changed:
            print(f"{item.id}:", *changed, sep="\n    ")
    return counts


def every(sources: list[str], n: int, limit: int | None = None) -> Iterator[RawItem]:
    """Yield every n-th crystal of the sources."""
    items = (item for source in read_sources(sources) for item in source.items())
    return itertools.islice(items, n - 1, limit, n)


def check_symmetry(arguments: argparse.Namespace) -> Counter:
    """Compare what the two symmetry searches make of the same crystals."""
    counts: Counter[str] = Counter()
    for item in every(arguments.sources, 1, arguments.limit):
        counts["crystals"] += 1
        try:
            cell = read_cell(item)
            pair = [encode(cell, symmetry=name) for name in ("spglib", "moyopy")]
        except Rejection as rejection:
            counts["rejected"] += 1
            print(f"{item.id}: {rejection}")
            continue
        for name, value in (
            ("paper sentence", lambda scope: sentence(scope, "paper")),
            ("canonical sentence", lambda scope: sentence(scope, "canonical")),
            ("space group", lambda scope: scope.space_group),
            ("atoms of the primitive cell", lambda scope: scope.n_atoms),
        ):
            spglibs, moyopys = map(value, pair)
            counts[f"same {name}"] += spglibs == moyopys
            if name == "canonical sentence" and spglibs != moyopys:
                print(f"{item.id}\n    spglib {spglibs}\n    moyopy {moyopys}")
    return counts


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    commands = parser.add_subparsers(required=True, metavar="CHECK")
    paper = commands.add_parser("paper", help="with the reference's strings")
    paper.add_argument("paths", type=Path, nargs="+", help="FOLDER, or two tables")
    paper.set_defaults(check=check_paper)
    canonical = commands.add_parser("canonical", help="between descriptions")
    canonical.add_argument("sources", nargs="*", default=["embedded"])
    canonical.add_argument("--every", type=int, default=1, help="crystals to one taken")
    canonical.add_argument("--seed", type=int, default=0)
    canonical.set_defaults(check=check_canonical)
    symmetry = commands.add_parser("symmetry", help="between spglib and moyopy")
    symmetry.add_argument("sources", nargs="*", default=["embedded"])
    symmetry.add_argument("--limit", type=int, help="the first crystals only")
    symmetry.set_defaults(check=check_symmetry)
    arguments = parser.parse_args()
    print(dict(arguments.check(arguments)))


if __name__ == "__main__":
    main()
