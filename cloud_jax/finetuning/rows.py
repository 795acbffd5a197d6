"""Rows of a labelled table, each with its line for messages.

A table is a file, or a public data set with labels by its word (`matbench:phonons`).
"""

import difflib
import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from cloud_jax.datasets.benchmark import Benchmark
from cloud_jax.datasets.corpus import KINDS
from cloud_jax.datasets.textbook import TextbookSource
from cloud_jax.files import cause, file_sha256
from cloud_jax.structures.columns import refuse_twins
from cloud_jax.structures.csv_table import csv_rows
from cloud_jax.structures.json_stream import line_rows, split_rows
from cloud_jax.structures.parquet import parquet_rows
from cloud_jax.structures.source import SourceError

_SUFFIXES = (".csv", ".parquet", ".jsonl", ".json")
Rows = Iterator[tuple[int, dict[str, Any] | str]]


class TableError(ValueError):
    """A table as a whole cannot be used; the message says why and what to do."""


@dataclass
class Row:
    """One row while the table is read: filled in step by step, or given a problem.

    Attributes:
        number: of the row in the file, from 0.
        line: in the file, from 1.
        id: empty until it is read.
        targets: in the units of the file, NaN where a label is missing.
        n_atoms: in the primitive cell, 0 while unknown.
        space_group: number, 0 while unknown.
        volume: of the primitive cell, angstrom^3.
        split: value of the split column.
        group: value of the group column.
        sentence: of its crystal.
        tokens: of the sentence.
        problem: code and message of what makes the row unusable.
    """

    number: int
    line: int
    id: str = ""
    targets: list[float] = field(default_factory=list)
    n_atoms: int = 0
    space_group: int = 0
    volume: float = math.nan
    split: str = ""
    group: str = ""
    sentence: str = ""
    tokens: list[int] = field(default_factory=list)
    problem: tuple[str, str] | None = None


@dataclass(frozen=True)
class BenchmarkTable:
    """The rows of a public data set; what is missing is downloaded when it is read."""

    source: Benchmark

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.source.name

    @property
    def folder(self) -> Path:
        """Folder of its files."""
        return Path(self.source.data_dir)

    def rows(self, columns: Sequence[str]) -> Rows:
        """Yield the number of each row, from 1, as its line, and {column: value}.

        A text instead of values says what is wrong with the row. The rows are the
        same, in the same order, whatever columns are wanted.

        Raises:
            TableError: a file is missing or damaged, or lacks a column.
        """
        _check_columns(columns, self.source.columns, self.source.name)
        try:
            self.source.fetch(columns)
            for number, row in enumerate(self.source.rows(columns), 1):
                bad = isinstance(row, str)
                yield number, row if bad else {name: row.get(name) for name in columns}
        except SourceError as error:
            raise TableError(str(error)) from error

    def columns(self) -> list[str]:
        """Return the names of the columns."""
        return list(self.source.columns)

    def sha256(self, columns: Sequence[str]) -> str:
        """Return the hash of the files that some columns come from."""
        return self.source.table_sha256(columns)


@dataclass(frozen=True)
class TableFile:
    """The rows of a file."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the file without suffixes."""
        return self.path.name.split(".")[0]

    @property
    def folder(self) -> Path:
        """Folder of the file."""
        return self.path.parent

    def columns(self) -> list[str]:
        """Return the names of the columns; of JSON, those of the first 100 objects.

        Raises:
            TableError: the file is missing or damaged.
        """
        with self._explained():
            if self._kind() == ".csv":
                with csv_rows(self.path) as (header, _):
                    return header
            if self._kind() == ".parquet":
                with parquet_rows(self.path) as (names, _):
                    return names
            objects = (row for _, row in islice(self._objects(), 100))
            keys = (row for row in objects if isinstance(row, dict))
            return list(dict.fromkeys(chain.from_iterable(keys)))

    def sha256(self, columns: Sequence[str]) -> str:
        """Return the hash of the file's bytes."""
        return file_sha256(self.path)

    def rows(self, columns: Sequence[str]) -> Rows:
        """Yield the line on which each row starts, from 1, and {column: value}.

        JSON and Parquet have no lines; there it is the number of the row. A key that
        an object of JSON lacks is None. A text instead of values says what is wrong
        with the row.

        Raises:
            TableError: the file is missing or damaged, or lacks a column.
        """
        with self._explained():
            if self._kind() == ".csv":
                yield from _csv_rows(self.path, columns)
            elif self._kind() == ".parquet":
                yield from _parquet_rows(self.path, columns)
            else:
                yield from _object_rows(self.path, columns, self._objects())

    def _kind(self) -> str:
        """Return the last suffix of the name that says how rows are read."""
        found = [suffix.lower() for suffix in reversed(self.path.suffixes)]
        kind = next((suffix for suffix in found if suffix in _SUFFIXES), None)
        if kind is None:
            raise TableError(
                f"{self.path}: found suffix {self.path.suffix!r}, expected .csv, .json "
                "or .jsonl (each also .gz, .bz2 or .zip) or .parquet"
            )
        return kind

    def _objects(self) -> Iterable[tuple[int, Any]]:
        """Return the objects of JSON or JSON lines, each with its number or line."""
        if self._kind() == ".jsonl":
            return line_rows(self.path)
        return enumerate(split_rows(self.path), 1)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise TableError for whatever the readers raise."""
        try:
            yield
        except SourceError as error:
            raise TableError(str(error)) from error
        except (
            OSError, EOFError, UnicodeDecodeError, zlib.error, BadZipFile
        ) as error:  # fmt: skip
            raise TableError(f"{self.path}: cannot be read ({cause(error)})") from error


LabelledTable = BenchmarkTable | TableFile


def open_table(where: str | Path, data_dir: str | Path = "data") -> LabelledTable:
    """Return the table of a file, or of a word such as `matbench:phonons`.

    Args:
        where: `*.csv`, `*.json` or `*.jsonl` (each also .gz, .bz2 or .zip),
            `*.parquet`, or the word of a public data set with labels.
        data_dir: folder of public data sets.

    Raises:
        TableError: there is no such data set.
    """
    kind, _, text = str(where).partition(":")
    source_class = KINDS.get(kind)
    if source_class is None or not issubclass(source_class, Benchmark | TextbookSource):
        return TableFile(Path(where))
    try:
        source = source_class.from_word(text, str(data_dir))
        if isinstance(source, Benchmark):
            return BenchmarkTable(source)
        return TableFile(source.pieces()[0].path)
    except SourceError as error:
        raise TableError(str(error)) from error


def _csv_rows(path: Path, columns: Sequence[str]) -> Rows:
    with csv_rows(path) as (header, rows):
        _check_columns(columns, header, path)
        places = {name: header.index(name) for name in columns}
        for line, row in rows:
            if len(row) == len(header):
                yield line, {name: row[i] for name, i in places.items()}
            else:
                yield line, f"found {len(row)} fields, expected {len(header)}"


def _parquet_rows(path: Path, columns: Sequence[str]) -> Rows:
    with parquet_rows(path) as (names, rows):
        _check_columns(columns, names, path)
        yield from enumerate(rows(columns), 1)


def _object_rows(
    path: Path, columns: Sequence[str], rows: Iterable[tuple[int, Any]]
) -> Rows:
    """Yield some columns of objects; a column that no object has is missing."""
    found: dict[str, None] = {}
    for line, row in rows:
        if isinstance(row, dict):
            found |= dict.fromkeys(row)
            row = {name: row.get(name) for name in columns}
        elif isinstance(row, ValueError):
            row = str(row)
        else:
            row = f"found {str(row)[:40]!r}, expected an object"
        yield line, row
    if found:
        _check_columns(columns, list(found), path)


def _check_columns(
    columns: Sequence[str], found: Sequence[str], where: str | Path
) -> None:
    """Raise TableError unless each column is among those found, once."""
    try:
        refuse_twins(columns, found, Path(where))
    except SourceError as error:
        raise TableError(str(error)) from None
    missing = [name for name in columns if name not in found]
    if missing:
        near = difflib.get_close_matches(missing[0], found, 1)
        raise TableError(
            f"{where}: found columns {', '.join(found) or 'none'}; expected "
            f"{', '.join(missing)} too"
            + (f": did you mean {near[0]} by {missing[0]}?" if near else "")
        )
