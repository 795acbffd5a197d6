"""Public data sets with labels and the split that everyone uses.

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

from cloud_jax.datasets.download import RemoteFile, find, find_or_fetch
from cloud_jax.files import file_sha256
from cloud_jax.structures.columns import pick
from cloud_jax.structures.json_stream import split_rows
from cloud_jax.structures.source import Listing, Piece, RawItem, Source, SourceError
from cloud_jax.structures.table import csv_rows

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

        The rows are the same, in the same order, whatever columns are wanted: a row is
        known by its number.

        Args:
            columns: that are wanted; others may come too.

        Raises:
            SourceError: a file is missing or damaged.
        """
        raise NotImplementedError

    def crystals(self, path: Path) -> Iterator[tuple[str, Any] | str]:
        """Yield id and structure (or item) of each row, or what is wrong with it.

        Raises:
            SourceError: the file is damaged.
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
        """Yield the crystals of a file."""
        for number, row in enumerate(self.crystals(piece.path)):
            if isinstance(row, str):
                yield RawItem(f"row-{number}", ("bad_row", row), "reject")
            elif isinstance(row[1], RawItem):
                yield row[1]
            else:
                yield RawItem(*row, "auto")

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
            digest.update(bytes.fromhex(file_sha256(path)))
        return digest.hexdigest()


class Task(Protocol):
    """What every task of an ordered benchmark has.

    Attributes:
        column: of the target, in the file.
        unit: of the target.
        rows: of the file.
        what: the target is.
    """

    column: str
    unit: str
    rows: int
    what: str


@dataclass(frozen=True)
class OrderedBenchmark(Benchmark):
    """One file `{index, columns, data}`, where the place of a row is its identity.

    Without all its rows, in their order, ids and folds would not be the official ones.

    Attributes:
        task: its name.
    """

    title: ClassVar[str]
    tasks: ClassVar[Mapping[str, Task]]
    fold_seed: ClassVar[int]
    task: str = ""

    def __post_init__(self):
        if self.task not in self.tasks:
            raise SourceError(
                f"{self.kind}:{self.task}: expected one of {', '.join(self.tasks)}"
            )

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "OrderedBenchmark":
        """`matbench:phonons`, `unconvbench:supercon` and so on."""
        return cls(name=f"{cls.kind}_{text}", data_dir=data_dir, task=text)

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """All tasks."""
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
        """The task's one target."""
        task = self.tasks[self.task]
        return (Target(task.column, task.unit),)

    @property
    def file(self) -> RemoteFile:
        """The published file."""
        raise NotImplementedError

    @property
    def id_prefix(self) -> str:
        """What the official ids begin with."""
        raise NotImplementedError

    def count(self) -> int:
        """Rows of the file."""
        return self.tasks[self.task].rows

    def ids(self) -> list[str]:
        """The official id of each row, `mb-phonons-0001` and so on."""
        n = self.count()
        return [f"{self.id_prefix}-{i:0{len(str(n))}d}" for i in range(1, n + 1)]

    def folds(self) -> list[str]:
        """Of each row the name of the fold that tests it."""
        return fold_names(self.count(), self.fold_seed)

    def official_folds(self) -> dict[str, list[str]]:
        """Ids of the test rows of each fold, in official order."""
        found: dict[str, list[str]] = {name: [] for name in sorted(set(self.folds()))}
        for name, fold in zip(self.ids(), self.folds(), strict=True):
            found[fold].append(name)
        return found

    def wanted(self, columns: Sequence[str]) -> list[tuple[RemoteFile, ...]]:
        """The one file."""
        return [(self.file,)]

    def crystals(self, path: Path) -> Iterator[tuple[str, Any] | str]:
        """Yield official id and structure of each row."""
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
                        f"{', '.join(missing)} too: it is another task's file"
                    )
            yield row if isinstance(row, dict) else str(row)
        if number + 1 != len(ids):
            raise SourceError(
                f"{path}: found {number + 1:,} rows, expected {len(ids):,}: ids and "
                "folds are official only with all of them: get the file again"
            )


def where(data_dir: str, *files: RemoteFile) -> str:
    """Where one of some alternative files is, for a listing; empty if nowhere."""
    for file in files:
        try:
            if path := find(file, data_dir):
                return str(path)
        except SourceError as error:
            return str(error).partition(": it is")[0]
    return ""


def read_columns(path: Path, columns: Sequence[str]) -> dict[str, list[str]]:
    """Read some columns of a CSV: the values of each row by its first column.

    Raises:
        SourceError: the file is damaged or lacks a column.
    """
    with csv_rows(path) as (header, rows):
        places = [pick(header, name, (), path) for name in columns]
        found = {}
        for line, row in rows:
            if len(row) != len(header):
                raise SourceError(
                    f"{path}: line {line}: found {len(row)} fields, expected "
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
