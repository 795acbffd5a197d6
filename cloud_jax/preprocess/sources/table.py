"""Tables of structures: CSV, JSON, JSON lines and npz, compressed or not.

CSV and JSON lines are streamed. JSON is read whole (it has no rows to stream), and an
npz is a few flat arrays, 60 bytes an atom.
"""

import bz2
import csv
import glob
import gzip
import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from cloud_jax.preprocess.sources.source import (
    MAX_ITEM_BYTES,
    PathSource,
    Piece,
    RawItem,
    SourceError,
)

STRUCTURE_COLUMNS = ("cif", "structure", "poscar", "atoms", "bulk_atoms")
ID_COLUMNS = ("material_id", "mp_id", "id", "jid", "qmof_id", "mbid", "file")
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
            cells are CIF or POSCAR text, or pymatgen, ASE or JARVIS dicts.
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
        suffixes = [s.lower() for s in path.suffixes]
        try:
            if ".npz" in suffixes:
                yield from _npz_items(path)
            elif ".csv" in suffixes:
                yield from self._csv_items(path)
            elif ".jsonl" in suffixes:
                with open_text(path) as file:
                    yield from self._row_items(_json_lines(file), path)
            elif ".json" in suffixes:
                yield from self._json_items(path)
            else:
                raise SourceError(
                    f"{path}: found suffix {path.suffix!r}, expected .csv, .json, "
                    ".jsonl (each also .gz or .bz2, JSON also .zip) or .npz"
                )
        except (OSError, EOFError, UnicodeDecodeError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path}: cannot be read ({error})") from error
        except json.JSONDecodeError as error:
            raise SourceError(f"{path}: is damaged ({error})") from error
        except RecursionError:
            raise SourceError(f"{path}: is nested too deeply to be read") from None

    def _csv_items(self, path: Path) -> Iterator[RawItem]:
        with csv_rows(path) as (header, rows):
            column = pick(header, self.column, STRUCTURE_COLUMNS, path)
            id_at = _pick_id(header, self.id_column, path)
            for number, row in enumerate(rows):
                if len(row) == len(header) + 1:  # pandas: an index without a name
                    del row[0]
                name = f"{path.name}:{number}"
                if len(row) != len(header):
                    problem = f"found {len(row)} fields, expected {len(header)}"
                    yield RawItem(name, ("bad_row", problem), "reject")
                else:
                    yield _item(name if id_at is None else row[id_at], row[column])

    def _json_items(self, path: Path) -> Iterator[RawItem]:
        with open_text(path) as file:
            data = json.load(file)
        if isinstance(data, dict) and {"columns", "data"} <= data.keys():
            yield from self._row_items(_column_rows(data, path), path)
        elif isinstance(data, list):
            yield from self._row_items(data, path)
        elif isinstance(data, dict):
            yield from self._mapping_items(data, path)
        else:
            raise SourceError(f"{path}: expected a JSON list or object of structures")

    def _mapping_items(self, data: dict, path: Path) -> Iterator[RawItem]:
        unknown = set(self.splits) - data.keys()
        if unknown:
            raise SourceError(
                f"{path}: found splits {sorted(data)}, expected {sorted(unknown)} too"
            )
        nested = data and all(
            isinstance(v, dict) and not _is_structure(v) for v in data.values()
        )
        groups = [data[s] for s in self.splits or data] if nested else [data]
        for group in groups:
            for name, structure in group.items():
                yield _item(name, structure)

    def _row_items(self, rows: Any, path: Path) -> Iterator[RawItem]:
        for number, row in enumerate(rows):
            name = f"{path.name}:{number}"
            if isinstance(row, str) or _is_structure(row):
                yield _item(name, row)
                continue
            if not isinstance(row, dict):
                found = f"expected an object, found {type(row).__name__}"
                problem = str(row) if isinstance(row, ValueError) else found
                yield RawItem(name, ("bad_row", problem), "reject")
                continue
            keys = list(row)
            try:
                id_at = _pick_id(keys, self.id_column, path)
                column = keys[pick(keys, self.column, STRUCTURE_COLUMNS, path)]
            except SourceError as error:
                if number == 0:  # the wrong file or column, rather than a wrong row
                    raise
                yield RawItem(name, ("bad_row", str(error)), "reject")
                continue
            yield _item(name if id_at is None else str(row[keys[id_at]]), row[column])


def _json_lines(file: TextIO) -> Iterator[Any]:
    """Yield what each line holds; of a bad one a ValueError that says why."""
    for number, line in enumerate(file, 1):
        if line.isspace():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            row = ValueError(f"line {number} is no JSON: {error}")
        yield row


def _column_rows(data: dict, path: Path) -> Iterator[dict | ValueError]:
    """Yield the rows of {columns, data}; of a bad one a ValueError that says why."""
    columns, rows = data["columns"], data["data"]
    names = isinstance(columns, list) and all(isinstance(c, str) for c in columns)
    if not names or not isinstance(rows, list):
        raise SourceError(f"{path}: expected columns, a list of names, and data, rows")
    for row in rows:
        if isinstance(row, list) and len(row) == len(columns):
            yield dict(zip(columns, row, strict=True))
        else:
            yield ValueError(f"found {str(row)[:80]}, expected {len(columns)} values")


def open_text(path: Path) -> TextIO:
    """Open a text file, decompressing .gz, .bz2 and one-member .zip."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        archive = zipfile.ZipFile(path)
        members = [m for m in archive.namelist() if not m.endswith("/")]
        if len(members) != 1:
            raise SourceError(f"{path}: found {len(members)} members, expected one")
        return io.TextIOWrapper(archive.open(members[0]), "utf-8-sig", newline="")
    opener = {".gz": gzip.open, ".bz2": bz2.open}.get(suffix, open)
    return opener(path, "rt", encoding="utf-8-sig", newline="")


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


def pick(header: Sequence[str], wanted: str, known: Sequence[str], path: Path) -> int:
    """Return the index of the wanted column, or of the first known one.

    Raises:
        SourceError: there is none.
    """
    for name in (wanted,) if wanted else known:
        if name in header:
            return header.index(name)
    raise SourceError(
        f"{path}: found columns {', '.join(header)}; expected "
        f"{wanted or ' or '.join(known)}: name it in a corpus file (column = ...)"
    )


def _pick_id(header: Sequence[str], wanted: str, path: Path) -> int | None:
    if wanted:
        return pick(header, wanted, (), path)
    return next((header.index(n) for n in ID_COLUMNS if n in header), None)


def _is_structure(value: Any) -> bool:
    """Whether a dict is one crystal: pymatgen, ASE or JARVIS keys."""
    return isinstance(value, dict) and (
        "lattice" in value or "lattice_mat" in value or "cell" in value
    )


def _item(name: str, structure: Any) -> RawItem:
    if isinstance(structure, str) and "\n" not in structure:
        structure = structure.replace("\\n", "\n")  # line breaks as two characters
    return RawItem(name, structure, "auto")


def _npz_items(path: Path) -> Iterator[RawItem]:
    """Flat arrays: `n_sites` [N], `Z` [sum], `frac` [sum, 3], `lattice` [N, 3, 3]."""
    try:
        with np.load(path, allow_pickle=False) as data:
            n_sites, numbers, fractional, lattice = (data[key] for key in _NPZ_KEYS)
            key = next((key for key in ID_COLUMNS if key in data), None)
            names = data[key] if key else None
    except (KeyError, ValueError) as error:
        raise SourceError(
            f"{path}: expected the arrays {', '.join(_NPZ_KEYS)} and perhaps "
            f"{ID_COLUMNS[0]} ({error})"
        ) from error
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
