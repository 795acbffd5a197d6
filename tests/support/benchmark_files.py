"""Small files in the formats of public data sets, with crystals that pymatgen ships."""

import csv
import gzip
import io
import json
from functools import cache
from pathlib import Path

from crystals import items

from cloud_jax.datasets import download
from cloud_jax.datasets.corpus import read_sources
from cloud_jax.scope.options import Options
from cloud_jax.scope.pipeline import Record, process

# Copper.
POSCAR = "Cu\n1.0\n0 1.81 1.81\n1.81 0 1.81\n1.81 1.81 0\nCu\n1\nDirect\n0 0 0\n"


@cache
def crystals() -> list[dict]:
    """Ten of pymatgen's AFLOW prototypes, as pymatgen writes structures."""
    return [item.payload for item in items("embedded")[:10]]


def packed(content) -> bytes:
    """Gzipped JSON."""
    return gzip.compress(json.dumps(content).encode(), mtime=0)


def split(target: str, structures=None) -> dict:
    """What MatBench and UnconvBench publish."""
    rows = [[s, i / 2] for i, s in enumerate(structures or crystals())]
    columns = ["structure", target]
    return {"index": list(range(len(rows))), "columns": columns, "data": rows}


def put(folder: Path, name: str, content: bytes) -> Path:
    """Write a file into a folder that may be new."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


def write_csv(header: str, rows) -> bytes:
    """A CSV of some rows."""
    text = io.StringIO()
    csv.writer(text).writerows([header.split(","), *rows])
    return text.getvalue().encode()


def encoded(folder, word: str) -> int:
    """How many of a source's crystals become records."""
    source = read_sources([word], str(folder))[0]
    results = [process(item, "s", Options()) for item in source.items()]
    assert all(isinstance(result, Record) for result in results), results
    return len(results)


def take_any_hash(monkeypatch) -> None:
    """Take small files for the published ones."""
    monkeypatch.setattr(download, "_digest_of", lambda path, file: file.checksum[1])
