"""Chunks of raw items, and the part files of what became of them.

A chunk is a fixed number of items in the order of the sources, pickled; its name is
its number and the hash of its bytes and of all that decides the result. The results of
a finished chunk are one file of that name, written whole or not at all, so that a
second run recognises what is done and recomputes a chunk whose input has changed.
"""

import hashlib
import itertools
import pickle
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cloud_jax.files import atomic_write
from cloud_jax.scope.pipeline import Record, Reject
from cloud_jax.structures.source import Piece, RawItem, Source, SourceError

CHUNK_ITEMS = 128  # about a quarter of a second of work, all that a kill can cost
CHUNK_BYTES = 4 * 2**20  # of text or arrays: a few huge files do not fill the memory


class Position(NamedTuple):
    """Where an item stands: index of the source, of the piece, and in the piece."""

    source: int
    piece: int
    number: int


class Chunk(NamedTuple):
    """Pickled (position, item) pairs of one source, and the name of their part file."""

    name: str
    source: int
    n_items: int
    data: bytes

    def items(self) -> list[tuple[Position, RawItem]]:
        """Unpickle the items and where they stand."""
        return pickle.loads(self.data)


def chunks(sources: Sequence[Source], fingerprint: str) -> Iterator[Chunk]:
    """Cut all sources into chunks; `fingerprint` says what else decides it.

    Raises:
        SourceError: a source cannot be read.
    """
    counter = itertools.count()
    for index, source in enumerate(sources):
        yield from cut(index, source, enumerate(source.pieces()), fingerprint, counter)


def cut(
    index: int,
    source: Source,
    pieces: Iterable[tuple[int, Piece]],
    fingerprint: str,
    counter: Iterator[int],
) -> Iterator[Chunk]:
    """Cut some pieces of a source into chunks.

    Args:
        index: of the source.
        source: that the pieces are of.
        pieces: with their places in the source.
        fingerprint: what else decides the results.
        counter: numbers the chunks.

    Raises:
        SourceError: a piece cannot be read.
    """
    items = (
        (Position(index, at, number), item)
        for at, piece in pieces
        for number, item in enumerate(source.kept(piece))
    )
    while group := _take(items):
        yield pack(group, source.name, fingerprint, next(counter))


def pack(
    group: Sequence[tuple[Position, RawItem]],
    source: str,
    fingerprint: str,
    number: int,
) -> Chunk:
    """Make a chunk of some items of one source.

    Raises:
        SourceError: a value cannot be handed to another process.
    """
    try:
        data = pickle.dumps(group, protocol=5)
    except RecursionError:
        raise SourceError(
            f"source {source}: a value in one of {group[0][1].id} to "
            f"{group[-1][1].id} is nested too deeply to be a structure"
        ) from None
    digest = hashlib.blake2b(data, digest_size=12)
    digest.update(f"{source}\0{fingerprint}".encode())
    name = f"{number:07d}-{digest.hexdigest()}.part"
    return Chunk(name, group[0][0].source, len(group), data)


def _take(items: Iterator[tuple[Position, RawItem]]) -> list[tuple[Position, RawItem]]:
    group, size = [], 0
    for pair in items:
        group.append(pair)
        payload = pair[1].payload
        size += len(payload) if isinstance(payload, str | bytes) else 2000
        if len(group) >= CHUNK_ITEMS or size >= CHUNK_BYTES:
            break
    return group


def write_results(
    path: Path, positions: Sequence[Position], results: Sequence[Record | Reject]
) -> None:
    """Write a part file that `read_results` reads: the results alone, pickled."""
    atomic_write(path, pickle.dumps(list(results), protocol=5))


def read_results(path: Path) -> list[Record | Reject]:
    """Return the results of a chunk, in the order of its items."""
    return pickle.loads(path.read_bytes())
