"""The rows of atoms that a CIF lists: species, occupancies and coordinates."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import gemmi
import numpy as np
from jaxtyping import Bool, Float

from cloud_jax.structures.cell import FARTHEST, MAX_SITES
from cloud_jax.structures.cif_text import string, strings
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import MAX_AMOUNT, element_of, marks_of

_FRACTION_TOLERANCE = 1e-4  # 0.3333 is meant as 1/3 when this close, relative
_FRACTIONAL = ["fract_x", "fract_y", "fract_z"]
_COLUMNS = (
    "label",
    "type_symbol",
    "occupancy",
    "calc_flag",
    "site_symmetry_multiplicity",
    "site_symmetry_order",
    "symmetry_multiplicity",  # either of them, in older files
)
# Names of water, hydroxyl, ammonium and methyl: their hydrogens should have rows too.
_HYDROUS = re.compile(r"[Ww]at|H2O$|O-?[Hh]|O\d*[Ww]|[NC]H[1-4]?$")
_HYDROGEN = re.compile(r"[HD](?![a-z])")


class Row(NamedTuple):
    """One atom of a CIF, before the symmetry is applied.

    Attributes:
        label: its name, for messages.
        symbol: what names its species: the type symbol, or else the label.
        element: chemical symbol.
        written: fractional coordinates as the file has them.
        amount: occupancy, above 0.
        multiplicity: atoms of the cell that it stands for, or operations that keep it
            in place: files differ in what they call so. NaN where none is given.
    """

    label: str
    symbol: str
    element: str
    written: tuple[str, str, str]
    amount: float
    multiplicity: float


class Rows(NamedTuple):
    """The atoms that a data block lists, without those that are not there.

    Attributes:
        rows: one per atom.
        fractional: fractional coordinates, [n, 3].
        flags: what is unusual about the atoms, names of `flags.FLAGS`.
    """

    rows: list[Row]
    fractional: Float[np.ndarray, "n 3"]
    flags: frozenset[str]


def atom_table(block: gemmi.cif.Block) -> gemmi.cif.Table:
    """Return the fractional coordinates of a block as text; empty without atoms."""
    return block.find("_atom_site_", _FRACTIONAL)


def read_rows(block: gemmi.cif.Block) -> Rows:
    """Read the atoms of a block.

    Rows of occupancy 0, dummies (`_atom_site_calc_flag` dum) and hydrogens without a
    position are left out.

    Raises:
        Rejection: too many, none, or values that are not atoms.
    """
    columns = _columns(block)
    points = _points(columns)
    placed = (np.abs(points) <= FARTHEST).all(axis=1)  # False for NaN
    listed = list(_listed(block, columns, placed))
    rows = [row for index, row in listed if placed[index]]
    if not rows:
        raise Rejection("no_atoms", "found only dummies and atoms of occupancy 0")
    flags = set().union(*map(marks_of, {row.symbol for _, row in listed}))
    if len(rows) < len(listed) or _lacks_hydrogen(block, rows):
        flags.add("hydrogens_missing")
    fractional = points[[index for index, _ in listed if placed[index]]]
    for ideal in (1 / 3, 2 / 3):
        fractional[np.abs(fractional / ideal - 1) <= _FRACTION_TOLERANCE] = ideal
    return Rows(rows, fractional, frozenset(flags))


def _columns(block: gemmi.cif.Block) -> dict[str, list[str]]:
    """Return the columns of the table of atoms; coordinates as written, of others text.

    Values that are unknown or that the file does not have are empty words.
    """
    table = atom_table(block)
    n = len(table)
    if n > MAX_SITES:
        raise Rejection(
            "too_many_sites",
            f"found {n:,} rows of atoms, expected at most {MAX_SITES:,}",
        )
    loop = table.loop
    values = loop.values if loop else []
    tags = [tag.lower() for tag in loop.tags] if loop else []
    columns = {}
    for name in (*_FRACTIONAL, *_COLUMNS):
        tag = f"_atom_site_{name}"
        if tag in tags:
            column = values[tags.index(tag) :: len(tags)]
        else:
            column = list(block.find_values(tag))
        if name not in _FRACTIONAL:
            column = list(map(gemmi.cif.as_string, column))
        columns[name] = column if len(column) == n else [""] * n
    if all(gemmi.cif.is_null(x) for name in _FRACTIONAL for x in columns[name]):
        raise Rejection("no_atoms", "found rows of atoms, but no coordinates in them")
    if not any(columns["label"]) and not any(columns["type_symbol"]):
        raise Rejection(
            "unreadable",
            "found neither _atom_site_type_symbol nor _atom_site_label beside the "
            "coordinates",
        )
    return columns


def _points(columns: dict[str, list[str]]) -> Float[np.ndarray, "n 3"]:
    """Return fractional coordinates; NaN where there is no number."""
    return np.array(
        [list(map(gemmi.cif.as_number, columns[name])) for name in _FRACTIONAL]
    ).T


def _listed(
    block: gemmi.cif.Block,
    columns: dict[str, list[str]],
    placed: Bool[np.ndarray, " n"],
) -> Iterator[tuple[int, Row]]:
    """Yield index and content of the rows that say that an atom is there."""
    named: frozenset[str] = frozenset()
    if not all(columns["type_symbol"]):  # the formula helps to read labels
        formula = string(block, "_chemical_formula_sum")
        named = frozenset(re.findall("[A-Z][a-z]?", formula))
    rows = zip(placed.tolist(), *columns.values(), strict=True)
    for i, (known, x, y, z, label, kind, occupancy, flag, *counts) in enumerate(rows):
        symbol = kind or label
        label = label or f"{kind or 'atom'} in row {i + 1}"
        amount = _occupancy(occupancy, label)
        if amount == 0.0 or flag.lower() == "dum":
            continue
        if not known:
            _check_hydrogen(i + 1, symbol, (x, y, z))
        try:
            element = element_of(symbol, frozenset() if kind else named)
        except Rejection as rejection:
            message = f"row {i + 1} ({label}): {rejection.message}"
            raise Rejection(rejection.code, message) from None
        count = next(filter(None, counts), "?")
        multiplicity = gemmi.cif.as_number(count)
        yield i, Row(label, symbol, element, (x, y, z), amount, multiplicity)


def _occupancy(value: str, label: str) -> float:
    amount = gemmi.cif.as_number(value) if value else 1.0
    if not 0 <= amount <= MAX_AMOUNT:  # NaN neither
        raise Rejection(
            "occupancy",
            f"{label}: found occupancy {value}, expected a number from 0 to 1",
        )
    return amount


def _lacks_hydrogen(block: gemmi.cif.Block, rows: list[Row]) -> bool:
    """Return whether labels or the formula tell of hydrogens that have no row."""
    attached = strings(block, "_atom_site_attached_hydrogens")
    if any(gemmi.cif.as_number(value) > 0 for value in attached):
        return True
    if any(row.element == "H" for row in rows):
        return False
    if _HYDROGEN.search(string(block, "_chemical_formula_sum")):
        return True
    names = {name for row in rows for name in (row.label, row.symbol)}
    return any(map(_HYDROUS.match, names))


def _check_hydrogen(row: int, symbol: str, written: tuple[str, str, str]) -> None:
    """Reject an atom without a position, unless it is hydrogen of an unknown one."""
    if _HYDROGEN.match(symbol) and all(map(gemmi.cif.is_null, written)):
        return
    raise Rejection(
        "bad_coordinates",
        f"atom {row} ({symbol}): found {', '.join(written)}, expected three numbers, "
        "such as 0.3333 or 0.3333(2)",
    )
