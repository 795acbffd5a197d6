"""Counts of everything that the report says, as one counter that adds up anywhere.

Its keys are tuples of a topic and numbers or words:

    read, source               records
    rejected, source, code     rejects, excluded crystals and those like a reserved one
    reserved, source           records of a reserved source, and those equal to one
    merged, source, source     duplicates: theirs, and that of their representative
    split, name                records kept in it
    kept, source
    repeated_id, source        kept records with the id of another
    space_group, source, number
    n_atoms, count             atoms in the primitive cell of those kept
    n_tokens, split, length
    token, id                  occurrences
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Counts = Counter[tuple]


def count(topic: str, *columns: np.ndarray | Sequence) -> Counts:
    """Count the rows of some columns, all of one length."""
    if len(columns) == 1:
        values, counts = np.unique(np.asarray(columns[0]), return_counts=True)
        return Counter(
            {
                (topic, value): n
                for value, n in zip(values.tolist(), counts.tolist(), strict=True)
            }
        )
    lists = [np.asarray(column).tolist() for column in columns]
    found = Counter(zip(*lists, strict=True))
    return Counter({(topic, *key): n for key, n in found.items()})


def count_results(table: pa.Table) -> Counts:
    """Count what became of a chunk's items; `table` is of schema `RESULTS`."""
    codes = table["code"].to_pylist()
    source = table["source"].to_pylist()
    rejected = [(s, c) for s, c in zip(source, codes, strict=True) if c]
    counts: Counts = Counter(
        {("rejected", *k): n for k, n in Counter(rejected).items()}
    )
    kept = Counter(s for s, c in zip(source, codes, strict=True) if not c)
    counts.update({("read", s): n for s, n in kept.items()})
    return counts


def count_kept(table: pa.Table, split: str) -> Counts:
    """Count what a shard holds; `table` is of schema `KEPT`, equal ids in a row."""
    source = table["source"].to_numpy()
    repeated = pc.equal(table["id"][1:], table["id"][:-1]).to_numpy()
    group = np.nan_to_num(table["space_group"].to_numpy()).astype(int)  # 0: not known
    atoms = np.nan_to_num(table["n_atoms"].to_numpy()).astype(int)
    tokens = table["tokens"].combine_chunks()
    lengths = np.diff(tokens.offsets.to_numpy())
    return (
        count("kept", source)
        + count("repeated_id", source[1:][repeated])
        + count("space_group", source, group)
        + count("n_atoms", atoms)
        + count("n_tokens", [split] * len(table), lengths)
        + count("token", tokens.flatten().to_numpy())
    )
