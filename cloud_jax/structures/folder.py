"""Structure files: by name, in folders, by pattern, and in zip or tar archives."""

import glob
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cloud_jax.structures.archive import is_archive, members, zip_size
from cloud_jax.structures.items import file_items, kind_of
from cloud_jax.structures.source import (
    MAX_ITEM_BYTES,
    PathSource,
    Piece,
    RawItem,
    SourceError,
)

_MANY_CRYSTALS = 2**20  # bytes; a CIF of one crystal seldom has more


@dataclass(frozen=True)
class CifSource(PathSource):
    """Every structure file that the paths lead to, in sorted order.

    `*.cif` and `*.mcif` (each data block with atoms is a crystal), `*.json` (one
    crystal as pymatgen, ASE or JARVIS write it), `POSCAR*`, `CONTCAR*`, `*.vasp`,
    `*.poscar`.

    Attributes:
        paths: files (of another name: CIF), folders (searched to the bottom), patterns
            such as `data/**/*.cif`, and `.zip` or `.tar*` archives.
    """

    @cached_property
    def _named_files(self) -> dict[str, Path]:
        """Id to file; the id is relative to the folder or pattern that found it."""
        found = {}
        for path in self.paths:
            root = Path(path)
            if root.is_dir():
                names = (p for p in root.rglob("*") if kind_of(p.name))
                matches = {
                    p.relative_to(root).as_posix(): p for p in names if not p.is_dir()
                }
            elif root.is_file():
                matches = {root.name: root}
            else:
                start = Path(re.split(r"[*?[]", path)[0].rpartition("/")[0])
                names = map(Path, glob.glob(path, recursive=True))
                matches = {p.relative_to(start).as_posix(): p for p in names}
            if not matches:
                raise SourceError(
                    f"source {self.name}: {path} leads to no structure file (*.cif, "
                    "*.mcif, *.json, *.vasp, *.poscar, POSCAR*, CONTCAR*) or archive"
                )
            # Two roots may hold the same relative name: the later one gets its root's.
            found |= {
                f"{root.name}/{k}" if k in found else k: matches[k]
                for k in sorted(matches)
            }
        return found

    def pieces(self) -> list[Piece]:
        """Return all files and archives."""
        return [Piece(name, path) for name, path in self._named_files.items()]

    def count(self) -> int | None:
        """Return the number of files and of members of zip archives.

        None where a tar would have to be read for it, or where a file is so large that
        it may hold many crystals.
        """
        total = 0
        try:
            for piece in self.pieces():
                name = piece.path.name.lower()
                if name.endswith(".zip"):
                    total += zip_size(piece.path)
                elif is_archive(name) or piece.path.stat().st_size > _MANY_CRYSTALS:
                    return None
                else:
                    total += 1
        except (OSError, zipfile.BadZipFile):  # said when it is read
            return None
        return total

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield the bytes of each crystal; an unreadable file is a reject row."""
        if is_archive(piece.path.name):
            yield from members(piece.path)
        else:
            yield from _read_file(*piece)


def _read_file(name: str, path: Path) -> Iterable[RawItem]:
    if not path.is_file():  # opening a named pipe would wait for ever
        return [RawItem(name, ("not_a_file", "a folder, pipe or device"), "reject")]
    try:
        size = path.stat().st_size
        if size > MAX_ITEM_BYTES:
            problem = f"{size} bytes, expected at most {MAX_ITEM_BYTES}"
            return [RawItem(name, ("too_large", problem), "reject")]
        return file_items(name, path.read_bytes())
    except OSError as error:
        return [RawItem(name, ("unreadable", str(error.strerror)), "reject")]
