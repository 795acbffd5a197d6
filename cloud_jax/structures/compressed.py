"""Text files, plain or compressed."""

import bz2
import gzip
import io
import zipfile
from pathlib import Path
from typing import TextIO

from cloud_jax.structures.source import SourceError


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
