"""Chunks of raw items and the part files that hold their results.

A chunk is a fixed number of items in the order of the sources, pickled; its name is
its number and the hash of its bytes and of all that decides the result. A finished
chunk is one Arrow file of that name, written atomically, so that a second run
recognises what is already done, and recomputes a chunk whose input has changed.
"""

import hashlib
import itertools
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from pyarrow import feather

from cloud_jax.preprocess.pipeline import Record, Reject
from cloud_jax.preprocess.sources.source import RawItem, Source, SourceError

CHUNK_ITEMS = 128  # about a quarter of a second of work, all that a kill can cost
CHUNK_BYTES = 4 * 2**20  # of text or arrays: a few huge files do not fill the memory

SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.int16()),
        ("formula", pa.string()),
        ("space_group", pa.int16()),
        ("n_atoms", pa.int32()),
        ("volume_per_atom", pa.float64()),
        ("flags", pa.list_(pa.string())),
        ("paper", pa.string()),
        ("canonical", pa.string()),
        ("tokens", pa.list_(pa.uint16())),
        ("stage", pa.string()),  # these three of a reject, null of a record
        ("code", pa.string()),
        ("message", pa.string()),
    ]
)


class Chunk(NamedTuple):
    """Pickled items of one source, and the name of their part file."""

    name: str
    source: int
    n_items: int
    data: bytes

    def items(self) -> list[RawItem]:
        """Unpickle the items."""
        return pickle.loads(self.data)


def chunks(sources: Sequence[Source], salt: str) -> Iterator[Chunk]:
    """Cut all sources into chunks; `salt` says all else that decides the results.

    Raises:
        SourceError: a source cannot be read.
    """
    counter = itertools.count()
    for index, source in enumerate(sources):
        items = source.items()
        while group := _take(items):
            try:
                data = pickle.dumps(group, protocol=5)
            except RecursionError:
                raise SourceError(
                    f"source {source.name}: a value in one of {group[0].id} to "
                    f"{group[-1].id} is nested too deeply to be a structure"
                ) from None
            digest = hashlib.blake2b(data, digest_size=12)
            digest.update(f"{source.name}\0{salt}".encode())
            name = f"{next(counter):07d}-{digest.hexdigest()}.arrow"
            yield Chunk(name, index, len(group), data)


def _take(items: Iterator[RawItem]) -> list[RawItem]:
    group, size = [], 0
    for item in items:
        group.append(item)
        size += len(item.payload) if isinstance(item.payload, str | bytes) else 2000
        if len(group) >= CHUNK_ITEMS or size >= CHUNK_BYTES:
            break
    return group


def write_part(path: Path, source: int, results: Sequence[Record | Reject]) -> None:
    """Write the results of a chunk atomically."""
    rows = [{"source": source, **vars(result)} for result in results]
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    feather.write_feather(table, temporary, compression="zstd")
    os.replace(temporary, path)


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read (some columns of) a part file."""
    return feather.read_table(path, columns=columns, memory_map=False)
