"""CSV tables, streamed; each row comes with the line on which it begins.

A quote (") that is never closed makes one cell of all lines up to the next quote or to
the end of the file. Such a file is refused with the line of the quote: the rows inside
that cell would be lost.
"""

import csv
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from cloud_jax.files import cause
from cloud_jax.structures.columns import (
    MISSING,
    STRUCTURE_COLUMNS,
    column_index,
    id_index,
    plain_number,
    value_item,
)
from cloud_jax.structures.compressed import DAMAGED, open_text
from cloud_jax.structures.source import MAX_ITEM_BYTES, RawItem, SourceError


def csv_items(path: Path, column: str, id_column: str) -> Iterator[RawItem]:
    """Yield the crystal of each row.

    Raises:
        SourceError: missing columns, or a file that cannot be read.
    """
    with csv_rows(path) as (header, rows):
        structure = column_index(header, column, STRUCTURE_COLUMNS, path)
        id_at = id_index(header, id_column, path)
        for number, (_, row) in enumerate(rows):
            if len(row) == len(header) + 1:  # the unnamed index of pandas
                del row[0]
            name = f"{path.name}:{number}"
            if len(row) != len(header):
                problem = f"found {len(row)} fields, expected {len(header)}"
                yield RawItem(name, ("bad_row", problem), "reject")
            else:
                yield value_item(name if id_at is None else row[id_at], row[structure])


def csv_size(path: Path) -> int:
    """Return the number of rows of a CSV without its header."""
    with csv_rows(path) as (_, rows):
        return sum(1 for _ in rows)


@contextmanager
def csv_rows(
    path: Path,
) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """Open a CSV as its header and a stream of rows, skipping comments above it.

    Each row comes with the number, from 1, of the line of text on which it begins.

    Raises:
        SourceError: the file is missing or damaged, has no header, or a quote in it is
            never closed.
    """
    csv.field_size_limit(MAX_ITEM_BYTES)
    try:
        with open_text(path) as file:
            number, line = 1, file.readline()
            while line.startswith("#"):
                number, line = number + 1, file.readline()
            rows = _rows(chain([line], file), number, path)
            _, header = next(rows, (number, []))
            if not header:
                raise SourceError(f"{path}: empty, expected a line of column names")
            if len(header) == 1 and (found := set(header[0]) & set(";\t|")):
                raise SourceError(
                    f"{path}: found the line of column names {line.strip()[:80]!r}, "
                    f"expected commas between columns instead of {min(found)!r}"
                )
            yield header, rows
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path}: found text that is not UTF-8 ({error}); save the table as UTF-8"
        ) from error
    except (*DAMAGED, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read ({cause(error)})") from error


def _rows(
    text: Iterable[str], begins: int, path: Path
) -> Iterator[tuple[int, list[str]]]:
    """Yield the header and the rows, each with the line on which it begins.

    Args:
        text: lines from the header on.
        begins: number of the first of them.
        path: for messages.
    """
    lines: list[str] = []  # of the row that is being read
    n_columns = 0

    def read() -> Iterator[str]:
        for line in text:
            lines.append(line)
            yield line

    reader = csv.reader(read(), strict=True)
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            if len(lines) > 1 or _is_open(lines):
                raise _unclosed(lines, begins, path, str(error)) from None
            row = next(csv.reader(lines))  # text after a quote, as pandas takes it
        if row is None:
            return
        if len(lines) > 1 and _hides_rows(lines, row, n_columns):
            raise _unclosed(lines, begins, path, "the lines inside look like rows")
        if row:
            n_columns = n_columns or len(row)
            yield begins, row
        begins += len(lines)
        lines.clear()


def _is_open(lines: Sequence[str]) -> bool:
    """Return whether a quote is open at the end, so that it takes another line."""
    try:
        return len(list(csv.reader([*lines, "x"]))) == 1
    except csv.Error:  # longer than a cell may be
        return False


def _hides_rows(lines: Sequence[str], row: Sequence[str], n_columns: int) -> bool:
    """Return whether every line of a row but the first could be a row by itself.

    It then begins with a cell, has as many as the header, and a number or nothing where
    the row has a number. The lines of a CIF, of a list or of a remark do not.
    """
    if any(line.count(",") < n_columns - 1 for line in lines[1:]):  # mostly the first
        return False
    same = len(row) == n_columns
    numbers = [i for i, x in enumerate(row) if same and plain_number(x) is not None]

    def is_row(line: str) -> bool:
        cells = next(csv.reader([line]))
        return (
            line[0] not in " \t[{(\"'"
            and len(cells) == n_columns
            and all(
                cells[i].strip().lower() in MISSING
                or plain_number(cells[i]) is not None
                for i in numbers
            )
        )

    return n_columns > 1 and all(map(is_row, lines[1:]))


def _unclosed(lines: list[str], begins: int, path: Path, why: str) -> SourceError:
    """Return the error that names the line on which the last quote opens.

    Args:
        lines: of a row.
        begins: number of the first of them.
        path: of the file.
        why: the quote should not be there.
    """
    last = begins + len(lines) - 1
    if not _is_open(lines):  # the last line closes it
        lines = lines[:-1]

    def n_cells(n: int) -> int:
        return len(next(csv.reader(lines[:n])))

    # The cell that is open at the end began on the first line with as many cells.
    opened = bisect_left(range(1, len(lines)), n_cells(len(lines)), key=n_cells)
    return SourceError(
        f'{path}, line {begins + opened}: a quote (") opens here and its cell runs to '
        f"line {last} ({why}), so the rows between would be lost: close the quote, or "
        "double it where it belongs to the text"
    )
