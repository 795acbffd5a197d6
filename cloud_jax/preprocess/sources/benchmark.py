"""Public data sets with labels and the split that everyone uses.

Such a source is read in two ways: as crystals, like any other, and as a labelled
table, whose columns are `id`, `structure`, the targets and `fold`. `fold` is the name
of the fold that tests a row, or `train` and `test`.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from cloud_jax.preprocess.sources.columns import pick
from cloud_jax.preprocess.sources.download import RemoteFile, find, find_or_fetch
from cloud_jax.preprocess.sources.json_stream import split_rows
from cloud_jax.preprocess.sources.source import Piece, RawItem, Source, SourceError
from cloud_jax.preprocess.sources.table import csv_rows

ID, STRUCTURE, FOLD = "id", "structure", "fold"


class Target(NamedTuple):
    """A label: its column, and its unit in words."""

    column: str
    unit: str


@dataclass(frozen=True)
class Benchmark(Source):
    """A public data set in files that are published.

    Attributes:
        data_dir: folder that is looked in first, and downloaded to.
    """

    kind: ClassVar[str]  # the word before the colon
    data_dir: str = "data"

    def _describe(self, licence: str, citation: str) -> None:
        """Take the publisher's licence and citation where the user gives none."""
        object.__setattr__(self, "licence", self.licence or licence)
        object.__setattr__(self, "citation", self.citation or citation)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What may be learned."""
        raise NotImplementedError

    @property
    def columns(self) -> tuple[str, ...]:
        """What `rows` may hold."""
        return ID, STRUCTURE, *(target.column for target in self.targets), FOLD

    def wanted(self, columns: Sequence[str]) -> list[tuple[RemoteFile, ...]]:
        """The files that some columns need; of alternatives the first is published.

        Args:
            columns: of `columns`; the crystals are always wanted, and come first.
        """
        raise NotImplementedError

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any] | str]:
        """Yield {column: value} of each row, or what is wrong with it.

        Args:
            columns: that are wanted; others may come too.

        Raises:
            SourceError: a file is missing or damaged.
        """
        raise NotImplementedError

    def fetch(self, columns: Sequence[str] = (STRUCTURE,)) -> None:
        """Bring the files that some columns need.

        Raises:
            SourceError: one cannot be had.
        """
        for files in self.wanted(columns):
            if not any(find(file, self.data_dir) for file in files):
                find_or_fetch(files[0], self.data_dir, self.kind, allow_download=True)

    def pieces(self) -> list[Piece]:
        """The file with the crystals."""
        path = self.path(*self.wanted((STRUCTURE,))[0])
        return [Piece(path.name, path)]

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield the structure of every row."""
        for number, row in enumerate(self.rows((STRUCTURE,))):
            if isinstance(row, str):
                yield RawItem(f"row-{number}", ("bad_row", row), "reject")
            elif isinstance(row[STRUCTURE], RawItem):
                yield row[STRUCTURE]
            else:
                yield RawItem(row[ID], row[STRUCTURE], "auto")

    def path(self, *files: RemoteFile) -> Path:
        """Where one of some alternative files is.

        Raises:
            SourceError: nowhere, or the file is damaged.
        """
        for file in files:
            if path := find(file, self.data_dir):
                return path
        return find_or_fetch(files[0], self.data_dir, self.kind, allow_download=False)

    def table_sha256(self, columns: Sequence[str]) -> str:
        """Hash of the names and bytes of the files that some columns come from."""
        digest = hashlib.sha256()
        for files in self.wanted(columns):
            path = self.path(*files)
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def where(data_dir: str, *files: RemoteFile) -> str:
    """Where one of some alternative files is, for a listing; empty if nowhere."""
    for file in files:
        try:
            if path := find(file, data_dir):
                return str(path)
        except SourceError as error:
            return str(error).partition(": it is")[0]
    return ""


def official_rows(
    path: Path, marks: Sequence[dict[str, str]], columns: Sequence[str]
) -> Iterator[dict[str, Any] | str]:
    """Yield the rows of a file whose order is official, each with its id and fold.

    Args:
        path: of a JSON file of columns and data.
        marks: {column: value} of each row, to be added.
        columns: that each row must have.

    Raises:
        SourceError: the file is damaged or has another number of rows.
    """
    number = -1
    for number, row in enumerate(split_rows(path)):
        if number < len(marks) and isinstance(row, dict):
            row = row | marks[number]
            missing = [name for name in columns if name not in row]
            if missing and number == 0:
                raise SourceError(
                    f"{path}: found columns {', '.join(row)}; expected "
                    f"{', '.join(missing)} too: it is another task's file"
                )
        yield row
    if number + 1 != len(marks):
        raise SourceError(
            f"{path}: found {number + 1:,} rows, expected {len(marks):,}: ids and "
            "folds are official only with all of them: get the file again"
        )


def read_columns(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """Read some columns of a CSV: the values of each row by its first column.

    Raises:
        SourceError: the file is damaged or lacks a column.
    """
    with csv_rows(path) as (header, rows):
        places = [pick(header, name, (), path) for name in columns]
        found = {}
        for number, row in enumerate(rows, 1):
            if len(row) != len(header):
                raise SourceError(
                    f"{path}: row {number}: found {len(row)} fields, expected "
                    f"{len(header)}: get the file again"
                )
            key, *values = (row[place] for place in places)
            found[key] = values
        return found


def fold_names(n: int, seed: int) -> list[str]:
    """Of each of n rows the name of the fold that tests it.

    MatBench and UnconvBench both take scikit-learn's five shuffled folds.
    """
    from sklearn.model_selection import KFold

    names = [""] * n
    splits = KFold(5, shuffle=True, random_state=seed).split(np.zeros(n))
    for number, (_, test) in enumerate(splits):
        for row in test:
            names[row] = f"fold_{number}"
    return names
