"""Parquet tables, streamed."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_jax.files import cause
from cloud_jax.structures.columns import used_columns
from cloud_jax.structures.json_tables import row_items
from cloud_jax.structures.source import RawItem, SourceError

_BATCH = 256  # rows held at a time
_BUFFER = 2**20  # bytes of a column held at a time, independent of the row groups

Rows = Callable[[Sequence[str]], Iterator[dict[str, Any]]]


def parquet_items(path: Path, column: str, id_column: str) -> Iterator[RawItem]:
    """Yield the crystal of each row; only the needed columns are read.

    Raises:
        SourceError: missing columns, or not a Parquet file.
    """
    with parquet_rows(path) as (names, rows):
        used = used_columns(names, column, id_column, path)
        yield from row_items(rows(used), path, column, id_column)


def parquet_size(path: Path) -> int:
    """Return the number of rows."""
    with _open(path) as file:
        return file.metadata.num_rows


@contextmanager
def parquet_rows(path: Path) -> Iterator[tuple[list[str], Rows]]:
    """Open a table as the names of its columns and a stream of rows of the chosen ones.

    Raises:
        SourceError: the file is missing, damaged or of another kind.
    """
    with _open(path) as file:

        def rows(columns: Sequence[str]) -> Iterator[dict[str, Any]]:
            for batch in file.iter_batches(_BATCH, columns=list(columns)):
                yield from batch.to_pylist()

        yield file.schema_arrow.names, rows


@contextmanager
def _open(path: Path) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise SourceError(
            f"{path}: not a Parquet file, or cannot be read ({cause(error)})"
        ) from error
