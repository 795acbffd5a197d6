"""Rows to buckets on disk, so that what belongs together is in memory together.

Rows are collected, sorted by bucket and written as a run: an Arrow file with one batch
a bucket. A bucket is read back as its batch of every run. Memory is that of one run
or one bucket, however many rows there are, and few files are open at a time.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Int

RUN_ROWS = 131_072


class Shuffle:
    """A table in buckets on disk.

    Attributes:
        n_buckets: buckets are numbered from 0.
    """

    def __init__(self, folder: Path, schema: pa.Schema, n_buckets: int):
        folder.mkdir()
        self._folder, self._schema, self.n_buckets = folder, schema, n_buckets
        self._waiting: list[tuple[pa.Table, np.ndarray]] = []
        self._n_waiting = self._n_runs = 0

    def add(self, table: pa.Table, bucket: Int[np.ndarray, " N"]) -> None:
        """Put each row into a bucket.

        Raises:
            OSError: no space is left.
        """
        if len(table):
            self._waiting.append((table.cast(self._schema), bucket))
            self._n_waiting += len(table)
        if self._n_waiting >= RUN_ROWS:
            self._write_run()

    def buckets(self) -> Iterator[pa.Table]:
        """Yield every bucket in turn; rows in the order in which they were added."""
        if self._waiting:
            self._write_run()
        # A batch is too small for threads to pay.
        options = pa.ipc.IpcReadOptions(use_threads=False)
        for index in range(self.n_buckets):
            batches = []
            for number in range(self._n_runs):
                with pa.OSFile(str(self._path(number))) as file:
                    run = pa.ipc.open_file(file, options=options)
                    batches.append(run.get_batch(index))
            yield pa.Table.from_batches(batches, self._schema).combine_chunks()

    def _path(self, run: int) -> Path:
        return self._folder / f"run-{run:06d}.arrow"

    def _write_run(self) -> None:
        table = pa.concat_tables([table for table, _ in self._waiting])
        bucket = np.concatenate([bucket for _, bucket in self._waiting])
        self._waiting, self._n_waiting = [], 0
        table = table.take(np.argsort(bucket, kind="stable")).combine_chunks()
        ends = np.cumsum(np.bincount(bucket, minlength=self.n_buckets))
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        path = self._path(self._n_runs)
        with pa.ipc.new_file(path, self._schema, options=options) as run:
            start, empty = 0, pa.RecordBatch.from_pylist([], schema=self._schema)
            for end in ends.tolist():
                rows = table.slice(start, end - start).to_batches()
                run.write_batch(rows[0] if rows else empty)
                start = end
        self._n_runs += 1
