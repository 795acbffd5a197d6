"""Tables of structures: CSV, Parquet, JSON, JSON lines, npz, and the files of ASE.

All are streamed except npz, which is a few flat arrays of 60 bytes per atom.
"""

import glob
import gzip
import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cloud_jax.files import cause, file_sha256
from cloud_jax.structures.ase_database import database_items, database_size
from cloud_jax.structures.columns import ID_COLUMNS
from cloud_jax.structures.compressed import DAMAGED, uncompressed_name
from cloud_jax.structures.csv_table import csv_items, csv_size
from cloud_jax.structures.extxyz import frame_items
from cloud_jax.structures.json_stream import line_rows
from cloud_jax.structures.json_tables import json_items, row_items
from cloud_jax.structures.parquet import parquet_items, parquet_size
from cloud_jax.structures.source import (
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
    """A source of one or more files of the same layout.

    Attributes:
        page: where the files are published, for who does not have them.
        hashes: SHA-256 of the content of each of the paths, in their order; of a file
            named `*.gz` that of what it unpacks to. Files are checked against them.
    """

    page: str = field(default="", compare=False)  # no part of what decides the bytes
    hashes: tuple[str, ...] = field(default=(), compare=False)

    def fetch(self) -> None:
        """Check that the files are there, and are those of the hashes.

        Raises:
            SourceError: one is missing or another one.
        """
        pieces = self.pieces()
        if not self.hashes:
            return
        if len(pieces) != len(self.hashes):
            raise SourceError(
                f"source {self.name}: found {len(self.hashes)} hashes of "
                f"{len(pieces)} files, expected one of each"
            )
        for piece, expected in zip(pieces, self.hashes, strict=True):
            if (found := content_sha256(piece.path)) != expected:
                raise SourceError(
                    f"source {self.name}: {piece.path} has SHA256 {found}, expected "
                    f"{expected}: it is damaged or of another version"
                    + (f"; it is published at {self.page}" if self.page else "")
                )

    def pieces(self) -> list[Piece]:
        """Return the files, patterns expanded in sorted order."""
        pieces = []
        for number, path in enumerate(self.paths):
            found = [Path(path), *map(Path, sorted(glob.glob(path)))]
            files = list(dict.fromkeys(file for file in found if file.is_file()))
            if not files:
                what = (
                    f"{path} is a folder, pipe or device"
                    if found[1:]
                    else f"found no file {path}"
                )
                raise SourceError(
                    f"source {self.name}: {what}"
                    + (self._published(number) or ", expected a file or a pattern")
                )
            pieces += [Piece(file.name, file) for file in files]
        return pieces

    def _published(self, number: int) -> str:
        """Return where the file of a path is published, for a message."""
        if not self.page:
            return ""
        packed = self.paths[number].endswith(".gz")
        known = "".join(
            f" (SHA256 {digest}{' unpacked' if packed else ''})"
            for digest in self.hashes[number : number + 1]
        )
        return (
            f"; it is published at {self.page}{known}: put it there, or leave the "
            f"source out by --without {self.name}"
        )


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
            raise SourceError(f"{path}: cannot be read ({cause(error)})") from error

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
            ".csv": lambda path: csv_items(path, *names),
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

    def _json_lines(self, path: Path) -> Iterator[RawItem]:
        rows = (row for _, row in line_rows(path))
        yield from row_items(rows, path, self.column, self.id_column)


def content_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of what a `*.gz` unpacks to, in hexadecimal.

    Raises:
        SourceError: it is no gzip file.
    """
    if path.suffix != ".gz":
        return file_sha256(path)
    digest = hashlib.sha256()
    try:
        with gzip.open(path) as file:
            while block := file.read(2**20):
                digest.update(block)
    except DAMAGED as error:
        raise SourceError(f"{path}: cannot be read ({error})") from error
    return digest.hexdigest()


def _suffix(path: Path) -> str:
    """Return the last suffix that is not of a compression, in lower case."""
    name = uncompressed_name(path.name.lower()).removesuffix(".zip")
    return Path(name).suffix


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
