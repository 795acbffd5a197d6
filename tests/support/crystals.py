"""Small inputs and shortcuts for the tests of preprocessing."""

import csv
import hashlib
import json
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import pyarrow.parquet as pq

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.preprocess import command
from cloud_jax.scope.pipeline import Options, Record, process
from cloud_jax.structures.source import RawItem

ROCK_SALT = """data_NaCl
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a {a}
_cell_length_b {a}
_cell_length_c {a}
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
 _atom_site_type_symbol
 _atom_site_label
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 {one} {one}1 0 0 0
 {one} {one}2 0 0.5 0.5
 {one} {one}3 0.5 0 0.5
 {one} {one}4 0.5 0.5 0
 {two} {two}1 0.5 0.5 0.5
 {two} {two}2 0.5 0 0
 {two} {two}3 0 0.5 0
 {two} {two}4 0 0 0.5
"""
LITHIUM = {  # bcc, as pymatgen writes it
    "lattice": {"matrix": [[3.5, 0, 0], [0, 3.5, 0], [0, 0, 3.5]]},
    "sites": [
        {"species": [{"element": "Li", "occu": 1}], "abc": [0, 0, 0]},
        {"species": [{"element": "Li", "occu": 1}], "abc": [0.5, 0.5, 0.5]},
    ],
}
LITHIUM_POSCAR = """Li2
1.0
3.5 0 0
0 3.5 0
0 0 3.5
Li
2
direct
0 0 0
0.5 0.5 0.5
"""
ELEMENTS = ("Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca", "Sr", "Ba", "Ti", "Zr")


def rock_salt(one: str = "Na", two: str = "Cl", a: float = 5.64) -> str:
    """CIF of a rock salt with the cell length a, angstrom."""
    return ROCK_SALT.format(one=one, two=two, a=a)


def paper_string(one: str, two: str, symbols: str = "4a 4b") -> str:
    """A ready string of the paper dialect, as for rock salt."""
    return f"1 3 n O O O e O O O f O O O 0 | {symbols} | {one} 0.5 {two} 0.5"


def write_strings(path: Path, n: int = 132) -> Path:
    """Write a CSV of different ready strings."""
    pairs = [(a, b) for a in ELEMENTS for b in ELEMENTS if a != b][:n]
    lines = ["scope", *(paper_string(a, b) for a, b in pairs)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_rows(path: Path, rows: list[dict]) -> Path:
    """Write a CSV with the columns of the first row."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def run(output: Path, *words: object, workers: int = 1, page: bool = False) -> int:
    """Run the command in this process; its workers are processes of their own.

    The page of plots, which takes a second, is drawn only if `page` says so.
    """
    fixed = ["--output", str(output), "--workers", str(workers)]
    with nullcontext() if page else patch.object(command, "draw"):
        return command.main([*map(str, words), *fixed])


def items(*words: str) -> list[RawItem]:
    """All items of the sources that the words name."""
    return [item for source in read_sources(words) for item in source.items()]


def groups(found: list[RawItem]) -> list[int | str]:
    """Space group of each item, or its reject code."""
    results = [process(item, "s", Options()) for item in found]
    return [r.space_group if isinstance(r, Record) else r.code for r in results]


def manifest(output: Path) -> dict:
    return json.loads((output / "manifest.json").read_text())


def records(output: Path) -> list[dict]:
    return pq.read_table(output / "records.parquet").to_pylist()


def rejects(output: Path) -> dict[str, str]:
    """Id to code of every reject row."""
    with open(output / "rejects.csv", newline="") as file:
        return {row["id"]: row["code"] for row in csv.DictReader(file)}


def hashes(output: Path) -> dict[str, str]:
    """File name to SHA-256 of everything in a dataset folder."""
    return {
        str(path.relative_to(output)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }
