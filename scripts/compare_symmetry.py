"""Do spglib and moyopy make the same sentences, and if not, why?

    python -m scripts.compare_symmetry table:data/wbm_matbench_discovery/\
wbm_initial_structures.npz --output comparison

Every crystal goes through both. `comparison/summary.json` counts what is equal and the
classes of what is not, `comparison/differences.csv` lists each crystal that differs:

    rejected      by one of the two only
    space_group   another space group
    cell          same group, another number of atoms in the primitive cell
    orbits        same group, other orbits: elements or multiplicities differ
    letters       same group and orbits, other Wyckoff letters in the canonical sentence
    origin        equal canonical sentences: only the paper dialect, which hangs on the
                  origin and axes that were chosen, differs

Where the canonical sentences differ, `agree_at` is the tolerance nearest to the one
asked for, 0.5 to 2 times it, at which one of the two gives what the other gave at the
tolerance asked for: the crystal is that far from the higher of the symmetries.
"""

import argparse
import csv
import itertools
import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloud_jax.files import atomic_open, atomic_write

SYMPREC = 0.01
_FACTORS = (1.05, 0.95, 1.1, 0.9, 1.2, 0.8, 1.35, 0.7, 1.5, 0.6, 1.75, 0.5, 2.0)
_CHUNK, _AHEAD = 64, 64  # crystals a task, tasks handed out at a time
_FIELDS = ("space_group", "n_atoms", "symprec", "canonical", "paper")


def result_of(cell: Any, symmetry: str, symprec: float = SYMPREC) -> dict[str, Any]:
    """What a search makes of a cell; only `rejected` where it makes nothing."""
    from cloud_jax.scope import Rejection, encode, sentence

    try:
        scope = encode(cell, symprec=symprec, symmetry=symmetry)
    except Rejection as rejection:
        return {"rejected": rejection.code}
    texts = {dialect: sentence(scope, dialect) for dialect in ("canonical", "paper")}
    orbits = sorted((orbit.element, orbit.multiplicity) for orbit in scope.orbits)
    return {name: getattr(scope, name) for name in _FIELDS[:3]} | texts | {
        "orbits": orbits
    }  # fmt: skip


def class_of(a: dict[str, Any], b: dict[str, Any]) -> str:
    """The class of the difference between two results, `equal` if there is none."""
    if "rejected" in a or "rejected" in b:
        return "rejected"
    for name, field in (
        ("space_group", "space_group"),
        ("cell", "n_atoms"),
        ("orbits", "orbits"),
        ("letters", "canonical"),
        ("origin", "paper"),
    ):
        if a[field] != b[field]:
            return name
    return "equal"


def agree_at(cell: Any, spglib: dict[str, Any], moyopy: dict[str, Any]) -> str:
    """The search and the tolerance that give the other's sentence; empty if none."""
    for factor in _FACTORS:
        for name, wanted in (("spglib", moyopy), ("moyopy", spglib)):
            found = result_of(cell, name, SYMPREC * factor)
            if found.get("canonical") == wanted["canonical"]:
                return f"{name} {SYMPREC * factor:g}"
    return ""


def compare(items: list) -> tuple[Counter, list[dict[str, Any]]]:
    """Counts of some crystals, and a row for each that differs."""
    from cloud_jax.scope import Rejection
    from cloud_jax.scope.pipeline import read_cell

    counts: Counter = Counter()
    rows = []
    for item in items:
        counts["crystals"] += 1
        try:
            cell = read_cell(item)
        except Rejection:
            counts["unreadable"] += 1
            continue
        a, b = (result_of(cell, name) for name in ("spglib", "moyopy"))
        kind = class_of(a, b)
        if "rejected" in a and "rejected" in b:
            counts["rejected_by_both"] += 1
            continue
        counts[f"class.{kind}"] += 1
        for field in _FIELDS:
            counts[f"same.{field}"] += field in a and a[field] == b.get(field)
        if kind == "equal":
            continue
        row = {"id": item.id, "class": kind, "agree_at": ""}
        if kind not in ("rejected", "origin"):
            row["agree_at"] = agree_at(cell, a, b)
            counts[f"explained.{kind}"] += bool(row["agree_at"])
            if a["space_group"] != b["space_group"]:
                counts[f"groups.{a['space_group']} -> {b['space_group']}"] += 1
        for name, result in (("spglib", a), ("moyopy", b)):
            row |= {f"{name}_{f}": result.get(f, "") for f in _FIELDS[:-1]}
            row[f"{name}_canonical"] = result.get("canonical", result.get("rejected"))
        rows.append(row)
    return counts, rows


def _tasks(items: Iterator) -> Iterator[list[list]]:
    """Lists of at most `_AHEAD` chunks: a pool would read its whole input at once."""
    while chunks := [
        chunk for _ in range(_AHEAD) if (chunk := list(itertools.islice(items, _CHUNK)))
    ]:
        yield chunks


def _summary(counts: Counter) -> dict[str, Any]:
    def part(prefix: str, most: int | None = None) -> dict[str, int]:
        found = Counter(
            {k.partition(".")[2]: n for k, n in counts.items() if k.startswith(prefix)}
        )
        return dict(found.most_common(most))

    return {
        "symprec": SYMPREC,
        **{k: counts[k] for k in ("crystals", "unreadable", "rejected_by_both")},
        "same": part("same."),
        "classes": part("class."),
        "of_these_agree_at_another_tolerance": part("explained."),
        "space_groups_spglib_to_moyopy": part("groups.", 40),
    }


def main() -> None:
    """Parse the command line, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n", 1)[0],
        epilog="".join(__doc__.partition("Every")[1:]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--output", type=Path, default=Path("comparison"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--limit", type=int, help="the first so many crystals")
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "SPGLIB_WARNING": "OFF"}

    from tqdm import tqdm

    from cloud_jax.datasets.corpus import read_sources
    from cloud_jax.scope.symmetry import finder

    finders = [finder(name) for name in ("spglib", "moyopy")]
    sources = read_sources(arguments.sources)
    known = [source.count() for source in sources]
    total = arguments.limit or (None if None in known else sum(known))
    items = (item for source in sources for item in source.items())
    items = itertools.islice(items, arguments.limit)
    arguments.output.mkdir(parents=True, exist_ok=True)
    names = [f"{f}_{n}" for f in ("spglib", "moyopy") for n in _FIELDS[:-1]]
    counts: Counter = Counter()
    table = arguments.output / "differences.csv"
    context = multiprocessing.get_context("spawn")
    with (
        atomic_open(table, "w", newline="", encoding="utf-8") as file,
        context.Pool(arguments.processes) as pool,
        tqdm(total=total, unit=" crystals", smoothing=0.05) as bar,
    ):
        writer = csv.DictWriter(file, ["id", "class", "agree_at", *names])
        writer.writeheader()
        for task in _tasks(items):
            for found, rows in pool.imap(compare, task):
                counts += found
                writer.writerows(rows)
                bar.update(found["crystals"])
    text = json.dumps({"finders": finders} | _summary(counts), indent=2)
    atomic_write(arguments.output / "summary.json", text + "\n")
    print(text)


if __name__ == "__main__":
    main()
