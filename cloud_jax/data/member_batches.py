"""Batches of labelled crystals for several models that train side by side.

Each member (a fold and a seed) has its own rows and its own order. All batches have one
shape, so that they stack on a leading axis M. Crystals are packed as in pretraining;
batches also hold the position of each crystal's [CLS] and its row in the table.

Shape letters: M members, B packed rows, L tokens, S crystals of a packed row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from cloud_jax.data.batches import Batch, PackedBatches


@dataclass(frozen=True)
class Sentences:
    """Token sentences in memory, laid out as `PackedBatches` reads a token store."""

    tokens: Int[np.ndarray, " T"]
    offsets: Int[np.ndarray, " n1"]
    ids: Sequence[str]

    @classmethod
    def pack(cls, sentences: Sequence[Sequence[int]], ids: Sequence[str]):
        """Return sentences laid out from lists of token ids."""
        offsets = np.cumsum([0, *map(len, sentences)])
        tokens = np.fromiter((t for s in sentences for t in s), np.uint16, offsets[-1])
        return cls(tokens, offsets, ids)

    @property
    def lengths(self) -> Int[np.ndarray, " N"]:
        """Number of tokens of each sentence."""
        return np.diff(self.offsets)

    def take(self, rows: Int[np.ndarray, " n"]) -> "Sentences":
        """Return the sentences of some rows."""
        chosen = [self.tokens[self.offsets[i] : self.offsets[i + 1]] for i in rows]
        return Sentences.pack(chosen, [self.ids[i] for i in rows])


class MemberBatches:
    """Stacked batches of M members, as a pure function of the step.

    Attributes:
        steps_per_epoch: of the member with the most batches; the others begin their
            next epoch earlier.
        most_rows: packed rows per epoch of the member with the most of them.
    """

    def __init__(
        self,
        sentences: Sentences,
        rows_of_members: Sequence[Int[np.ndarray, " n"]],
        *,
        seeds: Sequence[int],
        packed_rows: int,
        row_length: int,
    ):
        """Make each member's recipe.

        Args:
            sentences: of the whole table.
            rows_of_members: rows of the table that each member sees.
            seeds: of the order of each member.
            packed_rows: B, rows per batch of one member.
            row_length: L, tokens per row; no sentence is longer.
        """
        self._rows = rows_of_members
        self._batches = [
            PackedBatches(
                sentences.take(rows), rows=packed_rows, row_length=row_length, seed=seed
            )
            for rows, seed in zip(rows_of_members, seeds, strict=True)
        ]
        self._lengths = [sentences.lengths[rows] for rows in rows_of_members]
        # From the whole table, not from a member's rows: the shape, and with it what
        # dropout draws, does not depend on which members train side by side.
        self._slots = row_length // int(sentences.lengths.min())
        self.most_rows = max(b.n_rows for b in self._batches)
        self.steps_per_epoch = max(b.steps_per_epoch for b in self._batches)

    def __call__(self, step: int) -> Batch:
        """Return a step's batches of all members.

        Returns:
            Int32 arrays: `tokens`, `positions`, `crystal` [M, B, L] as in
            `PackedBatches`; `query` [M, B, S], the position of each [CLS], and `row`
            [M, B, S], the crystal's row in the table, -1 where there is none.
        """
        members = [self._one(member, step) for member in range(len(self._rows))]
        return {name: np.stack([m[name] for m in members]) for name in members[0]}

    def _one(self, member: int, step: int) -> Batch:
        batches = self._batches[member]
        chosen = batches.crystals(step, 0, batches.rows)
        there = chosen >= 0
        lengths = np.where(there, self._lengths[member][chosen], 0)
        query = np.where(there, np.cumsum(lengths, axis=1) - lengths, 0)
        row = np.where(there, self._rows[member][chosen], -1)
        missing = ((0, 0), (0, self._slots - chosen.shape[1]))
        return batches(step) | {
            "query": np.pad(query, missing).astype(np.int32),
            "row": np.pad(row, missing, constant_values=-1).astype(np.int32),
        }


def packed_rows_of(
    sentences: Sentences, *, row_length: int, batch_crystals: int
) -> int:
    """Return the rows per batch of `batch_crystals` crystals on average, at least 1."""
    packed = PackedBatches(sentences, rows=1, row_length=row_length, seed=0)
    return max(1, round(batch_crystals * packed.n_rows / packed.n_crystals))
