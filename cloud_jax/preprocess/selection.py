"""Which records stay: de-duplication, reserved crystals, and the split by formula.

All of it works on hashes and one number a record, so that memory stays small beside
the sentences, and none of it depends on the order in which records arrive.
"""

import hashlib
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool, Int, UInt64

DEDUPLICATE = ("canonical", "formula+spacegroup", "none")


class Selection(NamedTuple):
    """The fate of each record, [N].

    Attributes:
        kept: it is in the dataset.
        reserved: it equals a crystal of a reserved source, or is one.
        survivor: index of the record that stands for it.
        validation: its formula belongs to the validation split.
    """

    kept: Bool[np.ndarray, " N"]
    reserved: Bool[np.ndarray, " N"]
    survivor: Int[np.ndarray, " N"]
    validation: Bool[np.ndarray, " N"]


def hash64(text: str) -> int:
    """A 64-bit hash that is the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


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
        table: columns `id`, `key_high` and `key_low` (128-bit hash of the duplicate
            key), `volume_per_atom` (null where unknown), `group` (the split group's
            hash) and `reserved`.
        deduplicate: one of `DEDUPLICATE`; of equal crystals the one with the smallest
            volume per atom stays, then the one with the least id.
        seed: of the split.
        validation_fraction: share of the groups, in [0, 1), that go to validation.
    """
    n = len(table)
    order = pc.sort_indices(
        table,
        sort_keys=[
            (name, "ascending")
            for name in ("key_high", "key_low", "volume_per_atom", "id")
        ],
    ).to_numpy()
    high, low = (column_of(table, c)[order] for c in ("key_high", "key_low"))
    is_first = np.ones(n, dtype=bool)
    is_first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    cluster = np.cumsum(is_first) - 1
    is_reserved_source = column_of(table, "reserved")
    n_reserved = np.bincount(cluster, is_reserved_source[order], minlength=1)

    reserved = np.empty(n, dtype=bool)
    reserved[order] = n_reserved[cluster] > 0
    survivor = np.arange(n)
    if deduplicate != "none":
        survivor[order] = order[is_first][cluster]
    kept = ~reserved & (survivor == np.arange(n))
    position = _mix(column_of(table, "group"), seed)
    return Selection(kept, reserved, survivor, position < validation_fraction)


def _mix(group: UInt64[np.ndarray, " N"], seed: int) -> np.ndarray:
    """Place each group in [0, 1) by a hash of it and the seed, [N]."""
    distinct, inverse = np.unique(group, return_inverse=True)
    places = [hash64(f"{seed} {value}") / 2**64 for value in distinct.tolist()]
    return np.array(places, dtype=np.float64)[inverse]


def column_of(table: pa.Table, name: str) -> np.ndarray:
    """Return a column without nulls as one array."""
    return table[name].to_numpy()
