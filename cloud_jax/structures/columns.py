"""Rows of a table: their id, and their crystal in one column or in several."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud_jax.structures.source import RawItem, SourceError

STRUCTURE_COLUMNS = ("cif", "structure", "poscar", "atoms", "bulk_atoms")
ID_COLUMNS = (
    "material_id",
    "mp_id",
    "immutable_id",
    "id",
    "jid",
    "qmof_id",
    "mbid",
    "file",
)
# A cell that stands for a missing number, lower case.
MISSING = frozenset(
    ("", "nan", "na", "n/a", "#n/a", "<na>", "nat", "null", "none", "-", "--", "?")
)
# A crystal in several columns has one column of each of these kinds.
_LATTICES = ("lattice", "cell", "lattice_vectors", "lattice_matrix", "lattice_mat")
_CARTESIAN = ("positions", "cartesian_site_positions", "cart_coords")
_FRACTIONAL = ("frac_coords", "frac", "fractional_coordinates", "scaled_positions")
_NUMBERS = ("numbers", "atomic_numbers", "Z")
_SYMBOLS = ("species_at_sites", "symbols", "species", "elements")


def plain_number(text: str) -> float | None:
    """Return the number that a text spells, None if it does not spell one.

    Digits of other scripts and 1_000, which Python takes, are not numbers of a table.
    """
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def refuse_twins(names: Iterable[str], header: Sequence[str], path: Path) -> None:
    """Raise SourceError for a name that several columns have."""
    for name in names:
        if (n := header.count(name)) > 1:
            raise SourceError(
                f"{path}: {n} columns are called {name!r}, expected one: rename the "
                "others"
            )


def column_index(
    header: Sequence[str], wanted: str, known: Sequence[str], path: Path
) -> int:
    """Return the index of the wanted column, or of the first known one.

    Raises:
        SourceError: the header has none of them, or has it twice.
    """
    for name in (wanted,) if wanted else known:
        if name in header:
            refuse_twins([name], header, path)
            return header.index(name)
    raise SourceError(
        f"{path}: found columns {', '.join(header)}; expected "
        f"{wanted or ' or '.join(known)}: name it in a corpus file (column = ...)"
    )


def id_index(header: Sequence[str], wanted: str, path: Path) -> int | None:
    """Return the index of the id column, None if the header has none.

    Raises:
        SourceError: the wanted column is missing, or is there twice.
    """
    if wanted or set(ID_COLUMNS) & set(header):
        return column_index(header, wanted, ID_COLUMNS, path)
    return None


def row_id(keys: Mapping[str, Any], id_column: str) -> str:
    """Return the wanted or the first known id among a row's keys, empty if none."""
    for name in (id_column,) if id_column else ID_COLUMNS:
        if keys.get(name) is not None:
            return str(keys[name])
    return ""


def used_columns(header: Sequence[str], column: str, id_column: str, path: Path):
    """Return the names of the columns that `row_item` needs.

    Raises:
        SourceError: no column holds a crystal, or a wanted one is missing.
    """
    at = id_index(header, id_column, path)
    ids = [] if at is None else [header[at]]
    if not column and not set(STRUCTURE_COLUMNS) & set(header):
        structure = [name for name in header if name in _PARTS]
        if crystal_of(dict.fromkeys(structure, ())) is not None:
            refuse_twins(structure, header, path)
            return [*ids, *(name for name in structure if name not in ids)]
    return [*ids, header[column_index(header, column, STRUCTURE_COLUMNS, path)]]


def row_item(
    row: Mapping[str, Any], name: str, column: str, id_column: str, path: Path
) -> RawItem:
    """Turn a row into an item.

    Args:
        row: column to value.
        name: id of a row without one.
        column: column of the structure; empty: the first known one, or several.
        id_column: column of the id; empty: the first known one, if any.
        path: for messages.

    Raises:
        SourceError: the row lacks these columns.
    """
    keys = list(row)
    at = id_index(keys, id_column, path)
    if at is not None and row[keys[at]] is not None:
        name = str(row[keys[at]])
    if not column and not set(STRUCTURE_COLUMNS) & row.keys():
        crystal = crystal_of(row)
        if crystal is not None:
            return crystal._replace(id=name)
        if crystal_of(dict.fromkeys(row, ())) is not None:
            empty = [key for key in row if key in _PARTS and row[key] is None]
            problem = f"{', '.join(empty)}: the cell is empty"
            return RawItem(name, ("missing_structure", problem), "reject")
    return value_item(
        name, row[keys[column_index(keys, column, STRUCTURE_COLUMNS, path)]]
    )


def value_item(name: str, structure: Any) -> RawItem:
    """Return the item of one value of a table: text or a dict."""
    if structure is None or structure in ("", b""):
        return RawItem(name, ("missing_structure", "the cell is empty"), "reject")
    if isinstance(structure, str) and "\n" not in structure:
        structure = structure.replace("\\n", "\n")  # escaped line breaks
    if isinstance(structure, dict):
        return crystal_of(structure, name) or RawItem(name, structure, "auto")
    return RawItem(name, structure, "auto")


def crystal_of(row: Mapping[str, Any], name: str = "") -> RawItem | None:
    """Return the item of a row or struct that is a crystal itself, or None.

    Known are the dicts of pymatgen, ASE and JARVIS, entries of OPTIMADE, and columns
    for lattice vectors, positions (cartesian or fractional) and elements.
    """
    row = {key: value for key, value in row.items() if value is not None}
    if {"lattice", "sites"} <= row.keys() or {"lattice_mat", "coords"} <= row.keys():
        return RawItem(name, row, "json")
    if {
        "lattice_vectors",
        "cartesian_site_positions",
        "species_at_sites",
    } <= row.keys():
        return RawItem(name, {"attributes": row}, "optimade")
    found = {}
    for part, names in _COLUMNS.items():
        key = next((n for n in names if n in row), None)
        if key:
            found[part] = row[key]
    if "cell" not in found or not {"positions", "scaled_positions"} & found.keys():
        return None
    if not {"numbers", "symbols"} & found.keys():
        return None
    if "pbc" in row:
        found["pbc"] = row["pbc"]
    return RawItem(name, found, "json")


_COLUMNS = {
    "cell": _LATTICES,
    "positions": _CARTESIAN,
    "scaled_positions": _FRACTIONAL,
    "numbers": _NUMBERS,
    "symbols": _SYMBOLS,
}
_PARTS = frozenset(
    ["sites", "coords", "cartesian", "pbc", "dimension_types", "nperiodic_dimensions"]
).union(*_COLUMNS.values())
