"""Rows of a labelled table, each with its line for messages.

A table is a file, or a public data set with labels by its word (`matbench:phonons`).
"""

import math
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from cloud_jax.datasets.benchmark import Benchmark
from cloud_jax.datasets.corpus import KINDS
from cloud_jax.files import file_sha256
from cloud_jax.structures.columns import refuse_twins
from cloud_jax.structures.csv_table import csv_rows
from cloud_jax.structures.json_stream import line_rows, split_rows
from cloud_jax.structures.parquet import parquet_rows
from cloud_jax.structures.source import SourceError

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
        suffixes = [suffix.lower() for suffix in self.path.suffixes]
        readers = {
            ".csv": _csv_rows,
            ".parquet": _parquet_rows,
            ".jsonl": lambda path, names: _object_rows(path, names, line_rows(path)),
            ".json": lambda path, names: _object_rows(
                path, names, enumerate(split_rows(path), 1)
            ),
        }
        reader = next((readers[s] for s in reversed(suffixes) if s in readers), None)
        if reader is None:
            raise TableError(
                f"{self.path}: found suffix {self.path.suffix!r}, expected .csv, .json "
                "or .jsonl (each also .gz, .bz2 or .zip) or .parquet"
            )
        try:
            yield from reader(self.path, columns)
        except SourceError as error:
            raise TableError(str(error)) from error
        except (
            OSError, EOFError, UnicodeDecodeError, zlib.error, BadZipFile
        ) as error:  # fmt: skip
            raise TableError(f"{self.path}: cannot be read ({error})") from error


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
    if source_class is None or not issubclass(source_class, Benchmark):
        return TableFile(Path(where))
    try:
        return BenchmarkTable(source_class.from_word(text, str(data_dir)))
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
        raise TableError(
            f"{where}: found columns {', '.join(found) or 'none'}; expected "
            f"{', '.join(missing)} too"
        )
