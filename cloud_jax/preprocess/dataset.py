"""A dataset folder: how its files are put together, checked and published.

Everything is written in a scratch folder and then moved, the manifest last, so that a
failure leaves nothing that looks like a dataset.
"""

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from cloud_jax.files import file_sha256
from cloud_jax.preprocess.selection import SPLITS
from cloud_jax.preprocess.shards import Shard
from cloud_jax.preprocess.statistics import Counts
from cloud_jax.scope.vocabulary_file import load_vocabulary
from cloud_jax.structures.source import EXCLUDED, Source, SourceError

MANIFEST = "manifest.json"
REJECTS = "rejects.csv"
REPORT = "report.json"
UNHASHED = (REJECTS, REPORT, "dataset_info.json", "features.json")
RECORDS_PER_SHARD = 65536


class EmptyDatasetError(ValueError):
    """Nothing is left to write; the message says why."""


class EngineOutput(NamedTuple):
    """The files and counts that an engine leaves in a scratch folder.

    Attributes:
        shards: all of them, with their tables; `rejects.csv` is there too.
        counts: of everything, see `statistics`.
    """

    shards: Sequence[Shard]
    counts: Counts


def n_shards_of(n_records: int) -> int:
    """Return the number of shards of a split."""
    return -(-n_records // RECORDS_PER_SHARD)


def reject_lines(rejects: pa.Table, sources: Sequence[Source]) -> str:
    """Return the lines of `rejects.csv` for one source, in its order."""
    rejects = rejects.sort_by([("piece", "ascending"), ("number", "ascending")])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    batches = rejects.to_batches(max_chunksize=4096)  # a million dicts fill the memory
    for row in (row for batch in batches for row in batch.to_pylist()):
        message = " ".join(row["message"].split())[:300]
        name = sources[row["source"]].name
        writer.writerow((row["id"], name, row["stage"], row["code"], message))
    return text.getvalue()


def write_rejects(scratch: Path, lines: Iterable[str]) -> None:
    """Write `rejects.csv`: id, source, stage, code, message, in the sources' order."""
    with open(scratch / REJECTS, "w", newline="", encoding="utf-8") as file:
        file.write("id,source,stage,code,message\n")
        file.writelines(lines)


def refuse_empty(counts: Counts, sources: Sequence[Source], scratch: Path) -> None:
    """Raise EmptyDatasetError, with the most frequent reasons, if nothing is left."""
    if any(counts["split", split] for split in SPLITS):
        return
    entries = source_counts(counts, sources)
    if not any(entry["n_read"] + entry["n_excluded"] for entry in entries):
        raise EmptyDatasetError("the sources hold no crystal at all")
    raise EmptyDatasetError(
        f"no crystal is left: {sum(e['n_read'] for e in entries)} read, "
        f"{sum(e['n_rejected'] for e in entries)} rejected, "
        f"{sum(e['n_reserved'] for e in entries)} reserved"
        + _frequent_reasons(scratch / REJECTS)
    )


def check_exclude_ids(scratch: Path, sources: Sequence[Source]) -> None:
    """Raise SourceError if an id that a source excludes is not in it."""
    missing = {s.name: set(s.exclude_ids) for s in sources if s.exclude_ids}
    if not missing:  # the file may be long
        return
    with open(scratch / REJECTS, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["code"] == EXCLUDED:
                missing[row["source"]].discard(row["id"].partition("/")[2])
    for name, ids in missing.items():
        if ids:
            raise SourceError(
                f"source {name}: exclude_ids: {len(ids)} not found in it: "
                f"{', '.join(sorted(ids)[:5])}"
            )


def _frequent_reasons(rejects: Path) -> str:
    """Return the five most frequent codes of a `rejects.csv` with examples."""
    counts, examples = Counter(), {}
    with open(rejects, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            counts[row["code"]] += 1
            examples.setdefault(row["code"], f"{row['id']}: {row['message']}")
    return "".join(
        f"\n  {n} {code}, for instance {examples[code]}"
        for code, n in counts.most_common(5)
    )


def source_counts(counts: Counts, sources: Sequence[Source]) -> list[dict]:
    """Provenance and counts of each source, for the manifest."""
    rejected: Counter[int] = Counter()
    excluded: Counter[int] = Counter()
    for key, n in counts.items():
        if key[0] == "rejected":
            (excluded if key[2] == EXCLUDED else rejected)[key[1]] += n
    merged = Counter()
    for key, n in counts.items():
        if key[0] == "merged":
            merged[key[1]] += n
    return [
        {
            "name": source.name,
            "licence": source.licence,
            "citation": source.citation,
            "location": source.location,
            "reserved": source.reserved,
            "n_read": counts["read", i] + rejected[i],
            "n_rejected": rejected[i],
            "n_excluded": excluded[i],
            "n_reserved": counts["reserved", i],
            "n_duplicates": merged[i],
            "n_kept": counts["kept", i],
            "n_repeated_ids": counts["repeated_id", i],
        }
        for i, source in enumerate(sources)
    ]


def split_entries(written: EngineOutput) -> dict:
    """Return the manifest's `splits`: counts, and the hash of every shard."""
    entries = {}
    for split in SPLITS:
        shards = [shard for shard in written.shards if shard.split == split]
        n_tokens = sum(
            key[2] * n
            for key, n in written.counts.items()
            if key[:2] == ("n_tokens", split)
        )
        entries[split] = {
            "n_records": sum(shard.n_records for shard in shards),
            "n_tokens": n_tokens,
            "shards": [
                {
                    "file": shard.file,
                    "sha256": shard.sha256,
                    "bytes": shard.bytes,
                    "n_records": shard.n_records,
                    "table": shard.table,
                }
                for shard in shards
            ],
        }
    return entries


def find_damage(folder: Path, manifest: dict) -> str | None:
    """Say which file of a dataset is missing or is not what the manifest states."""
    for name in UNHASHED:
        if not (folder / name).exists():
            return f"{name} is missing"
    vocabulary = manifest["vocabulary"]
    try:
        json.loads((folder / REPORT).read_text("utf-8"))
        if load_vocabulary(folder / vocabulary["file"]).sha256 != vocabulary["sha256"]:
            return f"{vocabulary['file']} is not the one that the manifest names"
        for split in manifest["splits"].values():
            for shard in split["shards"]:
                if not (folder / shard["table"]).is_file():
                    return f"{shard['table']} is missing"
                if file_sha256(folder / shard["file"]) != shard["sha256"]:
                    return f"{shard['file']} does not have the manifest's SHA-256"
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except json.JSONDecodeError as error:
        return f"{REPORT} is damaged ({error})"
    except ValueError as error:
        return str(error)
    return None


def publish(scratch: Path, output: Path, manifest: dict) -> None:
    """Move the finished files into place; the manifest makes them a dataset."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    (scratch / MANIFEST).write_text(text, encoding="utf-8")
    names = sorted(path.name for path in scratch.iterdir() if path.name != MANIFEST)
    for name in [*names, MANIFEST]:
        if (output / name).is_dir():
            shutil.rmtree(output / name)
        os.replace(scratch / name, output / name)
