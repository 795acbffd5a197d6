"""Measure what follows the symmetry search at scale, as JSON lines.

    python -m scripts.bench_scale                          # 100,000, 1 and 10 million
    python -m scripts.bench_scale --records 1000000

Measured is `local.assemble`: de-duplicating, splitting and sharding. The records are
synthetic: sentences of the embedded crystals with their elements exchanged, so that
words and lengths are real and each distinct crystal has its own sentence. Every crystal
comes twice, from 14 sources of which one is reserved, and two rows in a hundred are
rejects. Part files have the size that workers write; making them is not measured. Each
number of records runs in a fresh process. 10 million need 5 GB of disk and a quarter of
an hour, half of it to make them.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import feather

from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.preprocess.parts import rows
from cloud_jax.preprocess.schemas import RESULTS
from cloud_jax.scope import chunks, pipeline
from cloud_jax.scope.options import Options, Request
from cloud_jax.structures.species import ELEMENTS

N_SOURCES = 14
REJECTED = 50  # one row in so many is a reject
_BLOCK = 128 * chunks.CHUNK_ITEMS  # rows made at a time
_DIALECTS = ("paper", "canonical")


def make_parts(folder: Path, n_records: int) -> None:
    """Write the part files of a number of rows."""
    folder.mkdir()
    templates = _templates()
    for start in range(0, n_records, _BLOCK):
        row = np.arange(start, min(start + _BLOCK, n_records))
        table = _rows(row, n_records, templates)
        for at in range(0, len(table), chunks.CHUNK_ITEMS):
            part = table.slice(at, chunks.CHUNK_ITEMS)
            path = folder / f"{start + at:010d}.part"
            feather.write_feather(part, path, compression="zstd")


def _templates() -> pa.Table:
    """Return the embedded crystals as rows of `RESULTS`, sentences as token ids."""
    items = list(EmbeddedSource("embedded").items())
    results = [pipeline.process(item, "embedded", Options()) for item in items]
    records = [r for r in results if isinstance(r, pipeline.Record)]
    where = [chunks.Position(0, 0, i) for i in range(len(records))]
    table = rows(where, records, "canonical")
    for dialect in _DIALECTS:
        encode = pipeline.vocabulary_of(dialect).encode
        ids = [encode(sentence) for sentence in table[dialect].to_pylist()]
        at = table.column_names.index(dialect)
        table = table.set_column(at, dialect, pa.array(ids, pa.list_(pa.uint16())))
    return table


def _rows(row: np.ndarray, n_records: int, templates: pa.Table) -> pa.Table:
    """Return rows of schema `RESULTS`, given their numbers."""
    shares = 0.71 ** np.arange(N_SOURCES)  # the last source has 0.25 %
    ends = np.cumsum(shares / shares.sum()) * n_records
    source = np.minimum(np.searchsorted(ends, row, side="right"), N_SOURCES - 1)
    names = [f"source{s}/{i}" for s, i in zip(source.tolist(), row.tolist(), strict=1)]
    place = {
        "id": pa.array(names),
        "source": pa.array(source, pa.int16()),
        "piece": pa.array(np.zeros(len(row)), pa.int32()),
        "number": pa.array(row, pa.int32()),
    }
    # A step without a common factor with the number of rows visits every place once
    # and puts the two rows of a crystal far apart.
    step = int(0.618 * n_records)
    step = next(s for s in range(step, 2 * step + 2) if math.gcd(s, n_records) == 1)
    crystal = row * step % n_records // 2
    template = crystal % len(templates)
    columns = {
        name: templates[name].take(pa.array(template))
        for name in ("formula", "space_group", "n_atoms", "flags")
    }
    volume = templates["volume_per_atom"].to_numpy()[template]
    columns["volume_per_atom"] = volume * (1 + row % 1000 / 1e5)
    sentences = {
        dialect: _exchange(dialect, crystal, templates) for dialect in _DIALECTS
    }
    columns |= {dialect: _text(dialect, ids) for dialect, ids in sentences.items()}
    columns["tokens"] = sentences["canonical"]
    columns["key_high"], columns["key_low"] = _mix(crystal), _mix(~crystal)
    columns["group"], columns["order"] = _mix(crystal // 3), _mix(row)
    is_reject = row % REJECTED == 0
    records = pa.table(place | columns).filter(pa.array(~is_reject))
    rejects = pa.table(place).filter(pa.array(is_reject))
    for name, word in (
        ("stage", "encode"),
        ("code", "no_space_group"),
        ("message", "found no space group at 0.01, 0.001 and 0.0001 A: sites overlap"),
    ):
        rejects = rejects.append_column(name, pa.array([word] * len(rejects)))
    both = pa.concat_tables([records, rejects], promote_options="default")
    order = np.argsort(both["number"].to_numpy())
    return both.take(pa.array(order)).select(RESULTS.names).cast(RESULTS)


def _exchange(dialect: str, crystal: np.ndarray, templates: pa.Table) -> pa.ListArray:
    """Return token ids of each crystal: its template's, with other elements."""
    n = len(ELEMENTS)  # 103, a prime number: e -> a e + b exchanges the elements
    first = pipeline.vocabulary_of(dialect).tokens.index(f"element:{ELEMENTS[0]}")
    lists = templates[dialect].take(pa.array(crystal % len(templates)))
    lists = lists.combine_chunks()
    ids = lists.flatten().to_numpy().astype(np.int64)
    length = np.diff(lists.offsets.to_numpy())
    number = np.repeat(crystal // len(templates), length)
    new = (ids - first) * (1 + number % (n - 1)) + number // (n - 1)
    is_element = (ids >= first) & (ids < first + n)
    ids = np.where(is_element, first + new % n, ids).astype(np.uint16)
    offsets = np.concatenate([[0], np.cumsum(length)])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(ids))


def _text(dialect: str, ids: pa.ListArray) -> pa.Array:
    """Return the sentences of token ids."""
    tokens = pipeline.vocabulary_of(dialect).tokens
    words = pa.array([token.rpartition(":")[2] for token in tokens])
    lists = pa.ListArray.from_arrays(ids.offsets, words.take(ids.values))
    return pc.utf8_slice_codeunits(pc.binary_join(lists, " "), 6, -6)  # [CLS], [SEP]


def _mix(values: np.ndarray) -> np.ndarray:
    """Return numbers without a pattern, [N], by splitmix64."""
    x = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def measure(folder: Path, n_records: int) -> dict:
    """Assemble the part files of a folder; return times, memory and counts."""
    from cloud_jax.preprocess import local, shards
    from cloud_jax.preprocess.dataset import source_counts

    sources = [
        EmbeddedSource(f"source{i}", reserved=i == N_SOURCES - 1)
        for i in range(N_SOURCES)
    ]
    parts = sorted((folder / "parts").iterdir())
    scratch = folder / "dataset"
    (scratch / shards.TABLES).mkdir(parents=True)
    start = np.array([time.perf_counter(), time.process_time()])
    written = local.assemble(
        parts, n_records, Request(Options()), sources, folder / "shuffle", scratch
    )
    took = np.array([time.perf_counter(), time.process_time()]) - start
    entries = source_counts(written.counts, sources)
    fates = {
        name: sum(entry[f"n_{name}"] for entry in entries)
        for name in ("kept", "duplicates", "reserved", "rejected")
    }
    assert sum(fates.values()) == n_records, fates
    n_bytes = sum(path.stat().st_size for path in scratch.rglob("*") if path.is_file())
    wall_us, cpu_us = (1e6 * took / n_records).round(2).tolist()
    return {
        "records": n_records,
        "seconds": round(took[0], 1),
        "us_per_record": wall_us,
        "cpu_us_per_record": cpu_us,
        "peak_mib": _peak_mib(),
        **fates,
        "shards": len(written.shards),
        "bytes_per_kept_record": round(n_bytes / fates["kept"], 1),
    }


def _peak_mib() -> int:
    """Return the most MiB that this process has had in memory, as Linux counts."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if "VmHWM" in line)


def main() -> None:
    """Parse the command line and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    sizes = [100_000, 1_000_000, 10_000_000]
    parser.add_argument("--records", type=int, nargs="+", default=sizes)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        (n_records,) = arguments.records
        print(json.dumps(measure(arguments.measure, n_records)), flush=True)
        return
    for n_records in arguments.records:
        with tempfile.TemporaryDirectory() as folder:
            make_parts(Path(folder, "parts"), n_records)
            command = [sys.executable, "-m", "scripts.bench_scale"]
            command += ["--measure", folder, "--records", str(n_records)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
