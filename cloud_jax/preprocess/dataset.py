"""From part files to a dataset folder: shards, tables for people, manifest last.

The parts are read twice, one at a time: for the hashes and tokens that selection and
shards need (about 150 bytes a crystal in memory), and for `records.parquet` and
`rejects.csv`. Everything is written in a scratch folder and then moved, so that a
failure leaves nothing that looks like a dataset.
"""

import csv
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tqdm import tqdm

from cloud_jax.preprocess.chunks import SCHEMA, read_part
from cloud_jax.preprocess.pipeline import Reject
from cloud_jax.preprocess.selection import (
    Selection,
    column_of,
    duplicate_key,
    hash64,
    select,
    split_group,
)
from cloud_jax.preprocess.sources.source import Source
from cloud_jax.scope import Vocabulary

MANIFEST = "manifest.json"
SPLITS = ("train", "validation")
UNHASHED = ("records.parquet", "rejects.csv", "dataset_info.json", "features.json")
RECORDS_PER_SHARD = 65536
_ROWS_PER_GROUP = 32768  # of records.parquet

_INDEX = pa.schema(
    [
        ("id", pa.string()),
        ("source", pa.int16()),
        ("reserved", pa.bool_()),
        ("volume_per_atom", pa.float64()),
        ("key_high", pa.uint64()),
        ("key_low", pa.uint64()),
        ("group", pa.uint64()),
        ("order", pa.uint64()),
        ("tokens", pa.list_(pa.uint16())),
    ]
)
_RECORD_COLUMNS = [
    f for f in SCHEMA if f.name not in ("tokens", "stage", "code", "message")
]
_RECORDS = pa.schema(
    [
        *(
            pa.field("source", pa.string()) if f.name == "source" else f
            for f in _RECORD_COLUMNS
        ),
        ("split", pa.string()),
        ("n_tokens", pa.int32()),
        ("merged_ids", pa.list_(pa.string())),
    ]
)


class EmptyDatasetError(ValueError):
    """Nothing is left to write; the message says why."""


def read_index(
    parts: Sequence[Path], sources: Sequence[Source], deduplicate: str
) -> pa.Table:
    """Read what selection and shards need of all records, one row each, rejects out."""
    columns = ["id", "source", "formula", "space_group", "volume_per_atom"]
    columns += ["paper", "canonical", "tokens", "code"]
    batches = []
    for part in tqdm(parts, desc="comparing", unit=" parts", leave=False):
        table = read_part(part, columns)
        table = table.filter(pc.is_null(table["code"]))
        rows = table.select(columns[:-2]).to_pylist()
        keys = [_hash128(duplicate_key(row, deduplicate)) for row in rows]
        extra = {
            "reserved": [sources[row["source"]].reserved for row in rows],
            "key_high": [key >> 64 for key in keys],
            "key_low": [key & 0xFFFFFFFFFFFFFFFF for key in keys],
            "group": [hash64(split_group(row)) for row in rows],
            "order": [hash64(row["id"]) for row in rows],
        }
        arrays = [
            pa.array(extra[f.name], f.type)
            if f.name in extra
            else table[f.name].combine_chunks()
            for f in _INDEX
        ]
        batches.append(pa.table(arrays, schema=_INDEX))
    index = pa.concat_tables(batches) if batches else _INDEX.empty_table()
    return index.combine_chunks()


def _hash128(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest, "big")


def write_dataset(
    parts: Sequence[Path],
    sources: Sequence[Source],
    scratch: Path,
    *,
    deduplicate: str,
    seed: int,
    validation_fraction: float,
) -> dict:
    """Write everything but the vocabulary and the manifest into `scratch`.

    Returns:
        The manifest's `splits` and `sources`.

    Raises:
        EmptyDatasetError: no record is left.
        OSError: a file cannot be written.
    """
    index = read_index(parts, sources, deduplicate)
    fates = select(
        index,
        deduplicate=deduplicate,
        seed=seed,
        validation_fraction=validation_fraction,
    )
    n_rejects = write_tables(parts, sources, index, fates, scratch)
    counts = _count(sources, index, fates, n_rejects)
    if not fates.kept.any():
        n_read = sum(entry["n_read"] for entry in counts)
        raise EmptyDatasetError(
            f"no crystal is left of {n_read} read; {sum(n_rejects)} were rejected, "
            f"{sum(entry['n_reserved'] for entry in counts)} reserved"
            + _frequent_reasons(scratch / "rejects.csv")
        )
    return {"splits": _write_splits(index, fates, scratch), "sources": counts}


def _frequent_reasons(rejects: Path) -> str:
    """The five most frequent codes of a `rejects.csv`, one a line with an example."""
    counts, examples = Counter(), {}
    with open(rejects, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            counts[row["code"]] += 1
            examples.setdefault(row["code"], f"{row['id']}: {row['message']}")
    return "".join(
        f"\n  {n} {code}, for instance {examples[code]}"
        for code, n in counts.most_common(5)
    )


def _write_splits(index: pa.Table, fates: Selection, scratch: Path) -> dict:
    from cloud_jax.preprocess import shards  # TensorFlow

    order = pc.sort_indices(
        index,
        sort_keys=[(c, "ascending") for c in ("order", "id", "key_high", "key_low")],
    ).to_numpy()
    order = order[fates.kept[order]]
    splits, written = {}, {}
    for name, members in zip(
        SPLITS,
        (order[~fates.validation[order]], order[fates.validation[order]]),
        strict=True,
    ):
        written[name] = shards.write_split(
            scratch,
            name,
            _sentences(index, members),
            n_records=len(members),
            records_per_shard=RECORDS_PER_SHARD,
        )
        splits[name] = {
            "n_records": len(members),
            "n_tokens": sum(shard.n_tokens for shard in written[name]),
            "shards": [
                {
                    "file": shard.file,
                    "sha256": sha256(scratch / shard.file),
                    "bytes": shard.n_bytes,
                    "n_records": shard.n_records,
                }
                for shard in written[name]
            ],
        }
    shards.write_metadata(scratch, written)
    return splits


def _sentences(
    index: pa.Table, members: np.ndarray
) -> Iterator[tuple[str, np.ndarray]]:
    ids = index["id"]
    tokens = index["tokens"].chunk(0)
    values, offsets = tokens.values.to_numpy(), tokens.offsets.to_numpy()
    for i in members.tolist():
        yield ids[i].as_py(), values[offsets[i] : offsets[i + 1]]


def write_tables(
    parts: Sequence[Path],
    sources: Sequence[Source],
    index: pa.Table,
    fates: Selection,
    scratch: Path,
) -> list[int]:
    """Write `records.parquet` and `rejects.csv`; return rejects of each source."""
    n_rejects = [0] * len(sources)
    merged = _merged(fates)
    ids = index["id"]
    at, waiting = 0, []
    with (
        open(scratch / "rejects.csv", "w", newline="", encoding="utf-8") as file,
        pq.ParquetWriter(scratch / "records.parquet", _RECORDS) as writer,
    ):
        rejects = csv.writer(file, lineterminator="\n")
        rejects.writerow(("id", "source", "stage", "code", "message"))
        for part in tqdm(parts, desc="writing tables", unit=" parts", leave=False):
            for row in read_part(part).to_pylist():
                source = sources[row["source"]]
                if row["code"] is not None:
                    n_rejects[row["source"]] += 1
                    rejects.writerow(
                        _reject_row(
                            Reject(
                                row["id"], row["stage"], row["code"], row["message"]
                            ),
                            source,
                        )
                    )
                    continue
                if fates.kept[at]:
                    twins = [ids[i].as_py() for i in merged.get(at, ())]
                    split = SPLITS[int(fates.validation[at])]
                    fields = {c.name: row[c.name] for c in _RECORD_COLUMNS}
                    fields |= {"source": source.name, "split": split}
                    fields |= {"n_tokens": len(row["tokens"]), "merged_ids": twins}
                    waiting.append(fields)
                elif fates.reserved[at] and not source.reserved:
                    why = "equals a crystal of a reserved source"
                    rejects.writerow(
                        _reject_row(
                            Reject(row["id"], "select", "reserved", why), source
                        )
                    )
                at += 1
            if len(waiting) >= _ROWS_PER_GROUP:
                writer.write_table(pa.Table.from_pylist(waiting, schema=_RECORDS))
                waiting = []
        writer.write_table(pa.Table.from_pylist(waiting, schema=_RECORDS))
    return n_rejects


def _merged(fates: Selection) -> dict[int, list[int]]:
    """Of each kept record, the records it stands for."""
    gone = np.flatnonzero(~fates.kept & ~fates.reserved)
    merged: dict[int, list[int]] = {}
    for i, survivor in zip(gone.tolist(), fates.survivor[gone].tolist(), strict=True):
        merged.setdefault(survivor, []).append(i)
    return merged


def _reject_row(reject: Reject, source: Source) -> tuple[str, ...]:
    message = " ".join(reject.message.split())[:300]
    return reject.id, source.name, reject.stage, reject.code, message


def _count(
    sources: Sequence[Source], index: pa.Table, fates: Selection, n_rejects: list[int]
) -> list[dict]:
    """Provenance and counts of each source, for the manifest."""

    def per_source(mask: np.ndarray) -> list[int]:
        return np.bincount(origin[mask], minlength=len(sources)).tolist()

    origin = column_of(index, "source")
    read = per_source(np.ones(len(origin), dtype=bool))
    kept = per_source(fates.kept)
    reserved = per_source(fates.reserved)
    return [
        {
            "name": source.name,
            "licence": source.licence,
            "citation": source.citation,
            "location": source.location,
            "reserved": source.reserved,
            "n_read": read[i] + n_rejects[i],
            "n_rejected": n_rejects[i],
            "n_reserved": reserved[i],
            "n_duplicates": read[i] - kept[i] - reserved[i],
            "n_kept": kept[i],
        }
        for i, source in enumerate(sources)
    ]


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damage(folder: Path, manifest: dict) -> str | None:
    """Say which file of a dataset is missing or is not what the manifest states."""
    for name in UNHASHED:
        if not (folder / name).is_file():
            return f"{name} is missing"
    vocabulary = manifest["vocabulary"]
    try:
        if Vocabulary.load(folder / vocabulary["file"]).sha256 != vocabulary["sha256"]:
            return f"{vocabulary['file']} is not the one that the manifest names"
        for split in manifest["splits"].values():
            for shard in split["shards"]:
                if sha256(folder / shard["file"]) != shard["sha256"]:
                    return f"{shard['file']} does not have the manifest's SHA-256"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except ValueError as error:
        return str(error)
    return None


def publish(scratch: Path, output: Path, manifest: dict) -> None:
    """Move the finished files into place; the manifest makes them a dataset."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (scratch / MANIFEST).write_text(text, encoding="utf-8")
    names = sorted(path.name for path in scratch.iterdir() if path.name != MANIFEST)
    for name in [*names, MANIFEST]:
        os.replace(scratch / name, output / name)
