"""SQLite databases of ASE, streamed (ase-lib.org)."""

import importlib.util
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloud_jax.structures.columns import row_id
from cloud_jax.structures.source import RawItem, SourceError

_PAGE = 500  # rows held at a time
_BAD_ROW = (ValueError, KeyError, TypeError, AttributeError, AssertionError)


def check_ase(path: Path) -> None:
    """Raise SourceError unless the ase package is installed."""
    if importlib.util.find_spec("ase") is None:
        raise SourceError(f"{path}: reading it needs the ase package: pip install ase")


def database_items(path: Path, id_column: str) -> Iterator[RawItem]:
    """Yield the rows of a database in the order of their numbers.

    Args:
        path: the database.
        id_column: key of the id; the first known one by default, else the row number.

    Raises:
        SourceError: the file is not an SQLite database, or it is damaged.
    """
    check_ase(path)
    with open(path, "rb") as file:
        if not file.read(16).startswith(b"SQLite format 3"):
            raise SourceError(f"{path}: not an SQLite database, which ase.db writes")
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
        raise SourceError(f"{path}: damaged after row {last} ({error})") from error


def _page(database: Any, last: int) -> list[tuple[int, Any]]:
    """Return (number, row) of the rows after `last`; the reason replaces a bad row.

    ase.db holds all rows of a selection in memory, so a selection is limited to a page.
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
        raise SourceError(f"{path}: damaged ({error})") from error
