"""The rows of a CSV or Parquet file, each with its line: what an error can point at."""

import csv
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_jax.preprocess.sources.source import MAX_ITEM_BYTES
from cloud_jax.preprocess.sources.table import open_text


class TableError(ValueError):
    """A table as a whole cannot be used; the message says why and what to do."""


@dataclass
class Row:
    """What is known of one row while the table is made."""

    number: int
    line: int
    id: str = ""
    targets: list[float] = field(default_factory=list)
    n_atoms: int = 0
    split: str = ""
    group: str = ""
    sentence: str = ""
    tokens: list[int] = field(default_factory=list)
    problem: tuple[str, str] | None = None  # code, message


def read_rows(
    path: Path, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the line of each row and the values of some columns.

    Args:
        path: `*.parquet`, or `*.csv` (also .gz, .bz2, .zip).
        columns: names to read.

    Yields:
        The physical line on which the row begins, from 1 (of Parquet, which has no
        lines, the number of the row), and {column: value}; or in its place what is
        wrong with the row.

    Raises:
        TableError: the file is missing, damaged or of another kind, or lacks a column.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if ".csv" in suffixes:
            yield from _csv_rows(path, columns)
        elif ".parquet" in suffixes:
            yield from _parquet_rows(path, columns)
        else:
            raise TableError(
                f"{path}: found suffix {path.suffix!r}, expected .csv (also .csv.gz, "
                ".csv.bz2, .csv.zip) or .parquet"
            )
    except (
        OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error, pa.ArrowInvalid
    ) as error:  # fmt: skip
        raise TableError(f"{path}: cannot be read ({error})") from error


def _csv_rows(
    path: Path, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str] | str]]:
    csv.field_size_limit(MAX_ITEM_BYTES)
    with open_text(path) as file:
        above, text = 1, file.readline()
        while text.startswith("#"):
            above, text = above + 1, file.readline()
        header = next(csv.reader([text]), [])
        _check(columns, header, path)
        places = {name: header.index(name) for name in columns}
        reader, begins = csv.reader(file), above + 1
        for row in reader:
            if row and len(row) != len(header):
                yield begins, f"found {len(row)} fields, expected {len(header)}"
            elif row:
                yield begins, {name: row[i] for name, i in places.items()}
            begins = above + reader.line_num + 1


def _parquet_rows(
    path: Path, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    with pq.ParquetFile(path) as file:
        _check(columns, file.schema_arrow.names, path)
        number = 0
        for batch in file.iter_batches(batch_size=1024, columns=list(columns)):
            for row in batch.to_pylist():
                number += 1
                yield number, row


def _check(columns: Sequence[str], found: Sequence[str], path: Path) -> None:
    missing = [name for name in columns if name not in found]
    if missing:
        raise TableError(
            f"{path}: found columns {', '.join(found) or 'none'}; expected "
            f"{', '.join(missing)} too"
        )
