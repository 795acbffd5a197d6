"""Keys of a crystal: of its duplicates, and of the group a split keeps together."""

import hashlib


def hash64(text: str) -> int:
    """Return a 64-bit hash that is the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def hash128(text: str) -> int:
    """Return a 128-bit hash, which no two of a billion texts share by chance."""
    digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
    return int.from_bytes(digest, "big")


def duplicate_key(row: dict, rule: str) -> str:
    """Return what two records have in common when they count as one crystal.

    A ready string has no canonical sentence and no space-group number: its own
    sentence and its generators stand for them.
    """
    if rule == "formula+spacegroup":
        group = row["space_group"] or row["paper"].partition(" | ")[0]
        return f"{row['formula']} | {group}"
    return row["canonical"] or row["paper"]


def split_group(row: dict) -> str:
    """Return the composition, order aside: a split never divides equal ones."""
    words = row["paper"].rpartition(" | ")[2].split()
    return " ".join(sorted(map(" ".join, zip(words[::2], words[1::2], strict=True))))
