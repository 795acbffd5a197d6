"""The engine of many machines: the same functions over Apache Beam's collections.

Beam runs them on this machine, or on Flink, Spark or Dataflow, as its options say. What
it writes equals what the local engine writes, to the byte.

    pieces -> chunks -> records, rejects -> buckets of equal keys -> shards
                  guarded processes         one worker elects        one worker writes

Every worker must see the output folder and the files of the sources under the names
that they have on the machine that starts the run (NFS, a mounted bucket), and needs
this package and requirements.txt: a shared environment, or a container image. A worker
holds one bucket or one shard in memory. Beam repeats what a lost machine was doing; a
run that was ended starts over.
"""

import argparse
import difflib
import itertools
import os
import pickle
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.pvalue import AsList, AsSingleton, TaggedOutput

from cloud_jax.cli import UsageError
from cloud_jax.preprocess.dataset import (
    SPLITS,
    EngineOutput,
    n_shards_of,
    refuse_empty,
    reject_lines,
    write_rejects,
)
from cloud_jax.preprocess.parts import read_part, write_part
from cloud_jax.preprocess.schemas import RECORDS, REJECTS
from cloud_jax.preprocess.selection import deduplicate, n_buckets_of, shard_of
from cloud_jax.preprocess.shards import TABLES, Shard, write_shard
from cloud_jax.preprocess.statistics import Counts, count_results
from cloud_jax.scope.chunks import CHUNK_BYTES, Chunk, cut
from cloud_jax.scope.options import Options, Request
from cloud_jax.scope.pool import EngineError, Limits, Pool
from cloud_jax.structures.source import Piece, Source, SourceError

# DirectRunner would download a program written in Go; this one is inside Beam.
_RUNNER = "FnApiRunner"
_TABLES = 256  # chunks whose records go to the buckets together: fewer, larger pieces
_WRITTEN = "written.pickle"


class _Options(argparse.ArgumentParser):
    """The options of all parts of Beam, of which each parses only its own."""

    def __init__(self):
        super().__init__(allow_abbrev=False, add_help=False, conflict_handler="resolve")
        for part in PipelineOptions.__subclasses__():
            part._add_argparse_args(self)

    # Some parts ask for this method of Beam's own parser.
    add_value_provider_argument = argparse.ArgumentParser.add_argument

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"--beam-options: {message}")


def pipeline_options(words: Sequence[str]) -> PipelineOptions:
    """Return the options of a pipeline; without a `runner` it runs in this process.

    Beam ignores what it does not know: a misspelt `runner` would mean this machine.

    Args:
        words: `name=value` or `name`.

    Raises:
        UsageError: an unknown option, or a value that it cannot have.
    """
    flags = [f"--{word.removeprefix('--')}" for word in (f"runner={_RUNNER}", *words)]
    parser = _Options()
    _, unknown = parser.parse_known_args(flags)
    if unknown:
        name = unknown[0].removeprefix("--").partition("=")[0]
        known = [option.removeprefix("--") for option in parser._option_string_actions]
        near = difflib.get_close_matches(name, known, 1)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else "see the PipelineOptions of Apache Beam"
        )
        raise UsageError(f"--beam-options: unknown option {name!r}; {hint}")
    return PipelineOptions(flags)


def run(
    request: Request,
    sources: Sequence[Source],
    work: Path,
    scratch: Path,
    *,
    fingerprint: str,
    options: PipelineOptions,
    limits: Limits,
) -> EngineOutput:
    """Turn every crystal of the sources into shards, tables and counts.

    Args:
        request: what decides the bytes.
        sources: in order.
        work: an existing folder that all workers see.
        scratch: an existing empty folder, on the same file system, for the files of
            the dataset.
        fingerprint: what else decides what becomes of a crystal.
        options: see `pipeline_options`.
        limits: per crystal.

    Raises:
        SourceError: a source cannot be read.
        EngineError: the pipeline failed.
        EmptyDatasetError: nothing is left to write.
        OSError: a file cannot be written.
    """
    folder = work.absolute() / "beam"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    print(f"Apache Beam, {options.view_as(StandardOptions).runner}", file=sys.stderr)
    try:
        with beam.Pipeline(options=options) as pipeline:
            _build(
                pipeline,
                request,
                sources,
                folder,
                scratch.absolute(),
                fingerprint,
                limits,
            )
    except (SourceError, EngineError, OSError):
        raise
    except Exception as error:  # of any kind, whatever the runner makes of it
        raise EngineError(f"the Beam pipeline failed: {error}") from error
    if not (folder / _WRITTEN).is_file():
        raise EngineError(
            f"the Beam pipeline ended without {folder / _WRITTEN}: its workers must "
            "write into the folder that this machine sees under this name"
        )
    written = pickle.loads((folder / _WRITTEN).read_bytes())
    files = [_rejects_file(folder, index) for index in range(len(sources))]
    write_rejects(scratch, (f.read_text("utf-8") for f in files if f.is_file()))
    refuse_empty(written.counts, sources, scratch)
    return written


def _build(
    pipeline: beam.Pipeline,
    request: Request,
    sources: Sequence[Source],
    folder: Path,
    scratch: Path,
    fingerprint: str,
    limits: Limits,
) -> None:
    """Lay out the pipeline; its last step leaves a `EngineOutput` in the folder."""
    sources = [replace(source) for source in sources]  # without what they remember
    names = [source.name for source in sources]
    reserved = [source.reserved for source in sources]
    results = (
        pipeline
        | "pieces" >> beam.Create(list(_groups(sources)))
        | "spread pieces" >> beam.Reshuffle()
        | "read" >> beam.FlatMap(_read, sources, fingerprint, folder)
        | "spread chunks" >> beam.Reshuffle()
        | "process" >> beam.ParDo(_Process(names, request.options, limits))
    )
    read = results | "count results" >> beam.Map(count_results) | "sum" >> _sum()
    decided = (
        results
        | "collect" >> beam.BatchElements(_TABLES, _TABLES)
        | "key" >> beam.FlatMap(_by_key, AsSingleton(read))
        | "equals" >> beam.GroupByKey()
        | "deduplicate" >> beam.FlatMap(_deduplicate, request, reserved).with_outputs()
    )
    kept = decided.counts | "sum kept" >> _sum()
    shards = (
        decided.kept
        | "order" >> beam.FlatMap(_by_order, AsSingleton(kept))
        | "shards" >> beam.GroupByKey()
        | "write shard" >> beam.Map(_write_shard, folder, scratch, names)
    )
    rejects = (
        ((results | "reasons" >> beam.Map(_rejects)), decided.reserved)
        | "rejects" >> beam.Flatten()
        | "source" >> beam.FlatMap(_by_source)
        | "sources" >> beam.GroupByKey()
        | "write rejects" >> beam.Map(_write_rejects, folder, sources)
    )
    _ = (
        pipeline
        | "end" >> beam.Create([folder / _WRITTEN])
        | "sum up"
        >> beam.Map(
            _write_summary,
            AsSingleton(read),
            AsSingleton(kept),
            AsList(shards),
            AsList(rejects),
        )
    )


def _sum() -> beam.PTransform:
    return beam.CombineGlobally(_add)


def _add(tallies: Iterable[Counts]) -> Counts:
    """Add tallies up; Beam's coders may have made plain dicts of some."""
    total: Counts = Counts()
    for counts in tallies:
        total.update(counts)
    return total


def _groups(
    sources: Sequence[Source],
) -> Iterator[tuple[int, list[tuple[int, Piece]]]]:
    """Yield source indices with pieces that are read one after the other.

    A large file is alone; many small ones share chunks.
    """
    for index, source in enumerate(sources):
        group, size = [], 0
        for at, piece in enumerate(source.pieces()):
            path = piece.path.absolute()
            group.append((at, piece._replace(path=path)))
            size += path.stat().st_size if path.is_file() else 0
            if size >= CHUNK_BYTES:
                yield index, group
                group, size = [], 0
        if group:
            yield index, group


def _read(
    group: tuple[int, list[tuple[int, Piece]]],
    sources: Sequence[Source],
    fingerprint: str,
    folder: Path,
) -> Iterator[Chunk]:
    if not folder.is_dir():
        raise EngineError(
            f"worker {socket.gethostname()} does not see {folder}: --output must be on "
            "a file system that all workers share, under the same name"
        )
    index, pieces = group
    return cut(index, sources[index], pieces, fingerprint, itertools.count())


class _Process(beam.DoFn):
    """Chunks to tables of results, in a guarded process beside the Beam worker."""

    def __init__(self, names: Sequence[str], options: Options, limits: Limits):
        write = partial(write_part, deduplicate=options.deduplicate)
        self._arguments = {
            "source_names": names,
            "options": options,
            "limits": limits,
            "write": write,
        }

    def setup(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cloud-jax-")
        self._pool = Pool(1, directory=Path(self._folder.name), **self._arguments)

    def process(self, chunk: Chunk) -> Iterator[pa.Table]:
        try:
            (part,) = self._pool.run([chunk], lambda n_items, done_before: None)
        except Exception:
            self._pool.close()  # Beam tries again: with processes that do nothing else
            raise
        yield read_part(part)
        part.unlink()

    def teardown(self) -> None:
        self._pool.close()
        self._folder.cleanup()


def _distribute(table: pa.Table, bucket: np.ndarray) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of each bucket that has any."""
    for index in np.unique(bucket).tolist():
        yield index, table.filter(bucket == index)


def _by_key(tables: list[pa.Table], read: Counts) -> Iterator[tuple[int, pa.Table]]:
    """Send records that may be equal to one bucket."""
    table = pa.concat_tables(tables)
    records = table.filter(pc.is_null(table["code"])).select(RECORDS.names)
    n_buckets = n_buckets_of(sum(read.values()))
    return _distribute(records, shard_of(records["key_high"].to_numpy(), n_buckets))


def _deduplicate(
    bucket: tuple[int, Iterable[pa.Table]], request: Request, reserved: Sequence[bool]
) -> Iterator[Any]:
    decided = deduplicate(pa.concat_tables(bucket[1]), request, reserved)
    return (TaggedOutput(name, value) for name, value in decided._asdict().items())


def _by_order(
    kept: pa.Table, counts: Counts
) -> Iterator[tuple[tuple[str, int, int], pa.Table]]:
    """Send records to their shard: split, index, number of shards."""
    for split, is_validation in zip(SPLITS, (False, True), strict=True):
        rows = kept.filter(pc.equal(kept["validation"], is_validation))
        n_shards = n_shards_of(counts.get(("split", split), 0))
        shard = shard_of(rows["order"].to_numpy(), n_shards)
        for index, table in _distribute(rows, shard):
            yield (split, index, n_shards), table


def _write_shard(
    group: tuple[tuple[str, int, int], Iterable[pa.Table]],
    folder: Path,
    scratch: Path,
    names: Sequence[str],
) -> Shard:
    """Write a shard and its table; they appear whole, however often Beam does this."""
    (split, index, n_shards), tables = group
    with tempfile.TemporaryDirectory(dir=folder) as name:
        own = Path(name)
        (own / TABLES).mkdir()
        rows = pa.concat_tables(tables)
        shard = write_shard(own, split, index, n_shards, rows, names)
        for file in [path for path in own.rglob("*") if path.is_file()]:
            os.replace(file, scratch / file.relative_to(own))
    return shard


def _rejects(table: pa.Table) -> pa.Table:
    return table.filter(pc.is_valid(table["code"])).select(REJECTS.names)


def _by_source(rejects: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    return _distribute(rejects, rejects["source"].to_numpy())


def _rejects_file(folder: Path, source: int) -> Path:
    return folder / f"rejects-{source:05d}.csv"


def _write_rejects(
    group: tuple[int, Iterable[pa.Table]], folder: Path, sources: Sequence[Source]
) -> int:
    index, tables = group
    lines = reject_lines(pa.concat_tables(tables), sources)
    _write(_rejects_file(folder, index), lines.encode())
    return index


def _write_summary(
    path: Path, read: Counts, kept: Counts, shards: list[Shard], rejects: list[int]
) -> None:
    """Leave a `EngineOutput` to the process that waits; `rejects` only must be done."""
    shards = sorted(shards, key=lambda shard: (SPLITS.index(shard.split), shard.file))
    counts = _add([read, kept, *(shard.counts for shard in shards)])
    _write(path, pickle.dumps(EngineOutput(shards, counts)))


def _write(path: Path, data: bytes) -> None:
    """Write a file at once, although others may be writing the same."""
    with tempfile.TemporaryDirectory(dir=path.parent) as own:
        file = Path(own) / path.name
        file.write_bytes(data)
        os.replace(file, path)
