"""Compare our `paper` dialect with strings of the reference pipeline.

    python -m scripts.check_paper_dialect FOLDER
        FOLDER/expected.csv (file, space_group, n_atoms_primitive, scope) and
        FOLDER/cifs/
    python -m scripts.check_paper_dialect LABELS.csv STRUCTURES.csv.gz
        a table with mp_id, scope_paper, n_atoms, and one with mp_id and structure
        (an ASE dictionary as text)

Prints every row that differs, part by part, and the counts.
"""

import ast
import sys
from collections import Counter
from pathlib import Path

import pandas as pd

from cloud_jax.scope import Cell, encode, sentence
from cloud_jax.scope.space_groups import wyckoff_relabelings
from cloud_jax.structures.readers import read_cif, read_json

PARTS = ("generators", "Wyckoff symbols", "composition")


def rows(arguments: list[str]):
    """Yield (name, cell, expected string, expected primitive atom count)."""
    if len(arguments) == 1:
        folder = Path(arguments[0])
        for row in pd.read_csv(folder / "expected.csv").itertuples():
            cell = read_cif((folder / "cifs" / row.file).read_text())
            yield row.file, cell, row.scope, row.n_atoms_primitive
    else:
        labels, structures = (pd.read_csv(path) for path in arguments)
        for row in labels.merge(structures, on="mp_id", validate="1:1").itertuples():
            cell: Cell = read_json(ast.literal_eval(row.structure))
            yield row.mp_id, cell, row.scope_paper, row.n_atoms


def is_relabelled(space_group: int, ours: str, theirs: str) -> bool:
    """Whether a relabeling by the normaliser turns our Wyckoff symbols into theirs."""
    return ours != theirs and any(
        " ".join(f"{word[:-1]}{relabeling[word[-1]]}" for word in ours.split())
        == theirs
        for relabeling in wyckoff_relabelings(space_group)
    )


def main(arguments: list[str]) -> None:
    """Compare and print."""
    if len(arguments) not in (1, 2):
        sys.exit(__doc__)
    counts: Counter[str] = Counter()
    for name, cell, expected, n_atoms in rows(arguments):
        scope = encode(cell)
        found = sentence(scope, "paper")
        counts["n_atoms equal"] += scope.n_atoms == n_atoms
        counts["total"] += 1
        if found == expected:
            counts["string equal"] += 1
            continue
        ours, theirs = found.split(" | "), expected.split(" | ")
        different = [
            part for part, a, b in zip(PARTS, ours, theirs, strict=True) if a != b
        ]
        reason = "differs in " + ", ".join(different)
        if is_relabelled(scope.space_group, ours[1], theirs[1]):
            reason += " by a choice of origin or axes"
        counts[reason] += 1
        print(f"{name}, space group {scope.space_group}: {reason}")
        print(f"    ours   {found}\n    theirs {expected}")
    print(dict(counts))


if __name__ == "__main__":
    main(sys.argv[1:])
