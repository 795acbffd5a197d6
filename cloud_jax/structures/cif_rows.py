"""The rows of atoms that a CIF lists: species, occupancies and coordinates."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import gemmi
import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import FARTHEST, MAX_SITES
from cloud_jax.structures.cif_text import string, strings
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import element_of, marks_of

_FRACTION_TOLERANCE = 1e-4  # 0.3333 is meant as 1/3 when this close, relative
_FRACTIONAL = ["fract_x", "fract_y", "fract_z"]
_COLUMNS = (
    "label",
    "type_symbol",
    "occupancy",
    "calc_flag",
    "site_symmetry_multiplicity",
    "symmetry_multiplicity",  # the same in older dictionaries
)
# Names of water, hydroxyl, ammonium and methyl: their hydrogens should have rows too.
_HYDROUS = re.compile(r"[Ww]at|H2O|O-?[Hh]|O\d*[Ww]|[NC]H[1-4]?$")
_HYDROGEN = re.compile(r"[HD](?![a-z])")


class Row(NamedTuple):
    """One atom of a CIF, before the symmetry is applied.

    Attributes:
        label: its name, for messages.
        symbol: what names its species: the type symbol, or else the label.
        element: chemical symbol.
        written: fractional coordinates as the file has them.
        point: fractional coordinates; NaN where a hydrogen has no position.
        amount: occupancy, above 0.
        multiplicity: how many atoms of the cell it stands for, as the file says; NaN
            where it does not.
    """

    label: str
    symbol: str
    element: str
    written: list[str]
    point: list[float]
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
    listed = list(_listed(block))
    rows = [row for row in listed if not math.isnan(row.point[0])]
    if not rows:
        raise Rejection("no_atoms", "found only dummies and atoms of occupancy 0")
    flags = set().union(*map(marks_of, {row.symbol for row in listed}))
    if len(rows) < len(listed) or _lacks_hydrogen(block, rows):
        flags.add("hydrogens_missing")
    fractional = np.array([row.point for row in rows])
    for ideal in (1 / 3, 2 / 3):
        fractional[np.abs(fractional / ideal - 1) <= _FRACTION_TOLERANCE] = ideal
    return Rows(rows, fractional, frozenset(flags))


def _listed(block: gemmi.cif.Block) -> Iterator[Row]:
    """Yield the rows that say that an atom is there."""
    table = atom_table(block)
    if len(table) > MAX_SITES:
        raise Rejection(
            "too_many_sites",
            f"found {len(table):,} rows of atoms, expected at most {MAX_SITES:,}",
        )
    columns = [_column(block, name, len(table)) for name in _COLUMNS]
    if not any(columns[0]) and not any(columns[1]):
        raise Rejection(
            "unreadable",
            "found neither _atom_site_type_symbol nor _atom_site_label beside the "
            "coordinates",
        )
    formula = re.findall("[A-Z][a-z]?", string(block, "_chemical_formula_sum"))
    named = frozenset(formula)
    for row, (written, label, kind, occupancy, flag, *multiplicities) in enumerate(
        zip(table, *columns, strict=True), start=1
    ):
        symbol = kind or label
        label = label or f"{kind} in row {row}"
        amount = _occupancy(occupancy, label)
        if amount == 0.0 or flag.lower() == "dum":
            continue
        point = _coordinates(row, symbol, list(written))
        try:
            element = element_of(symbol, frozenset() if kind else named)
        except Rejection as rejection:
            message = f"row {row} ({label}): {rejection.message}"
            raise Rejection(rejection.code, message) from None
        multiplicity = gemmi.cif.as_number(next(filter(None, multiplicities), "?"))
        yield Row(label, symbol, element, list(written), point, amount, multiplicity)


def _column(block: gemmi.cif.Block, name: str, n: int) -> list[str]:
    """Return a column of the table of atoms; empty words where it says nothing."""
    values = strings(block, f"_atom_site_{name}")
    return values if len(values) == n else [""] * n


def _occupancy(value: str, label: str) -> float:
    amount = gemmi.cif.as_number(value) if value else 1.0
    if not 0 <= amount <= 1.005:  # NaN neither; rounded sums may pass one a little
        raise Rejection(
            "occupancy",
            f"{label}: found occupancy {value}, expected a number from 0 to 1",
        )
    return amount


def _lacks_hydrogen(block: gemmi.cif.Block, rows: list[Row]) -> bool:
    """Return whether rows stand for groups whose hydrogens have no row."""
    attached = strings(block, "_atom_site_attached_hydrogens")
    if any(gemmi.cif.as_number(value) > 0 for value in attached):
        return True
    return any(
        _HYDROUS.match(row.label) or _HYDROUS.match(row.symbol) for row in rows
    ) and not any(row.element == "H" for row in rows)


def _coordinates(row: int, symbol: str, written: list[str]) -> list[float]:
    """Return fractional coordinates; NaN for a hydrogen of unknown position."""
    point = [gemmi.cif.as_number(value) for value in written]
    if all(abs(value) <= FARTHEST for value in point):  # NaN is not
        return point
    if _HYDROGEN.match(symbol) and all(map(gemmi.cif.is_null, written)):
        return point
    raise Rejection(
        "bad_coordinates",
        f"atom {row} ({symbol}): found {', '.join(written)}, expected three numbers, "
        "such as 0.3333 or 0.3333(2)",
    )
