"""Structure files: by name, in folders, by pattern, and in zip or tar archives."""

import glob
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cloud_jax.structures.archive import (
    is_archive,
    members,
    skipped_members,
    zip_size,
)
from cloud_jax.structures.items import KNOWN_NAMES, file_items, kind_of
from cloud_jax.structures.source import (
    MAX_ITEM_BYTES,
    PathSource,
    Piece,
    RawItem,
    SourceError,
)

_ANY_FOLDERS = re.compile(r"(?:^|(?<=[/\\]))\*\*(?:[/\\]|$)")
_HIDDEN = re.compile(r"(?:^|[/\\])\.")
_MANY_CRYSTALS = 2**20  # bytes; a CIF of one crystal seldom has more


def folders_below(folder: str) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and all folders in it, linked ones too, with their files' names.

    A folder is entered once, under its own name if it has one here, so a link to a
    folder above ends. A folder that cannot be listed is a name in its parent.
    """
    seen: set[tuple[int, int]] = set()
    starts = [folder]
    for start in starts:  # links are added while it runs
        refused: list[OSError] = []
        for place, folders, files in os.walk(start, onerror=refused.append):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            paths = [os.path.join(place, name) for name in sorted(folders)]
            starts += [path for path in paths if os.path.islink(path)]
            yield place, files
        for error in refused:
            parent, name = os.path.split(error.filename)
            yield parent, [name]


def _files_below(root: Path) -> dict[str, Path]:
    """Return the files in a folder and below it, by their names relative to it."""
    files = {}
    for place, names in folders_below(str(root)):
        inside = Path(place).relative_to(root).as_posix()
        prefix = "" if inside == "." else f"{inside}/"
        files |= {prefix + name: Path(place, name) for name in names}
    return files


def matching(pattern: str) -> list[str]:
    """Return the paths that match a pattern, sorted.

    `**` stands for a folder and all in it, as in the glob module, which does not end
    where links lead in a circle.
    """
    head, *tail = _ANY_FOLDERS.split(pattern, maxsplit=1)
    if not tail:
        return sorted(glob.glob(pattern))
    found = set()
    for root in glob.glob(head) if head else ["."]:
        for place, _ in folders_below(root):
            inside = os.path.relpath(place, root)
            if inside == "." or not _HIDDEN.search(inside):
                start = place if head else inside.removeprefix(".")
                start = glob.escape(os.path.join(start, ""))
                found.update(matching(start + (tail[0] or "*")))
    return sorted(found)


@dataclass(frozen=True)
class CifSource(PathSource):
    """A source of all structure files that the paths lead to, in sorted order.

    `*.cif` and `*.mcif` (each data block with atoms is a crystal), `*.json` (one
    crystal as pymatgen, ASE, JARVIS or OPTIMADE write it), `*.xyz` and `*.extxyz` (each
    frame is a crystal), `POSCAR*`, `CONTCAR*`, `*.vasp`, `*.poscar`; each perhaps
    compressed (`.gz`, `.bz2`, `.xz`).

    Attributes:
        paths: files (of another name: CIF), folders (searched to the bottom, linked
            ones too), patterns such as `data/**/*.cif`, and `.zip` or `.tar*` archives.
    """

    @cached_property
    def _found(self) -> tuple[dict[str, Path], list[str]]:
        """Return id to file, and the ids of files that are skipped.

        An id is relative to the folder or pattern that found the file.
        """
        found: dict[str, Path] = {}
        skipped: list[str] = []
        for path in self.paths:
            root = Path(path)
            if root.is_dir():
                files = _files_below(root)
                matches = {k: p for k, p in files.items() if kind_of(p.name)}
                matches |= {k: p for k, p in files.items() if p.is_dir()}
                skipped += sorted(files.keys() - matches.keys())
            elif root.is_file():
                matches = {root.name: root}
            else:
                start = Path(re.split(r"[*?[]", path)[0].rpartition("/")[0])
                names = map(Path, matching(path))
                matches = {p.relative_to(start).as_posix(): p for p in names}
            if not matches:
                raise SourceError(
                    f"source {self.name}: {path} leads to no structure file "
                    f"({KNOWN_NAMES}) or archive"
                )
            # Of two equal names from two roots the later one begins with its root's.
            found |= {
                f"{root.name}/{k}" if k in found else k: matches[k]
                for k in sorted(matches)
            }
        return found, skipped

    def skipped(self) -> list[str]:
        """Return the names of files in folders and archives that are not structures."""
        found, names = self._found
        archives = [path for path in found.values() if is_archive(path.name)]
        return names + [name for path in archives for name in skipped_members(path)]

    def pieces(self) -> list[Piece]:
        """Return all files and archives."""
        return [Piece(name, path) for name, path in self._found[0].items()]

    def count(self) -> int | None:
        """Return the number of files and of members of zip archives.

        None where a tar or the frames of an XYZ would have to be read for it, or where
        a file is so large that it may hold many crystals.
        """
        total = 0
        try:
            for piece in self.pieces():
                name = piece.path.name.lower()
                if name.endswith(".zip"):
                    total += zip_size(piece.path)
                elif (
                    is_archive(name)
                    or kind_of(name) == "extxyz"
                    or piece.path.stat().st_size > _MANY_CRYSTALS
                ):
                    return None
                else:
                    total += 1
        except (OSError, zipfile.BadZipFile):  # reading it will report that
            return None
        return total

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield the bytes of each crystal; an unreadable file is a reject row."""
        if is_archive(piece.path.name):
            yield from members(piece.path)
        else:
            yield from _read_file(*piece)


def _read_file(name: str, path: Path) -> Iterable[RawItem]:
    if path.is_dir() and not os.access(path, os.R_OK | os.X_OK):
        problem = "the folder cannot be listed: permission denied"
        return [RawItem(name, ("unreadable", problem), "reject")]
    if not path.is_file():  # opening a named pipe may never return
        problem = "a folder, pipe, device or broken link, expected a file"
        return [RawItem(name, ("not_a_file", problem), "reject")]
    try:
        size = path.stat().st_size
        if size > MAX_ITEM_BYTES:
            problem = f"{size} bytes, expected at most {MAX_ITEM_BYTES}"
            return [RawItem(name, ("too_large", problem), "reject")]
        return file_items(name, path.read_bytes())
    except OSError as error:
        return [RawItem(name, ("unreadable", str(error.strerror)), "reject")]
