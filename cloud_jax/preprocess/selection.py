"""Which records stay: de-duplication, reserved crystals, and the split by formula.

Records that count as one crystal have the same key, so a bucket of keys is decided
alone, on any machine, and nothing depends on the order in which records arrive.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int, UInt64

from cloud_jax.preprocess.options import Request
from cloud_jax.preprocess.schemas import KEPT, REJECTS
from cloud_jax.preprocess.tally import Tally, tally

# Of equal crystals the first in this order stays; the last three settle equal ids.
_BEFORE = ("key_high", "key_low", "volume_per_atom", "id", "source", "piece", "number")
_BUCKET_RECORDS = 131_072
SPLITS = ("train", "validation")
DEDUPLICATE = ("canonical", "formula+spacegroup", "none")


class Selection(NamedTuple):
    """The fate of each record, [N].

    Attributes:
        kept: it is in the dataset.
        reserved: it equals a crystal of a reserved source, or is one.
        survivor: index of the record that stands for it; where it is reserved, of the
            reserved crystal that it equals.
        validation: its formula belongs to the validation split.
    """

    kept: Bool[np.ndarray, " N"]
    reserved: Bool[np.ndarray, " N"]
    survivor: Int[np.ndarray, " N"]
    validation: Bool[np.ndarray, " N"]


def hash64(text: str) -> int:
    """A 64-bit hash that is the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def hash128(text: str) -> int:
    """A 128-bit hash: no two of a billion different texts share one by chance."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest, "big")


def duplicate_key(row: dict, rule: str) -> str:
    """What two records have in common when they count as one crystal.

    A ready string has no canonical sentence and no space-group number: its own
    sentence and its generators stand for them.
    """
    if rule == "formula+spacegroup":
        group = row["space_group"] or row["paper"].partition(" | ")[0]
        return f"{row['formula']} | {group}"
    return row["canonical"] or row["paper"]


def split_group(row: dict) -> str:
    """What never sits on both sides of the split: the composition, order aside."""
    words = row["paper"].rpartition(" | ")[2].split()
    return " ".join(sorted(map(" ".join, zip(words[::2], words[1::2], strict=True))))


def select(
    table: pa.Table, *, deduplicate: str, seed: int, validation_fraction: float
) -> Selection:
    """Decide the fate of every record.

    Args:
        table: of schema `RECORDS`, with a column `reserved`.
        deduplicate: one of `DEDUPLICATE`; of equal crystals the one with the smallest
            volume per atom stays, then the one with the least id.
        seed: of the split.
        validation_fraction: share of the groups, in [0, 1), that go to validation.
    """
    n = len(table)
    order = pc.sort_indices(
        table,
        sort_keys=[(name, "ascending") for name in _BEFORE],
    ).to_numpy()
    high, low = (table[c].to_numpy()[order] for c in ("key_high", "key_low"))
    is_first = np.ones(n, dtype=bool)
    is_first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    cluster = np.cumsum(is_first) - 1
    is_reserved_source = table["reserved"].to_numpy()
    in_reserved_source = np.flatnonzero(is_reserved_source[order])[::-1]
    reserver = np.full(np.count_nonzero(is_first), -1)  # the first of each cluster
    reserver[cluster[in_reserved_source]] = order[in_reserved_source]

    reserved = np.empty(n, dtype=bool)
    reserved[order] = reserver[cluster] >= 0
    survivor = np.arange(n)
    if deduplicate != "none":
        survivor[order] = order[is_first][cluster]
    survivor[order] = np.where(reserved[order], reserver[cluster], survivor[order])
    kept = ~reserved & (survivor == np.arange(n))
    position = _mix(table["group"].to_numpy(), seed)
    return Selection(kept, reserved, survivor, position < validation_fraction)


def _mix(group: UInt64[np.ndarray, " N"], seed: int) -> np.ndarray:
    """Place each group in [0, 1) by a hash of it and the seed, [N]."""
    distinct, inverse = np.unique(group, return_inverse=True)
    places = [hash64(f"{seed} {value}") / 2**64 for value in distinct.tolist()]
    return np.array(places, dtype=np.float64)[inverse]


class Elected(NamedTuple):
    """What became of a bucket of records.

    Attributes:
        kept: the survivors, of schema `KEPT`.
        reserved: rejects of schema `REJECTS`: reserved records and their equals.
        counts: see `tally`.
    """

    kept: pa.Table
    reserved: pa.Table
    counts: Tally


def elect(
    records: pa.Table, request: Request, reserved_sources: Sequence[bool]
) -> Elected:
    """Decide about records among which all equals of each are.

    Args:
        records: of schema `RECORDS`, in any order.
        request: how to de-duplicate and split.
        reserved_sources: of each source whether it is reserved.
    """
    source = records["source"].to_numpy()
    is_reserved_source = np.array(reserved_sources, dtype=bool)[source]
    fates = select(
        records.append_column("reserved", pa.array(is_reserved_source)),
        deduplicate=request.options.deduplicate,
        seed=request.seed,
        validation_fraction=request.validation_fraction,
    )
    gone = np.flatnonzero(~fates.kept & ~fates.reserved)
    survivors = fates.survivor[gone]
    kept_at = np.flatnonzero(fates.kept)
    merged = _merged_ids(records["id"].take(pa.array(gone)), survivors, kept_at)
    kept = records.take(pa.array(kept_at))
    kept = kept.append_column("merged_ids", merged)
    kept = kept.append_column("validation", pa.array(fates.validation[kept_at]))
    lost = np.flatnonzero(fates.reserved)
    because = records["id"].take(pa.array(fates.survivor[lost]))
    sides = np.array(SPLITS)[fates.validation[kept_at].astype(int)]
    counts = tally("split", sides)
    counts += tally("reserved", source[fates.reserved])
    counts += tally("merged", source[gone], source[survivors])
    return Elected(
        kept.select(KEPT.names).cast(KEPT),
        _reserved_rejects(records.take(lost), because, is_reserved_source[lost]),
        counts,
    )


def _merged_ids(
    ids: pa.ChunkedArray, survivor: Int[np.ndarray, " M"], kept: Int[np.ndarray, " K"]
) -> pa.ListArray:
    """List for each kept index, ascending, the ids of those that it stands for."""
    table = pa.table({"survivor": survivor, "id": ids})
    table = table.sort_by([("survivor", "ascending"), ("id", "ascending")])
    ends = np.searchsorted(table["survivor"].to_numpy(), kept, side="right")
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, table["id"].combine_chunks())


def _reserved_rejects(
    records: pa.Table, because: pa.ChunkedArray, own: Bool[np.ndarray, " N"]
) -> pa.Table:
    """Rejects of reserved records, and of those equal to the one that is named."""
    n = len(records)
    columns = {
        **{name: records[name] for name in ("id", "source", "piece", "number")},
        "stage": ["select"] * n,
        "code": ["reserved"] * n,
        "message": [
            "belongs to a reserved source" if mine else f"equals the reserved {other}"
            for mine, other in zip(own.tolist(), because.to_pylist(), strict=True)
        ],
    }
    return pa.table(columns, schema=REJECTS)


def n_buckets_of(n_records: int) -> int:
    """How many buckets so many records go to, so that one fits into memory."""
    return -(-n_records // _BUCKET_RECORDS) or 1


def shard_of(order: UInt64[np.ndarray, " N"], n_shards: int) -> Int[np.ndarray, " N"]:
    """Place each record, by the hash of its id, in one of nearly equal shards, [N]."""
    high = order >> np.uint64(32)
    return ((high * np.uint64(n_shards)) >> np.uint64(32)).astype(np.int64)
