"""Tables of structures in JSON: lists, rows, {id: structure}, pandas, ASE databases."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cloud_jax.structures.columns import row_id, row_item, value_item
from cloud_jax.structures.json_stream import (
    JsonStream,
    data_rows,
    open_json,
)
from cloud_jax.structures.source import RawItem, SourceError

# An object with one of these keys is one structure, not a table of structures.
_STRUCTURE_KEYS = {"lattice", "sites", "lattice_mat", "coords", "elements", "numbers"}
_STRUCTURE_KEYS |= {"positions", "cell", "pbc", "abc", "angles", "cartesian", "@module"}
_STRUCTURE_KEYS |= {"unique_id", "ctime"}


def json_items(
    path: Path, column: str, id_column: str, splits: tuple[str, ...]
) -> Iterator[RawItem]:
    """Yield the structures of a JSON file, holding one at a time.

    Args:
        path: the file, plain or compressed.
        column: of rows, see `row_item`.
        id_column: of rows, and the key of a database's ids.
        splits: of {split: {id: structure}}, the splits to read; all by default.

    Raises:
        SourceError: the file is damaged, or not a table of structures.
    """
    with open_json(path) as stream:
        if stream.peek() == "[":
            rows = (stream.value() for _ in stream.elements())
            yield from row_items(rows, path, column, id_column)
        elif stream.peek() == "{":
            yield from _members(stream, path, column, id_column, splits)
        else:
            raise SourceError(f"{path}: expected a JSON list or object of structures")
        if stream.peek():
            raise SourceError(f"{path}: found text after the end of the JSON value")


def _members(
    stream: JsonStream, path: Path, column: str, id_column: str, splits
) -> Iterator[RawItem]:
    head: dict[str, Any] = {}  # index and columns, as pandas writes them
    met = set()
    for key in stream.members():
        met.add(key)
        if key == "data" and "columns" in head:
            rows = data_rows(stream, head, path)
            yield from row_items(rows, path, column, id_column)
        elif stream.peek() == "{":
            yield from _member(stream, key, id_column, splits)
        else:
            value = stream.value()
            if key in ("columns", "index"):
                head[key] = value
            elif key not in ("ids", "nextid"):  # of ase.db
                yield value_item(key, value)
    if missing := set(splits) - met:
        raise SourceError(
            f"{path}: found splits {sorted(met)[:10]}, expected also {sorted(missing)}"
        )


def _member(
    stream: JsonStream, key: str, id_column: str, splits: tuple[str, ...]
) -> Iterator[RawItem]:
    """Yield the structure that an object is, or the structures that it holds."""
    structure: dict[str, Any] = {}
    for name in stream.members():
        if structure or name in _STRUCTURE_KEYS:
            structure[name] = stream.value()
        elif splits and key not in splits:
            stream.value()
        else:
            yield value_item(name, stream.value())
    if structure:
        keys = structure.get("key_value_pairs")
        name = row_id(keys, id_column) if isinstance(keys, dict) else ""
        yield value_item(name or key, structure)


def row_items(
    rows: Iterable[Any], path: Path, column: str, id_column: str
) -> Iterator[RawItem]:
    """Turn parsed rows into items; a bad row costs that row alone.

    Args:
        rows: dicts of columns, structures themselves, or a ValueError that says why
            a row could not be read.
        path: for names and messages.
        column: of the structure, see `row_item`.
        id_column: of the id.

    Raises:
        SourceError: the first row lacks the columns, so the file is the wrong one.
    """
    for number, row in enumerate(rows):
        name = f"{path.name}:{number}"
        if isinstance(row, str):
            yield value_item(name, row)
        elif not isinstance(row, dict):
            found = f"expected an object, found {type(row).__name__}"
            problem = str(row) if isinstance(row, ValueError) else found
            yield RawItem(name, ("bad_row", problem), "reject")
        else:
            try:
                yield row_item(row, name, column, id_column, path)
            except SourceError as error:
                if number == 0:
                    raise
                yield RawItem(name, ("bad_row", str(error)), "reject")
