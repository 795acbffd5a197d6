"""Compressed files: tables opened as text, structure files unpacked in memory."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import TextIO

from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.source import MAX_ITEM_BYTES, SourceError

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_MAGIC = {".gz": b"\x1f\x8b", ".bz2": b"BZh", ".xz": b"\xfd7zXZ\0"}
# What reading a damaged file raises, sooner or later.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


def uncompressed_name(name: str) -> str:
    """Return a file name without the suffix of a compression (.gz, .bz2 or .xz)."""
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in _OPENERS else name


def open_text(path: Path) -> TextIO:
    """Open a text file, decompressing .gz, .bz2, .xz and one-member .zip."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        archive = zipfile.ZipFile(path)
        members = [m for m in archive.namelist() if not m.endswith("/")]
        if len(members) != 1:
            raise SourceError(f"{path}: found {len(members)} members, expected one")
        return io.TextIOWrapper(archive.open(members[0]), "utf-8-sig", newline="")
    opener = _OPENERS.get(suffix, open)
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def decompressed(name: str, data: bytes) -> bytes:
    """Return the bytes of a structure file, unpacked if its name says .gz, .bz2 or .xz.

    A browser may have unpacked the file and kept its name: bytes that do not begin as
    the compression does are returned as they are.

    Raises:
        Rejection: `unreadable` if the data are damaged, `too_large`.
    """
    suffix = name[len(uncompressed_name(name)) :].lower()
    if not suffix or not data.startswith(_MAGIC[suffix]):
        return data
    try:
        with _OPENERS[suffix](io.BytesIO(data)) as file:
            content = file.read(MAX_ITEM_BYTES + 1)  # a small file may unpack to much
    except DAMAGED as error:
        raise Rejection(
            "unreadable",
            f"the {suffix} file is damaged or cut short ({error}): copy it again",
        ) from None
    if len(content) > MAX_ITEM_BYTES:
        raise Rejection(
            "too_large",
            f"unpacks to more than {MAX_ITEM_BYTES} bytes, the most that is read",
        )
    return content
