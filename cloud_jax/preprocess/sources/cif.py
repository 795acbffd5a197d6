"""CIF files: single files, folders, glob patterns, and zip or tar archives of them."""

import glob
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cloud_jax.preprocess.sources.archive import cif_members, is_archive
from cloud_jax.preprocess.sources.source import (
    MAX_ITEM_BYTES,
    RawItem,
    Source,
    SourceError,
)


@dataclass(frozen=True)
class CifSource(Source):
    """Every CIF that the paths lead to, in sorted order.

    Attributes:
        paths: files, folders (searched for `*.cif` to the bottom), patterns such as
            `data/**/*.cif`, and `.zip` or `.tar*` archives.
    """

    paths: tuple[str, ...] = ()

    @cached_property
    def _named_files(self) -> dict[str, Path]:
        """Id to file; the id is relative to the folder or pattern that found it."""
        found = {}
        for path in self.paths:
            root = Path(path)
            if root.is_dir():
                names = (p for p in root.rglob("*") if p.suffix.lower() == ".cif")
                matches = {p.relative_to(root).as_posix(): p for p in names}
            elif root.is_file():
                matches = {root.name: root}
            else:
                start = Path(re.split(r"[*?[]", path)[0].rpartition("/")[0])
                names = map(Path, glob.glob(path, recursive=True))
                matches = {p.relative_to(start).as_posix(): p for p in names}
            if not matches:
                raise SourceError(
                    f"source {self.name}: {path} leads to no .cif file or archive"
                )
            # Two roots may hold the same relative name: the later one gets its root's.
            found |= {
                f"{root.name}/{k}" if k in found else k: matches[k]
                for k in sorted(matches)
            }
        return found

    @property
    def files(self) -> tuple[Path, ...]:
        """All files and archives."""
        return tuple(path for path in self._named_files.values() if path.is_file())

    def items(self) -> Iterator[RawItem]:
        """Yield the bytes of each CIF; a file that cannot be read is a reject row."""
        for name, path in self._named_files.items():
            if is_archive(path.name):
                yield from cif_members(path)
            else:
                yield _read_file(name, path)


def _read_file(name: str, path: Path) -> RawItem:
    if not path.is_file():  # opening a named pipe would wait for ever
        return RawItem(name, ("not_a_file", "a folder, pipe or device"), "reject")
    try:
        size = path.stat().st_size
        if size > MAX_ITEM_BYTES:
            problem = f"{size} bytes, expected at most {MAX_ITEM_BYTES}"
            return RawItem(name, ("too_large", problem), "reject")
        return RawItem(name, path.read_bytes(), "cif")
    except OSError as error:
        return RawItem(name, ("unreadable", str(error.strerror)), "reject")
