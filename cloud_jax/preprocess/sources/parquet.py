"""Parquet tables, streamed."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cloud_jax.preprocess.sources.columns import row_item, used_columns
from cloud_jax.preprocess.sources.source import RawItem, SourceError

_BATCH = 256  # rows that are held at a time
_BUFFER = 2**20  # bytes of a column that are held at a time, whatever the row groups


def parquet_items(path: Path, column: str, id_column: str) -> Iterator[RawItem]:
    """Yield the crystal of each row; only its columns are read.

    Raises:
        SourceError: no such columns, or no Parquet file.
    """
    number = 0
    with _open(path) as file:
        names = used_columns(file.schema_arrow.names, column, id_column, path)
        try:
            for batch in file.iter_batches(_BATCH, columns=names):
                for row in batch.to_pylist():
                    name = f"{path.name}:{number}"
                    yield row_item(row, name, column, id_column, path)
                    number += 1
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{path}: cannot be read after row {number} ({error})"
            ) from error


def parquet_size(path: Path) -> int:
    """How many rows there are."""
    with _open(path) as file:
        return file.metadata.num_rows


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path, buffer_size=_BUFFER)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: is no Parquet file ({error})") from error
