"""Tables of structures: CSV, Parquet, JSON, JSON lines, npz, and the files of ASE.

All are streamed; an npz is a few flat arrays, 60 bytes an atom.
"""

import csv
import glob
import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from cloud_jax.preprocess.sources.ase_files import (
    database_items,
    database_size,
    frame_items,
)
from cloud_jax.preprocess.sources.columns import (
    ID_COLUMNS,
    STRUCTURE_COLUMNS,
    cell_item,
    pick,
    pick_id,
)
from cloud_jax.preprocess.sources.compressed import open_text
from cloud_jax.preprocess.sources.json_tables import json_items, row_items
from cloud_jax.preprocess.sources.parquet import parquet_items, parquet_size
from cloud_jax.preprocess.sources.source import (
    MAX_ITEM_BYTES,
    PathSource,
    Piece,
    RawItem,
    SourceError,
)

_NPZ_KEYS = ("n_sites", "Z", "frac", "lattice")


@dataclass(frozen=True)
class FileSource(PathSource):
    """A source of one or more files of the same layout."""

    def pieces(self) -> list[Piece]:
        """The files, patterns expanded in sorted order."""
        pieces = []
        for path in self.paths:
            found = [path] if Path(path).is_file() else sorted(glob.glob(path))
            if not found:
                raise SourceError(f"source {self.name}: found no file {path}")
            pieces += [Piece(Path(file).name, Path(file)) for file in found]
        return pieces


@dataclass(frozen=True)
class TableSource(FileSource):
    """Rows with a structure each.

    Attributes:
        column: column or key of the structure; the first known name by default. Its
            cells are CIF or POSCAR text, or the dicts of pymatgen, ASE or JARVIS (as
            JSON text or nested columns). Without such a column a row may have columns
            for lattice vectors, positions and elements.
        id_column: column or key of the id; the first known name by default, else the
            row number.
        splits: of a JSON file {split: {id: structure}}, the splits to read.
    """

    column: str = ""
    id_column: str = ""
    splits: tuple[str, ...] = ()

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield one structure a row."""
        path = piece.path
        try:
            yield from self._reader(path)(path)
        except (
            OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error
        ) as error:  # fmt: skip
            raise SourceError(f"{path}: cannot be read ({error})") from error

    def count(self) -> int | None:
        """How many rows the files have, if each of them says so."""
        sizes = {".parquet": parquet_size, ".pq": parquet_size}
        sizes |= {".db": database_size, ".npz": npz_size}
        paths = [piece.path for piece in self.pieces()]
        if {path.suffix.lower() for path in paths} <= sizes.keys():
            return sum(sizes[path.suffix.lower()](path) for path in paths)
        return None

    def _reader(self, path: Path) -> Callable[[Path], Iterator[RawItem]]:
        """Choose by the last suffix that says no compression."""
        suffixes = [s.lower() for s in path.suffixes]
        if suffixes and suffixes[-1] in (".gz", ".bz2", ".zip"):
            suffixes.pop()
        names = self.column, self.id_column
        readers = {
            ".npz": npz_items,
            ".csv": self._csv_items,
            ".jsonl": self._json_lines,
            ".json": lambda path: json_items(path, *names, self.splits),
            ".parquet": lambda path: parquet_items(path, *names),
            ".db": lambda path: database_items(path, self.id_column),
            ".xyz": lambda path: frame_items(path, self.id_column),
        }
        same = {".ndjson": ".jsonl", ".pq": ".parquet", ".extxyz": ".xyz"}
        suffix = suffixes[-1] if suffixes else ""
        if same.get(suffix, suffix) not in readers:
            raise SourceError(
                f"{path}: found suffix {path.suffix!r}, expected .csv, .json, .jsonl, "
                ".xyz (each also .gz, .bz2 or .zip), .parquet, .npz or .db"
            )
        return readers[same.get(suffix, suffix)]

    def _csv_items(self, path: Path) -> Iterator[RawItem]:
        with csv_rows(path) as (header, rows):
            column = pick(header, self.column, STRUCTURE_COLUMNS, path)
            id_at = pick_id(header, self.id_column, path)
            for number, row in enumerate(rows):
                if len(row) == len(header) + 1:  # pandas: an index without a name
                    del row[0]
                name = f"{path.name}:{number}"
                if len(row) != len(header):
                    problem = f"found {len(row)} fields, expected {len(header)}"
                    yield RawItem(name, ("bad_row", problem), "reject")
                else:
                    yield cell_item(name if id_at is None else row[id_at], row[column])

    def _json_lines(self, path: Path) -> Iterator[RawItem]:
        with open_text(path) as file:
            yield from row_items(_lines(file), path, self.column, self.id_column)


def _lines(file: TextIO) -> Iterator[Any]:
    """Yield what each line holds; of a bad one a ValueError that says why."""
    number = 0
    while line := file.readline(MAX_ITEM_BYTES):
        number += 1
        if len(line) == MAX_ITEM_BYTES:
            while line and not line.endswith("\n"):
                line = file.readline(MAX_ITEM_BYTES)
            yield ValueError(
                f"line {number} is longer than {MAX_ITEM_BYTES} characters"
            )
        elif not line.isspace():
            try:
                yield json.loads(line)
            except (json.JSONDecodeError, RecursionError) as error:
                yield ValueError(f"line {number} is no JSON: {error}")


@contextmanager
def csv_rows(path: Path) -> Iterator[tuple[list[str], Iterator[list[str]]]]:
    """Open a CSV: its header and a stream of rows; comment lines above it go.

    Raises:
        SourceError: the file is missing, damaged or has no header.
    """
    csv.field_size_limit(MAX_ITEM_BYTES)
    try:
        with open_text(path) as file:
            line = file.readline()
            while line.startswith("#"):
                line = file.readline()
            header = next(csv.reader([line]), [])
            if not header:
                raise SourceError(f"{path}: is empty, expected a line of column names")
            yield header, (row for row in csv.reader(file) if row)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read ({error})") from error


def npz_size(path: Path) -> int:
    """How many crystals there are; other arrays are not read."""
    with _npz(path) as data:
        return len(data["n_sites"])


@contextmanager
def _npz(path: Path) -> Iterator[np.lib.npyio.NpzFile]:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            yield data
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"{path}: expected the arrays {', '.join(_NPZ_KEYS)} and perhaps "
            f"{ID_COLUMNS[0]} ({error})"
        ) from error


def npz_items(path: Path) -> Iterator[RawItem]:
    """Flat arrays: `n_sites` [N], `Z` [sum], `frac` [sum, 3], `lattice` [N, 3, 3]."""
    with _npz(path) as data:
        n_sites, numbers, fractional, lattice = (data[key] for key in _NPZ_KEYS)
        key = next((key for key in ID_COLUMNS if key in data), None)
        names = data[key] if key else None
    ends = np.cumsum(n_sites, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    if len(numbers) != total or len(fractional) != total or len(lattice) != len(ends):
        raise SourceError(
            f"{path}: n_sites sums to {total} in {len(ends)} crystals; found "
            f"{len(numbers)} Z, {len(fractional)} frac, {len(lattice)} lattice"
        )
    for i, end in enumerate(ends):
        sites = slice(end - n_sites[i], end)
        name = f"{path.name}:{i}" if names is None else str(names[i])
        yield RawItem(name, (lattice[i], fractional[sites], numbers[sites]), "arrays")
