"""`cloud-jax scope`: print the symmetry sentence of structure files."""

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, run_command
from cloud_jax.files import cause

MAX_BYTES = 64 * 2**20  # larger files are hardly one structure

_EPILOG = """\
FILE is a CIF, a POSCAR, an extended XYZ, or the JSON of pymatgen, ASE, JARVIS or
OPTIMADE, each perhaps compressed (.gz, .bz2, .xz). The exit code is 1 if a file was
rejected.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = "Turn structure files into symmetry sentences (SCOPE)."
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="Structure files, described below.")
    add(
        "--dialect",
        choices=("paper", "canonical"),
        default="canonical",
        help="Language of the sentence: canonical is one sentence per crystal, paper "
        "the string of the reference pipeline (default: canonical).",
    )
    add(
        "--json",
        action="store_true",
        help="Print one JSON object per file.",
    )
    add(
        "--symprec",
        type=_tolerance,
        default=0.01,
        metavar="A",
        help="Tolerance of the symmetry search in angstrom (default: 0.01).",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Print each file's sentence or error; return the exit code."""
    from cloud_jax.scope import Rejection, build_vocabulary

    vocabulary = build_vocabulary(arguments.dialect)
    rejected = 0
    for file in arguments.files:
        try:
            row = _describe(file, vocabulary, arguments.symprec)
        except (OSError, Rejection) as error:
            rejected += 1
            code = getattr(error, "code", "unreadable")
            row = {"file": file, "error": cause(error), "code": code}
        if arguments.json:
            row.pop("reading", None)
            print(json.dumps(row), flush=True)
        elif "error" in row:
            print(f"{file}: {row['error']}", file=sys.stderr)
        else:
            print(_page(row))
    return Exit.FAILED if rejected else Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run `cloud-jax scope`; return the exit code."""
    return run_command("scope", configure, execute, argv)


def _tolerance(text: str) -> float:
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text}: expected a length above 0")
    return value


def _describe(file: str, vocabulary, symprec: float) -> dict:
    from cloud_jax.scope import Rejection, encode, sentence
    from cloud_jax.structures.readers import read_file

    path = Path(file)
    if path.is_dir():
        raise Rejection(
            "unreadable", f"found a folder, expected its files: {path / '*.cif'}"
        )
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise Rejection(
            "unreadable",
            f"found {path.stat().st_size / 2**20:.0f} MB, expected a structure file of "
            f"at most {MAX_BYTES // 2**20} MB",
        )
    scope = encode(
        read_file(path.read_bytes(), path.name),
        symprec=symprec,
        as_given=vocabulary.dialect == "paper",
    )
    text = sentence(scope, vocabulary.dialect)
    ids = vocabulary.encode(text)
    return {
        "file": file,
        "scope": text,
        "tokens": [vocabulary.tokens[i] for i in ids],
        "ids": ids,
        "space_group": scope.space_group,
        "n_atoms": scope.n_atoms,
        "flags": list(scope.flags),
        "record": scope.to_dict(),
        "reading": _reading(scope),
    }


def _reading(scope) -> list[str]:
    """Return lines that explain the sentence in words."""
    from cloud_jax.scope.space_groups import hermann_mauguin, point_group
    from cloud_jax.structures.flags import FLAGS

    number = scope.space_group
    symbol = hermann_mauguin(number)
    lines = [
        f"space group {number} ({symbol}), point group {point_group(number)}, found at "
        f"{scope.symprec:g} A by {scope.finder}"
    ]
    for orbit, count in Counter(scope.orbits).items():
        atoms = "atom" if orbit.multiplicity == 1 else "atoms"
        lines.append(
            f"{orbit.element} on {orbit.symbol}: {orbit.multiplicity} equivalent "
            f"{atoms} in the conventional cell"
            + (f", {count} such orbits" if count > 1 else "")
        )
    formula = " ".join(e if n == 1 else f"{e}{n}" for e, n in scope.composition)
    lines.append(
        f"{formula}: {scope.n_atoms} "
        f"{'atom' if scope.n_atoms == 1 else 'atoms'} in the primitive cell, "
        f"{scope.volume_per_atom:.2f} A^3 per atom"
    )
    lines += [f"note: {FLAGS[flag]}" for flag in scope.flags]
    return lines


def _page(row: dict) -> str:
    lines = [row["file"], f"  {row['scope']}"]
    lines += [f"  {len(row['tokens'])} tokens: {' '.join(row['tokens'])}"]
    lines += [f"    {line}" for line in row["reading"]]
    return "\n".join(lines)
