"""Tables of structures: CSV, Parquet, JSON, JSON lines, npz, and the files of ASE.

All are streamed except npz, which is a few flat arrays of 60 bytes per atom.
"""

import csv
import glob
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cloud_jax.structures.ase_database import database_items, database_size
from cloud_jax.structures.columns import (
    ID_COLUMNS,
    STRUCTURE_COLUMNS,
    column_index,
    id_index,
    value_item,
)
from cloud_jax.structures.compressed import DAMAGED, open_text, uncompressed_name
from cloud_jax.structures.extxyz import frame_items
from cloud_jax.structures.json_stream import line_rows
from cloud_jax.structures.json_tables import json_items, row_items
from cloud_jax.structures.parquet import parquet_items, parquet_size
from cloud_jax.structures.source import (
    MAX_ITEM_BYTES,
    PathSource,
    Piece,
    RawItem,
    SourceError,
)

_NPZ_KINDS = {
    "n_sites": np.integer,
    "Z": np.integer,
    "frac": np.floating,
    "lattice": np.floating,
}
_NPZ_KEYS = tuple(_NPZ_KINDS)


@dataclass(frozen=True)
class FileSource(PathSource):
    """A source of one or more files of the same layout."""

    def pieces(self) -> list[Piece]:
        """Return the files, patterns expanded in sorted order."""
        pieces = []
        for path in self.paths:
            found = [Path(path), *map(Path, sorted(glob.glob(path)))]
            files = list(dict.fromkeys(file for file in found if file.is_file()))
            if not files:
                what = (
                    f"{path} is a folder, pipe or device"
                    if found[1:]
                    else f"found no file {path}"
                )
                raise SourceError(
                    f"source {self.name}: {what}, expected a file or a pattern"
                )
            pieces += [Piece(file.name, file) for file in files]
        return pieces


@dataclass(frozen=True)
class TableSource(FileSource):
    """A source of tables with one structure per row.

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
        """Yield one structure per row."""
        path = piece.path
        try:
            yield from self._reader(path)(path)
        except (*DAMAGED, UnicodeDecodeError) as error:
            raise SourceError(f"{path}: cannot be read ({error})") from error

    def count(self) -> int | None:
        """Return how many rows the files have, None for JSON and extended XYZ.

        A CSV is read for this, which takes a few percent of the time that parsing its
        structures takes.
        """
        sizes = {".parquet": parquet_size, ".pq": parquet_size}
        sizes |= {".db": database_size, ".npz": npz_size, ".csv": csv_size}
        paths = [piece.path for piece in self.pieces()]
        if not {_suffix(path) for path in paths} <= sizes.keys():
            return None
        return sum(sizes[_suffix(path)](path) for path in paths)

    def _reader(self, path: Path) -> Callable[[Path], Iterator[RawItem]]:
        """Return the reader for the last suffix that is not of a compression."""
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
        suffix = _suffix(path)
        if same.get(suffix, suffix) not in readers:
            raise SourceError(
                f"{path}: found suffix {path.suffix!r}, expected .csv, .json, .jsonl, "
                ".xyz (each also .gz, .bz2, .xz or .zip), .parquet, .npz or .db"
            )
        return readers[same.get(suffix, suffix)]

    def _csv_items(self, path: Path) -> Iterator[RawItem]:
        with csv_rows(path) as (header, rows):
            column = column_index(header, self.column, STRUCTURE_COLUMNS, path)
            id_at = id_index(header, self.id_column, path)
            for number, (_, row) in enumerate(rows):
                if len(row) == len(header) + 1:  # the unnamed index of pandas
                    del row[0]
                name = f"{path.name}:{number}"
                if len(row) != len(header):
                    problem = f"found {len(row)} fields, expected {len(header)}"
                    yield RawItem(name, ("bad_row", problem), "reject")
                else:
                    yield value_item(name if id_at is None else row[id_at], row[column])

    def _json_lines(self, path: Path) -> Iterator[RawItem]:
        rows = (row for _, row in line_rows(path))
        yield from row_items(rows, path, self.column, self.id_column)


def _suffix(path: Path) -> str:
    """Return the last suffix that is not of a compression, in lower case."""
    name = uncompressed_name(path.name.lower()).removesuffix(".zip")
    return Path(name).suffix


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
        SourceError: the file is missing, damaged or has no header.
    """
    csv.field_size_limit(MAX_ITEM_BYTES)
    try:
        with open_text(path) as file:
            above, line = 1, file.readline()
            while line.startswith("#"):
                above, line = above + 1, file.readline()
            header = next(csv.reader([line]), [])
            if not header:
                raise SourceError(f"{path}: empty, expected a line of column names")
            yield header, _numbered(csv.reader(file), above)
    except (*DAMAGED, UnicodeDecodeError, csv.Error) as error:
        raise SourceError(f"{path}: cannot be read ({error})") from error


def _numbered(reader: Any, above: int) -> Iterator[tuple[int, list[str]]]:
    begins = above + 1
    for row in reader:
        if row:
            yield begins, row
        begins = above + reader.line_num + 1


def npz_size(path: Path) -> int:
    """Return the number of crystals, reading only `n_sites`."""
    with open_npz(path, _NPZ_KEYS) as data:
        return len(data["n_sites"])


@contextmanager
def open_npz(path: Path, keys: Sequence[str]) -> Iterator[np.lib.npyio.NpzFile]:
    """Open an npz file.

    Raises:
        SourceError: the file cannot be read, now or later, or lacks one of the keys.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as data:
            yield data
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise SourceError(
            f"{path}: expected the arrays {', '.join(keys)} and optionally "
            f"{ID_COLUMNS[0]} ({error})"
        ) from error


def npz_items(path: Path) -> Iterator[RawItem]:
    """Yield the N crystals of flat arrays.

    These are `n_sites` [N], `Z` [sum], `frac` [sum, 3] and `lattice` [N, 3, 3],
    angstrom.
    """
    with open_npz(path, _NPZ_KEYS) as data:
        n_sites, numbers, fractional, lattice = (data[key] for key in _NPZ_KEYS)
        key = next((key for key in ID_COLUMNS if key in data), None)
        names = data[key] if key else None
    arrays = dict(zip(_NPZ_KEYS, (n_sites, numbers, fractional, lattice), strict=True))
    for key, array in arrays.items():
        if not np.issubdtype(array.dtype, _NPZ_KINDS[key]):
            raise SourceError(
                f"{path}: {key}: found {array.dtype}, expected "
                f"{_NPZ_KINDS[key].__name__} (Z: atomic numbers)"
            )
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
