"""The reader of a structure file, chosen by its name, and the decoding of its bytes."""

import codecs
from pathlib import PurePath

from cloud_jax.structures.cell import Cell
from cloud_jax.structures.cif import read_cif
from cloud_jax.structures.compressed import decompressed
from cloud_jax.structures.extxyz import read_extxyz
from cloud_jax.structures.items import KNOWN_NAMES, kind_of
from cloud_jax.structures.optimade import read_optimade
from cloud_jax.structures.poscar import read_poscar
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.structure_json import read_json

READERS = {
    "cif": read_cif,
    "poscar": read_poscar,
    "json": read_json,
    "optimade": read_optimade,
    "extxyz": read_extxyz,
}
_MAGIC = {  # first bytes of files that are not text
    b"\x1f\x8b": "gzip-compressed data (gunzip it)",
    b"PK\x03\x04": "a zip archive (name it .zip)",
    b"BZh": "bzip2-compressed data (bunzip2 it)",
    b"\xfd7zXZ": "xz-compressed data (unxz it)",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG image",
}


def read_file(data: bytes, name: str) -> Cell:
    """Read the first structure of a file, unpacking and decoding it.

    Args:
        data: bytes of the file.
        name: see `read_text`; also with `.gz`, `.bz2` or `.xz`.

    Raises:
        Rejection: unknown kind of file, or a file without a usable structure.
    """
    return read_text(decode(decompressed(name, data)), name)


def read_text(text: str, name: str) -> Cell:
    """Read one structure, choosing the reader by the file's name.

    Args:
        text: content of the file.
        name: its name; `.cif`, `.mcif`, `.json`, `.xyz`, `.extxyz`, `.vasp`, `.poscar`
            and names that start with POSCAR or CONTCAR are known.

    Raises:
        Rejection: unknown kind of file, or a file without a usable structure.
    """
    if kind := kind_of(name):
        return READERS[kind](text.removeprefix("\ufeff"))
    raise Rejection(
        "unreadable",
        f"found a file named {PurePath(name).name!r}, expected {KNOWN_NAMES}",
    )


def decode(data: bytes) -> str:
    """Decode the bytes of a structure file, replacing what is not UTF-8.

    Raises:
        Rejection: the bytes are not text.
    """
    for mark, kind in _MAGIC.items():
        if data.startswith(mark):
            raise Rejection("binary", f"found {kind}, expected text")
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        raise Rejection("binary", "found a zero byte, expected text (UTF-8 or ASCII)")
    # Old encodings occur in the names of authors, which nothing here reads.
    return data.decode("utf-8", "replace")
