"""Databases and extended XYZ files of ASE, streamed (ase-lib.org)."""

import importlib.util
import re
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloud_jax.structures.columns import ID_COLUMNS
from cloud_jax.structures.compressed import open_text
from cloud_jax.structures.source import MAX_ITEM_BYTES, RawItem, SourceError

_PAGE = 500  # rows of a database that are held at a time
_BAD_ROW = (ValueError, KeyError, TypeError, AttributeError, AssertionError)


def check_ase(path: Path) -> None:
    """Raise SourceError unless the ase package is there."""
    if importlib.util.find_spec("ase") is None:
        raise SourceError(f"{path}: reading it takes the ase package: pip install ase")


def database_items(path: Path, id_column: str) -> Iterator[RawItem]:
    """Yield the rows of an SQLite database in the order of their numbers.

    Args:
        path: the database.
        id_column: key of the id; the first known one by default, else the row number.

    Raises:
        SourceError: it is no such database, or damaged.
    """
    check_ase(path)
    with open(path, "rb") as file:
        if not file.read(16).startswith(b"SQLite format 3"):
            raise SourceError(f"{path}: is no SQLite database, as ase.db writes it")
    from ase.db import connect

    last = 0
    try:
        database = connect(path, type="db", use_lock_file=False)
        while page := _page(database, last):
            for number, row in page:
                name = f"{path.name}:{number}"
                if isinstance(row, str):
                    yield RawItem(name, ("bad_row", row), "reject")
                else:
                    yield _row_item(row, name, id_column)
            last = page[-1][0]
    except (sqlite3.Error, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{path}: is damaged after row {last} ({error})") from error


def _page(database: Any, last: int) -> list[tuple[int, Any]]:
    """Return number and row of the next ones, or in place of a row what is wrong.

    ase.db fetches all that a selection finds, hence the pages.
    """
    after = {"selection": f"id>{last}", "sort": "id", "limit": _PAGE}
    after["include_data"] = False
    try:
        return [(row.id, row) for row in database.select(**after)]
    except _BAD_ROW:
        ids = [row.id for row in database.select(**after, columns=["id"])]
    page = []
    for number in ids:
        try:
            page.append((number, database.get(number, include_data=False)))
        except _BAD_ROW as error:
            page.append((number, f"row {number} is damaged: {error}"))
    return page


def _row_item(row: Any, name: str, id_column: str) -> RawItem:
    values = {
        "numbers": row.numbers,
        "positions": row.positions,
        "cell": row.cell,
        "pbc": row.pbc,
    }
    return RawItem(row_id(row.key_value_pairs, id_column) or name, values, "json")


def database_size(path: Path) -> int:
    """Return the number of rows of an SQLite database."""
    check_ase(path)
    from ase.db import connect

    try:
        return connect(path, type="db", use_lock_file=False).count()
    except (sqlite3.Error, ValueError, OSError) as error:
        raise SourceError(f"{path}: is damaged ({error})") from error


def row_id(keys: Mapping[str, Any], id_column: str) -> str:
    """Return the wanted or the first known id among a row's keys; or empty."""
    for name in (id_column,) if id_column else ID_COLUMNS:
        if keys.get(name) is not None:
            return str(keys[name])
    return ""


def frame_items(path: Path, id_column: str) -> Iterator[RawItem]:
    """Yield the frames of an extended XYZ file as text, for a worker to parse.

    Args:
        path: the file, plain or compressed.
        id_column: key in the comment lines with the id; the first known one by
            default, else the number of the frame.

    Raises:
        SourceError: a frame does not begin with a number of atoms.
    """
    check_ase(path)
    at, number = 0, 0
    with open_text(path) as file:
        line = file.readline(MAX_ITEM_BYTES)
        while line:
            at += 1
            if not line.strip():
                line = file.readline(MAX_ITEM_BYTES)
                continue
            if not line.strip().isdecimal():
                raise SourceError(
                    f"{path}: line {at}: found {line.strip()[:40]!r}, expected the "
                    "number of atoms of a frame"
                )
            n_atoms = int(line)
            comment = file.readline(MAX_ITEM_BYTES)
            found = {match["key"]: match for match in _KEYS.finditer(comment)}
            keys = {key: m["quoted"] or m["bare"] for key, m in found.items()}
            name = row_id(keys, id_column) or f"{path.name}:{number}"
            lines, line, problem = _atoms(file, n_atoms)
            if problem:
                yield RawItem(name, problem, "reject")
            else:
                yield RawItem(
                    name, "".join([f"{n_atoms}\n", comment, *lines]), "extxyz"
                )
            at += 1 + n_atoms + len(lines[n_atoms:])
            number += 1


_KEYS = re.compile(r"""(?P<key>[\w-]+)=(?:"(?P<quoted>[^"]*)"|(?P<bare>\S+))""")


def _atoms(file, n_atoms: int) -> tuple[list[str], str, tuple[str, str] | None]:
    """Read the lines of a frame, and cell vectors written as atoms (VEC1 ...).

    Returns:
        The lines, the line after them, and what is wrong with the frame, if anything.
    """
    lines, size = [], 0
    for _ in range(n_atoms):
        line = file.readline(MAX_ITEM_BYTES)
        size += len(line)
        if not line:
            problem = f"found {len(lines)} atoms, expected {n_atoms}: the file is cut"
            return lines, "", ("bad_row", problem)
        if size <= MAX_ITEM_BYTES:
            lines.append(line)
    line = file.readline(MAX_ITEM_BYTES)
    while line.lstrip().startswith("VEC"):
        lines.append(line)
        line = file.readline(MAX_ITEM_BYTES)
    if size > MAX_ITEM_BYTES:
        found = f"{size} characters, expected at most {MAX_ITEM_BYTES}"
        return lines, line, ("too_large", found)
    return lines, line, None
