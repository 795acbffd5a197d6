"""The engine of one machine: processes, part files, and two shuffles on disk.

Its memory does not grow with the number of crystals: a run or a bucket of a shuffle is
all that is held. What the processes have done survives a kill as part files; the rest,
a small share of the work, is done again.
"""

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from cloud_jax.preprocess.dataset import (
    SPLITS,
    Written,
    check_not_empty,
    n_shards_of,
    reject_lines,
    write_rejects,
)
from cloud_jax.preprocess.parts import read_part, write_part
from cloud_jax.preprocess.schemas import KEPT, RECORDS, REJECTS
from cloud_jax.preprocess.selection import deduplicate, n_buckets_of, shard_of
from cloud_jax.preprocess.shards import Shard, write_shard
from cloud_jax.preprocess.shuffle import Shuffle
from cloud_jax.preprocess.statistics import Counts, count_results
from cloud_jax.scope.chunks import CHUNK_ITEMS, chunks
from cloud_jax.scope.options import Request
from cloud_jax.scope.pool import Limits, Pool
from cloud_jax.structures.source import Source

_BATCH = 64  # part files taken together: small tables cost more than their rows


def run(
    request: Request,
    sources: Sequence[Source],
    work: Path,
    scratch: Path,
    *,
    fingerprint: str,
    workers: int,
    limits: Limits,
) -> Written:
    """Bring every crystal of the sources into shards, tables and counts.

    Args:
        request: what decides the bytes.
        sources: in order.
        work: an existing folder for what a resumed run takes up.
        scratch: an existing empty folder for the files of the dataset.
        fingerprint: what else decides what becomes of a crystal.
        workers: number of processes.
        limits: of one record.

    Raises:
        SourceError: a source cannot be read.
        EngineError: the processes cannot work.
        OSError: a file cannot be written.
    """
    parts = work / "parts"
    parts.mkdir(exist_ok=True)
    counts = [source.count() for source in sources]
    total = None if None in counts else sum(counts)
    with (
        tqdm(total=total, unit=" crystals", smoothing=0.05) as bar,
        Pool(
            workers if total is None else min(workers, -(-total // CHUNK_ITEMS) or 1),
            directory=parts,
            source_names=[source.name for source in sources],
            options=request.options,
            limits=limits,
            write=partial(write_part, deduplicate=request.options.deduplicate),
        ) as pool,
    ):
        n_items = 0

        def progress(n_done: int, done_before: bool) -> None:
            nonlocal n_items
            n_items += n_done
            if done_before and not bar.disable:  # shown, but not counted in the rate
                bar.initial += n_done
            bar.update(n_done)

        files = pool.run(chunks(sources, fingerprint), progress)
    return assemble(files, n_items, request, sources, work / "shuffle", scratch)


def assemble(
    parts: Sequence[Path],
    n_items: int,
    request: Request,
    sources: Sequence[Source],
    folder: Path,
    scratch: Path,
) -> Written:
    """De-duplicate, split and write what stands in part files.

    Args:
        parts: of schema `RESULTS`.
        n_items: how many rows they have, about; decides the number of buckets.
        request: what decides the bytes.
        sources: in order.
        folder: for the shuffles; made, and removed at the end.
        scratch: an existing empty folder for the files of the dataset.

    Raises:
        EmptyDatasetError: nothing is left to write.
        OSError: a file cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    n_buckets = n_buckets_of(n_items)
    by_source = Shuffle(folder / "rejects", REJECTS, len(sources))
    by_key = Shuffle(folder / "keys", RECORDS, n_buckets)
    by_order = Shuffle(folder / "order", KEPT, len(SPLITS) * n_buckets)
    counts: Counts = Counts()
    batches = [parts[i : i + _BATCH] for i in range(0, len(parts), _BATCH)]
    for batch in tqdm(batches, desc="comparing", leave=False, unit=" batches"):
        table = pa.concat_tables(map(read_part, batch)).combine_chunks()
        counts += count_results(table)
        is_record = pc.is_null(table["code"])
        by_source.add(*_of_source(table.filter(pc.invert(is_record))))
        records = table.filter(is_record).select(RECORDS.names)
        key = records["key_high"].to_numpy()
        by_key.add(records, shard_of(key, n_buckets))
    for records in tqdm(
        by_key.buckets(), desc="selecting", total=n_buckets, leave=False, unit=" parts"
    ):
        decided = deduplicate(records, request, [source.reserved for source in sources])
        counts += decided.counts
        by_source.add(*_of_source(decided.reserved))
        order = decided.kept["order"].to_numpy()
        side = decided.kept["validation"].to_numpy().astype(np.int64)
        by_order.add(decided.kept, side * n_buckets + shard_of(order, n_buckets))
    write_rejects(
        scratch, (reject_lines(table, sources) for table in by_source.buckets())
    )
    check_not_empty(counts, sources, scratch)
    shards = list(_write_shards(by_order, counts, sources, scratch))
    shutil.rmtree(folder)
    return Written(shards, sum((shard.counts for shard in shards), counts))


def _of_source(table: pa.Table) -> tuple[pa.Table, np.ndarray]:
    """Rejects, and the bucket of each: its source."""
    return table.select(REJECTS.names), table["source"].to_numpy().astype(np.int64)


def _write_shards(
    by_order: Shuffle, counts: Counts, sources: Sequence[Source], scratch: Path
) -> Iterator[Shard]:
    """Write the shards of both splits, whose rows come in the order of the shards."""
    names = [source.name for source in sources]
    n_buckets = by_order.n_buckets // len(SPLITS)
    buckets = by_order.buckets()
    for split in SPLITS:
        n_shards = n_shards_of(counts["split", split])
        begun: dict[int, list[pa.Table]] = {}
        for last in [False] * (n_buckets - 1) + [True]:
            kept = next(buckets)
            shard = shard_of(kept["order"].to_numpy(), max(n_shards, 1))
            for index in np.unique(shard).tolist():
                begun.setdefault(index, []).append(kept.filter(shard == index))
            while begun and (last or len(begun) > 1):
                index = min(begun)
                rows = pa.concat_tables(begun.pop(index))
                yield write_shard(scratch, split, index, n_shards, rows, names)
