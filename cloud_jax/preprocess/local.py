"""The engine of one machine: processes, part files, and two shuffles on disk.

Memory does not grow with the number of crystals: at most one run or one bucket of a
shuffle is held. What the processes have done survives a kill as part files; the sorting
after it, a small share of the work, is done again.
"""

import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cloud_jax.preprocess.dataset import (
    SPLITS,
    EngineOutput,
    n_shards_of,
    refuse_empty,
    reject_lines,
    write_rejects,
)
from cloud_jax.preprocess.parts import read_part, write_part
from cloud_jax.preprocess.schemas import KEPT, RECORDS, REJECTS
from cloud_jax.preprocess.selection import deduplicate, n_buckets_of, shard_of
from cloud_jax.preprocess.shards import Shard, write_shard
from cloud_jax.preprocess.shuffle import Shuffle
from cloud_jax.preprocess.statistics import Counts, count_results
from cloud_jax.progress import progress
from cloud_jax.scope.chunks import CHUNK_ITEMS, chunks
from cloud_jax.scope.options import Request
from cloud_jax.scope.pool import Limits, Pool
from cloud_jax.structures.source import Source

_PARTS_PER_TABLE = 64  # read together: a small table costs more than its rows
_SHOWN_FROM = 100_000  # crystals; fewer are sorted before a bar could be read


def run(
    request: Request,
    sources: Sequence[Source],
    work: Path,
    scratch: Path,
    *,
    fingerprint: str,
    workers: int,
    limits: Limits,
) -> EngineOutput:
    """Turn every crystal of the sources into shards, tables and counts.

    Args:
        request: what decides the bytes.
        sources: in order.
        work: an existing folder for what a resumed run takes up.
        scratch: an existing empty folder for the files of the dataset.
        fingerprint: what else decides what becomes of a crystal.
        workers: number of processes.
        limits: per crystal.

    Raises:
        SourceError: a source cannot be read.
        EngineError: the processes cannot work.
        OSError: a file cannot be written.
    """
    parts = work / "parts"
    parts.mkdir(exist_ok=True)
    counts = [source.count() for source in sources]
    total = None if None in counts else sum(counts)
    if total is not None:  # a process costs a second to start
        workers = min(workers, -(-total // CHUNK_ITEMS) or 1)
    n_items = 0
    with (
        progress("encoding", total=total, unit="crystals") as bar,
        Pool(
            workers,
            directory=parts,
            source_names=[source.name for source in sources],
            options=request.options,
            limits=limits,
            write=partial(write_part, deduplicate=request.options.deduplicate),
        ) as pool,
    ):

        def advance(n_done: int, done_before: bool) -> None:
            nonlocal n_items
            n_items += n_done
            if done_before and not bar.disable:  # shown, but not counted in the rate
                bar.initial += n_done
            bar.update(n_done)

        files = pool.run(chunks(sources, fingerprint), advance)
    return assemble(files, n_items, request, sources, work / "shuffle", scratch)


def assemble(
    parts: Sequence[Path],
    n_items: int,
    request: Request,
    sources: Sequence[Source],
    folder: Path,
    scratch: Path,
) -> EngineOutput:
    """Deduplicate, split and write the records of the part files.

    Args:
        parts: of schema `RESULTS`.
        n_items: their number of rows, roughly; decides the number of buckets.
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
    show = n_items >= _SHOWN_FROM
    counts = _distribute(parts, by_source, by_key, show)
    counts += _deduplicate(by_key, request, sources, by_source, by_order, show)
    write_rejects(
        scratch, (reject_lines(table, sources) for table in by_source.buckets())
    )
    refuse_empty(counts, sources, scratch)
    shards = list(_write_shards(by_order, counts, sources, scratch, show))
    shutil.rmtree(folder)
    return EngineOutput(shards, sum((shard.counts for shard in shards), counts))


def _distribute(
    parts: Sequence[Path], by_source: Shuffle, by_key: Shuffle, show: bool
) -> Counts:
    """Send rejects to their source, records to the bucket of their key; count them."""
    counts: Counts = Counts()
    with progress("sorting", total=len(parts), unit="parts", show=show) as bar:
        for start in range(0, len(parts), _PARTS_PER_TABLE):
            group = parts[start : start + _PARTS_PER_TABLE]
            table = pa.concat_tables(map(read_part, group)).combine_chunks()
            counts += count_results(table)
            is_record = pc.is_null(table["code"])
            _add_rejects(by_source, table.filter(pc.invert(is_record)))
            records = table.filter(is_record).select(RECORDS.names)
            key = records["key_high"].to_numpy()
            by_key.add(records, shard_of(key, by_key.n_buckets))
            bar.update(len(group))
    return counts


def _deduplicate(
    by_key: Shuffle,
    request: Request,
    sources: Sequence[Source],
    by_source: Shuffle,
    by_order: Shuffle,
    show: bool,
) -> Counts:
    """Send what stays of each bucket to its split and shard; count the fates."""
    counts: Counts = Counts()
    n_buckets = by_key.n_buckets
    reserved = [source.reserved for source in sources]
    with progress("deduplicating", total=n_buckets, unit="buckets", show=show) as bar:
        for records in by_key.buckets():
            decided = deduplicate(records, request, reserved)
            counts += decided.counts
            _add_rejects(by_source, decided.reserved)
            order = decided.kept["order"].to_numpy()
            side = decided.kept["validation"].to_numpy().astype(np.int64)
            by_order.add(decided.kept, side * n_buckets + shard_of(order, n_buckets))
            bar.update()
    return counts


def _add_rejects(by_source: Shuffle, table: pa.Table) -> None:
    """Put rejects into the bucket of their source."""
    source = table["source"].to_numpy().astype(np.int64)
    by_source.add(table.select(REJECTS.names), source)


def _write_shards(
    by_order: Shuffle,
    counts: Counts,
    sources: Sequence[Source],
    scratch: Path,
    show: bool,
) -> Iterator[Shard]:
    """Write the shards of both splits, whose rows come in the order of the shards."""
    names = [source.name for source in sources]
    n_buckets = by_order.n_buckets // len(SPLITS)
    n_shards = {split: n_shards_of(counts["split", split]) for split in SPLITS}
    buckets = by_order.buckets()
    total = sum(n_shards.values())
    with progress("writing", total=total, unit="shards", show=show) as bar:
        for split, n in n_shards.items():
            begun: dict[int, list[pa.Table]] = {}
            for last in [False] * (n_buckets - 1) + [True]:
                kept = next(buckets)
                shard = shard_of(kept["order"].to_numpy(), max(n, 1))
                for index in np.unique(shard).tolist():
                    begun.setdefault(index, []).append(kept.filter(shard == index))
                # A later bucket can add to the last of these shards only.
                while begun and (last or len(begun) > 1):
                    index = min(begun)
                    rows = pa.concat_tables(begun.pop(index))
                    yield write_shard(scratch, split, index, n, rows, names)
                    bar.update()
