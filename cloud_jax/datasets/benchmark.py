"""Public data sets with labels and the published split.

Such a source is read in two ways: as crystals, like any other, and as a labelled
table, whose columns are `id`, `structure`, the targets and `fold`. `fold` is the name
of the fold that tests a row, or `train` and `test`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from cloud_jax.arguments import nearest
from cloud_jax.datasets.download import RemoteFile, find, find_or_fetch
from cloud_jax.files import file_sha256
from cloud_jax.structures.columns import column_index
from cloud_jax.structures.csv_table import csv_rows
from cloud_jax.structures.json_stream import split_rows
from cloud_jax.structures.source import Listing, Piece, RawItem, Source, SourceError

ID, STRUCTURE, FOLD = "id", "structure", "fold"


class Target(NamedTuple):
    """A label: its column, and its unit in words."""

    column: str
    unit: str


@dataclass(frozen=True)
class Benchmark(Source):
    """Read a public data set from its published files.

    Attributes:
        data_dir: folder to search first, and to download to.
    """

    kind: ClassVar[str]  # the word before the colon
    data_dir: str = "data"

    def _describe(self, licence: str, citation: str) -> None:
        """Set the publisher's licence and citation where the user gives none."""
        object.__setattr__(self, "licence", self.licence or licence)
        object.__setattr__(self, "citation", self.citation or citation)

    @property
    def targets(self) -> tuple[Target, ...]:
        """Return the labels that a model may learn."""
        raise NotImplementedError

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that `rows` may hold."""
        return ID, STRUCTURE, *(target.column for target in self.targets), FOLD

    def wanted(self, columns: Sequence[str]) -> list[tuple[RemoteFile, ...]]:
        """Return the files that some columns need, the published alternative first.

        Args:
            columns: some of `columns`; the crystals are always included, first.
        """
        raise NotImplementedError

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any] | str]:
        """Yield {column: value} per row, or a description of its error.

        The rows are the same, in the same order, whatever columns are wanted: a row is
        known by its number.

        Args:
            columns: to include; others may be included too.

        Raises:
            SourceError: a file is missing or damaged.
        """
        raise NotImplementedError

    def crystals(self, path: Path) -> Iterator[tuple[str, Any] | str]:
        """Yield id and structure (or item) per row, or a description of its error.

        Raises:
            SourceError: the file is damaged.
        """
        raise NotImplementedError

    def fetch(self, columns: Sequence[str] = (STRUCTURE,)) -> None:
        """Download the missing files that some columns need.

        Raises:
            SourceError: a file cannot be downloaded.
        """
        for files in self.wanted(columns):
            if not any(find(file, self.data_dir) for file in files):
                find_or_fetch(files[0], self.data_dir, self.kind, allow_download=True)

    def pieces(self) -> list[Piece]:
        """Return the file with the crystals."""
        path = self.path(*self.wanted((STRUCTURE,))[0])
        return [Piece(path.name, path)]

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield the crystals of a file."""
        for number, row in enumerate(self.crystals(piece.path)):
            if isinstance(row, str):
                yield RawItem(f"row-{number}", ("bad_row", row), "reject")
            elif isinstance(row[1], RawItem):
                yield row[1]
            else:
                yield RawItem(*row, "auto")

    def path(self, *files: RemoteFile) -> Path:
        """Return the path of the first alternative file that is found.

        Raises:
            SourceError: none is found, or the file is damaged.
        """
        for file in files:
            if path := find(file, self.data_dir):
                return path
        return find_or_fetch(files[0], self.data_dir, self.kind, allow_download=False)

    def table_sha256(self, columns: Sequence[str]) -> str:
        """Return a hash of the names and bytes of the files that some columns need."""
        digest = hashlib.sha256()
        for files in self.wanted(columns):
            path = self.path(*files)
            digest.update(path.name.encode() + b"\0")
            digest.update(bytes.fromhex(file_sha256(path)))
        return digest.hexdigest()


class BenchmarkTask(Protocol):
    """Describe a task of an ordered benchmark.

    Attributes:
        column: name of the target in the file.
        unit: unit of the target.
        rows: number of rows in the file.
        what: description of the target.
    """

    column: str
    unit: str
    rows: int
    what: str


@dataclass(frozen=True)
class OrderedBenchmark(Benchmark):
    """Read one file `{index, columns, data}` whose row order gives the ids.

    Without all its rows, in their order, ids and folds would not be the official ones.

    Attributes:
        task: name of the task.
    """

    title: ClassVar[str]
    tasks: ClassVar[Mapping[str, BenchmarkTask]]
    fold_seed: ClassVar[int]
    task: str = ""

    def __post_init__(self):
        if self.task not in self.tasks:
            near = nearest(self.task, self.tasks)
            hint = near and f"did you mean {self.kind}:{near}? "
            raise SourceError(
                f"{self.kind}:{self.task}: {hint}expected one of "
                f"{', '.join(self.tasks)}"
            )

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "OrderedBenchmark":
        """Return the source of `matbench:phonons`, `unconvbench:supercon`, ..."""
        return cls(name=f"{cls.kind}_{text}", data_dir=data_dir, task=text)

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """Return a listing per task."""
        found = []
        for name, task in cls.tasks.items():
            source = cls.from_word(name, data_dir)
            what = f"{cls.title}: {task.what}{f', {task.unit}' if task.unit else ''}"
            found.append(
                Listing(
                    f"{cls.kind}:{name}", what, f"{task.rows:,} structures",
                    source.licence, source.citation, where(data_dir, source.file),
                )
            )  # fmt: skip
        return found

    @property
    def targets(self) -> tuple[Target, ...]:
        """Return the only target of the task."""
        task = self.tasks[self.task]
        return (Target(task.column, task.unit),)

    @property
    def file(self) -> RemoteFile:
        """Return the published file."""
        raise NotImplementedError

    @property
    def id_prefix(self) -> str:
        """Return the prefix of the official ids."""
        raise NotImplementedError

    def count(self) -> int:
        """Return the number of rows in the file."""
        return self.tasks[self.task].rows

    def ids(self) -> list[str]:
        """Return the official id per row, such as `mb-phonons-0001`."""
        n = self.count()
        return [f"{self.id_prefix}-{i:0{len(str(n))}d}" for i in range(1, n + 1)]

    def folds(self) -> list[str]:
        """Return, per row, the name of the fold that tests it."""
        return fold_names(self.count(), self.fold_seed)

    def official_folds(self) -> dict[str, list[str]]:
        """Return the ids of the test rows per fold, in official order."""
        found: dict[str, list[str]] = {name: [] for name in sorted(set(self.folds()))}
        for name, fold in zip(self.ids(), self.folds(), strict=True):
            found[fold].append(name)
        return found

    def wanted(self, columns: Sequence[str]) -> list[tuple[RemoteFile, ...]]:
        """Return the only file."""
        return [(self.file,)]

    def crystals(self, path: Path) -> Iterator[tuple[str, Any] | str]:
        """Yield official id and structure per row."""
        for row in self._rows(path, self.ids()):
            yield row if isinstance(row, str) else (row[ID], row[STRUCTURE])

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any] | str]:
        """Yield the rows in official order with official ids and folds."""
        folds = self.folds() if FOLD in columns else [""] * len(self.ids())
        yield from self._rows(self.path(self.file), folds)

    def _rows(self, path: Path, folds: Sequence[str]) -> Iterator[dict[str, Any] | str]:
        ids, number = self.ids(), -1
        for number, row in enumerate(split_rows(path)):
            if number >= len(ids):
                continue  # counted, to say how many
            if isinstance(row, dict):
                row = row | {ID: ids[number], FOLD: folds[number]}
                missing = [name for name in self.columns if name not in row]
                if missing and number == 0:
                    raise SourceError(
                        f"{path}: found columns {', '.join(row)}; expected "
                        f"{', '.join(missing)} too: this is the file of another task"
                    )
            yield row if isinstance(row, dict) else str(row)
        if number + 1 != len(ids):
            raise SourceError(
                f"{path}: found {number + 1:,} rows, expected {len(ids):,}, which the "
                "official ids and folds need: download the file again"
            )


def where(data_dir: str, *files: RemoteFile) -> str:
    """Return where an alternative file is, for a listing; empty if nowhere."""
    for file in files:
        try:
            if path := find(file, data_dir):
                return str(path)
        except SourceError as error:
            return str(error).partition(": it is")[0]
    return ""


def read_columns(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the values per row of a CSV, keyed by the first of some columns.

    Raises:
        SourceError: the file is damaged or lacks a column.
    """
    with csv_rows(path) as (header, rows):
        places = [column_index(header, name, (), path) for name in columns]
        found = {}
        for line, row in rows:
            if len(row) != len(header):
                raise SourceError(
                    f"{path}: line {line}: found {len(row)} fields, expected "
                    f"{len(header)}: download the file again"
                )
            key, *values = (row[place] for place in places)
            found[key] = values
        return found


def fold_names(n: int, seed: int) -> list[str]:
    """Return, for each of n rows, the name of the fold that tests it.

    MatBench and UnconvBench both use scikit-learn's five shuffled folds.
    """
    from sklearn.model_selection import KFold

    names = [""] * n
    splits = KFold(5, shuffle=True, random_state=seed).split(np.zeros(n))
    for number, (_, test) in enumerate(splits):
        for row in test:
            names[row] = f"fold_{number}"
    return names
