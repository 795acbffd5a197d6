"""Members of a zip or tar, read in memory: no file of an archive is written to disk.

An archive may be made to do harm: the size of every member is bounded whatever its
header says, links and archives inside archives are refused, and a name that points
outside the archive is a reject row, although no path of the archive is opened.
"""

import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO

from cloud_jax.files import cause
from cloud_jax.structures.compressed import DAMAGED, uncompressed_name
from cloud_jax.structures.items import file_items, kind_of
from cloud_jax.structures.source import MAX_ITEM_BYTES, RawItem, SourceError

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")


def is_archive(name: str) -> bool:
    """Return whether a file name is that of a zip or tar."""
    return name.lower().endswith(ARCHIVE_SUFFIXES)


def zip_size(path: Path) -> int:
    """Return the least number of items that `members` yields, from a zip's index.

    Raises:
        OSError, zipfile.BadZipFile: the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        names = [(m.filename, m.file_size) for m in archive.infolist()]
    return sum(
        bool(_refusal(name, size) or kind_of(name))
        for name, size in names
        if not name.endswith("/")
    )


def skipped_members(path: Path) -> list[str]:
    """Return the names of the members that `members` leaves out: other kinds of file.

    Those after a damage are missing; `members` reports it.
    """
    names = []
    with suppress(*DAMAGED, tarfile.TarError):
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                names = [m.filename for m in archive.infolist()]
        else:
            with tarfile.open(path) as archive:
                names += (member.name for member in archive if not member.isdir())
    return [
        f"{path.name}/{name}"
        for name in names
        if not (name.endswith("/") or _refusal(name, 0) or kind_of(name))
    ]


def members(path: Path) -> Iterator[RawItem]:
    """Yield the structure files in an archive; a refused member is a reject.

    Raises:
        SourceError: the archive is damaged.
    """
    reader = _zip_members if path.name.lower().endswith(".zip") else _tar_members
    try:
        yield from reader(path)
    except (*DAMAGED, tarfile.TarError) as error:
        raise SourceError(
            f"{path}: cannot be read to its end as an archive ({cause(error)}); "
            "it may be cut short: copy it again"
        ) from error


def _zip_members(path: Path) -> Iterator[RawItem]:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.filename.endswith("/"):  # is_dir fails on an empty name
                continue
            refused = _refusal(member.filename, member.file_size)
            if not refused and member.flag_bits & 1:
                refused = ("encrypted", "the member is encrypted")
            if refused:
                yield RawItem(f"{path.name}/{member.filename}", refused, "reject")
            elif kind_of(member.filename):
                try:
                    with archive.open(member) as file:
                        yield from _bounded(f"{path.name}/{member.filename}", file)
                except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
                    problem = ("bad_member", str(error))
                    yield RawItem(f"{path.name}/{member.filename}", problem, "reject")


def _tar_members(path: Path) -> Iterator[RawItem]:
    with tarfile.open(path, "r|*") as archive:  # "|": a stream, read once in order
        for member in archive:
            archive.members = []  # else tarfile keeps every header in memory
            if member.isdir():
                continue
            refused = _refusal(member.name, member.size)
            if not refused and not member.isreg():
                refused = ("not_a_file", "a link or device, expected a file")
            if refused:
                yield RawItem(f"{path.name}/{member.name}", refused, "reject")
            elif kind_of(member.name):
                file = archive.extractfile(member)
                yield from _bounded(f"{path.name}/{member.name}", file)


def _refusal(name: str, size: int) -> tuple[str, str] | None:
    """Return why a member is not read, (code, message), or None."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if not parts.parts:
        return "no_name", f"the member is called {name!r}, expected a file name"
    if parts.is_absolute() or ".." in parts.parts or ":" in parts.parts[0]:
        return "unsafe_path", "the member's name points outside the archive"
    compressed = uncompressed_name(name) != name and not kind_of(name)
    if compressed or is_archive(name) or name.lower().endswith(".7z"):
        return "nested_archive", "an archive inside an archive: unpack it first"
    if size > MAX_ITEM_BYTES and kind_of(name):
        return "too_large", f"{size} bytes, expected at most {MAX_ITEM_BYTES}"
    return None


def _bounded(name: str, file: IO[bytes]) -> Iterator[RawItem]:
    """Yield the items of a member, or a reject if it exceeds the limit.

    Its header, which may be wrong, has no say.
    """
    data = file.read(MAX_ITEM_BYTES + 1)
    if len(data) > MAX_ITEM_BYTES:
        problem = ("too_large", f"more than {MAX_ITEM_BYTES} bytes")
        yield RawItem(name, problem, "reject")
    else:
        yield from file_items(name, data)
