"""Part files of preprocessing: a chunk's results as an Arrow table."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import feather

from cloud_jax.files import atomic_open
from cloud_jax.preprocess.keys import duplicate_key, hash64, hash128, split_group
from cloud_jax.preprocess.schemas import RESULTS
from cloud_jax.scope.chunks import Position
from cloud_jax.scope.pipeline import Record, Reject


def rows(
    positions: Sequence[Position],
    results: Sequence[Record | Reject],
    deduplicate: str,
) -> pa.Table:
    """Make the table of a chunk's results, with all that later stages sort by.

    Args:
        positions: of the items, [N].
        results: what became of them, [N].
        deduplicate: rule of `keys.duplicate_key`.
    """
    values = []
    for position, result in zip(positions, results, strict=True):
        row = {**position._asdict(), **vars(result)}
        if isinstance(result, Record):
            key = hash128(duplicate_key(row, deduplicate))
            row["key_high"], row["key_low"] = key >> 64, key & 0xFFFFFFFFFFFFFFFF
            row["group"] = hash64(split_group(row))
            row["order"] = hash64(result.id)
        values.append(row)
    columns = [
        pa.array([row.get(field.name) for row in values], field.type)
        for field in RESULTS
    ]
    return pa.table(columns, schema=RESULTS)


def write_part(
    path: Path,
    positions: Sequence[Position],
    results: Sequence[Record | Reject],
    *,
    deduplicate: str,
) -> None:
    """Write the table of a chunk's results, whole or not at all; see `rows`."""
    with atomic_open(path) as file:
        feather.write_feather(
            rows(positions, results, deduplicate), file, compression="zstd"
        )


def read_part(path: Path) -> pa.Table:
    """Read a part file."""
    return feather.read_table(path, memory_map=False, use_threads=False)
