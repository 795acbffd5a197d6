"""The choice of records: de-duplication, reserved crystals, and the split by formula.

Records that count as one crystal have the same key, so a bucket of keys is decided
alone, on any machine, and nothing depends on the order in which records arrive.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int, UInt64

from cloud_jax.preprocess.keys import hash64
from cloud_jax.preprocess.schemas import KEPT, REJECTS
from cloud_jax.preprocess.statistics import Counts, count
from cloud_jax.scope.options import Request

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
        representative: index of the record that stands for it; where it is reserved,
            of the reserved crystal that it equals.
        validation: its formula belongs to the validation split.
    """

    kept: Bool[np.ndarray, " N"]
    reserved: Bool[np.ndarray, " N"]
    representative: Int[np.ndarray, " N"]
    validation: Bool[np.ndarray, " N"]


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
    representative = np.arange(n)
    if deduplicate != "none":
        representative[order] = order[is_first][cluster]
    representative[order] = np.where(
        reserved[order], reserver[cluster], representative[order]
    )
    kept = ~reserved & (representative == np.arange(n))
    position = _mix(table["group"].to_numpy(), seed)
    return Selection(kept, reserved, representative, position < validation_fraction)


def _mix(group: UInt64[np.ndarray, " N"], seed: int) -> np.ndarray:
    """Place each group in [0, 1) by a hash of it and the seed, [N]."""
    distinct, inverse = np.unique(group, return_inverse=True)
    places = [hash64(f"{seed} {value}") / 2**64 for value in distinct.tolist()]
    return np.array(places, dtype=np.float64)[inverse]


class Deduplicated(NamedTuple):
    """The records of a bucket, sorted by their fate.

    Attributes:
        kept: the representatives, of schema `KEPT`.
        reserved: rejects of schema `REJECTS`: reserved records and their equals.
        counts: see `statistics`.
    """

    kept: pa.Table
    reserved: pa.Table
    counts: Counts


def deduplicate(
    records: pa.Table, request: Request, reserved_sources: Sequence[bool]
) -> Deduplicated:
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
    representatives = fates.representative[gone]
    kept_at = np.flatnonzero(fates.kept)
    merged = _merged_ids(records["id"].take(pa.array(gone)), representatives, kept_at)
    kept = records.take(pa.array(kept_at))
    kept = kept.append_column("merged_ids", merged)
    kept = kept.append_column("validation", pa.array(fates.validation[kept_at]))
    lost = np.flatnonzero(fates.reserved)
    because = records["id"].take(pa.array(fates.representative[lost]))
    sides = np.array(SPLITS)[fates.validation[kept_at].astype(int)]
    counts = count("split", sides)
    counts += count("reserved", source[fates.reserved])
    counts += count("merged", source[gone], source[representatives])
    return Deduplicated(
        kept.select(KEPT.names).cast(KEPT),
        _reserved_rejects(records.take(lost), because, is_reserved_source[lost]),
        counts,
    )


def _merged_ids(
    ids: pa.ChunkedArray,
    representative: Int[np.ndarray, " M"],
    kept: Int[np.ndarray, " K"],
) -> pa.ListArray:
    """List for each kept index, ascending, the ids of those that it stands for."""
    table = pa.table({"representative": representative, "id": ids})
    table = table.sort_by([("representative", "ascending"), ("id", "ascending")])
    ends = np.searchsorted(table["representative"].to_numpy(), kept, side="right")
    offsets = pa.array(np.concatenate([[0], ends]), pa.int32())
    return pa.ListArray.from_arrays(offsets, table["id"].combine_chunks())


def _reserved_rejects(
    records: pa.Table, because: pa.ChunkedArray, own: Bool[np.ndarray, " N"]
) -> pa.Table:
    """Return the rejects of reserved records and of their equals."""
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
    """Return the number of buckets with which one bucket fits into memory."""
    return -(-n_records // _BUCKET_RECORDS) or 1


def shard_of(order: UInt64[np.ndarray, " N"], n_shards: int) -> Int[np.ndarray, " N"]:
    """Place each record, by the hash of its id, in one of nearly equal shards, [N]."""
    high = order >> np.uint64(32)
    return ((high * np.uint64(n_shards)) >> np.uint64(32)).astype(np.int64)
