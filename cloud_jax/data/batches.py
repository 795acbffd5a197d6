"""Batches of packed rows as a pure function of (seed, step).

Sentences are short (about 30 tokens), so several whole crystals share a row. Which
lengths share one is a recipe, made once from the histogram of lengths; an epoch then
permutes the crystals of each length over the slots of the recipe, and permutes the
rows. So every epoch has the same number of rows and holds every crystal exactly once,
and the batch of any step follows from its number: there is no iterator to save, and a
resumed run sees what the whole run would have seen.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from cloud_jax.data.token_store import TokenStore

Batch = dict[str, np.ndarray]


class Recipe(NamedTuple):
    """A number of rows that hold crystals of the same lengths."""

    n_rows: int
    lengths: tuple[int, ...]


def pack_histogram(histogram: Int[np.ndarray, " n"], row_length: int) -> list[Recipe]:
    """Pack crystals into rows by their lengths alone.

    Longest first, each into the fullest row that has room: best-fit decreasing, on the
    histogram instead of on crystals ("longest-pack-first histogram packing", Krell et
    al. 2021, arXiv 2107.02027), so that the cost depends on the number of lengths only.

    Args:
        histogram: number of crystals by length, from length 0.
        row_length: tokens per row; no crystal is longer.
    """
    by_room = [[] for _ in range(row_length + 1)]  # open rows by the room they have
    for length in reversed(range(1, len(histogram))):
        left, room = int(histogram[length]), length
        while left:
            # The fullest open row that has room.
            while room <= row_length and not by_room[room]:
                room += 1
            if room > row_length:  # no open row: new ones, as full as this length goes
                each = min(row_length // length, left)
                n_rows, lengths = left // each, (length,) * each
                used = n_rows * each
            else:
                n_rows, lengths = by_room[room].pop()
                used = min(n_rows, left)
                if n_rows > used:
                    by_room[room].append(Recipe(n_rows - used, lengths))
                n_rows, lengths = used, (*lengths, length)
            by_room[row_length - sum(lengths)].append(Recipe(n_rows, lengths))
            left, room = left - used, length
    return [recipe for recipes in by_room for recipe in recipes]


class PackedBatches:
    """The global batches of a run, numbered by step over all epochs.

    `batches(step)` is a pure function of (store, rows, row_length, seed, step).

    Attributes:
        rows: rows per global batch, B.
        row_length: tokens per row, L.
        n_crystals: crystals per epoch.
        n_rows: rows per epoch; its last batch is filled up with empty rows.
        steps_per_epoch: batches per epoch.
        fill: share of the positions of those rows that hold a token.
    """

    def __init__(self, store: TokenStore, *, rows: int, row_length: int, seed: int):
        """Make the recipe.

        Args:
            store: the crystals.
            rows: rows per global batch.
            row_length: tokens per row.
            seed: of the order of crystals.

        Raises:
            ValueError: there is no crystal, or one is longer than a row.
        """
        lengths = np.asarray(store.lengths)
        if not len(lengths):
            raise ValueError(
                "PackedBatches: the split holds no crystal; prepare the dataset with "
                "more crystals or a different validation fraction"
            )
        longest = int(lengths.argmax())
        if lengths[longest] > row_length:
            raise ValueError(
                f"PackedBatches: crystal {store.ids[longest]!r} has {lengths[longest]} "
                f"tokens, rows have {row_length}; choose a row length of at least "
                f"{lengths[longest]}"
            )
        self.rows, self.row_length = rows, row_length
        self.n_crystals = len(lengths)
        self._store, self._seed = store, seed
        self._lengths = lengths.astype(np.uint16)  # 16 bits: numpy sorts by radix
        self._slots = self._make_slots()
        self.n_rows = len(self._slots)
        self.steps_per_epoch = -(-self.n_rows // rows)
        self.fill = float(lengths.sum() / (self.n_rows * row_length))
        self._plans = {}

    def __call__(self, step: int) -> Batch:
        """Return the whole global batch of a step; see `slice`."""
        return self.slice(step, 0, self.rows)

    def slice(self, step: int, start: int, stop: int) -> Batch:
        """Return rows [start, stop) of a step's global batch.

        Returns:
            Int32 arrays [stop - start, L]: `tokens` (0 on padding), `positions`
            (restarting at 0 in each crystal) and `crystal` (1, 2, ... along a row, 0
            on padding).
        """
        chosen = self.crystals(step, start, stop)
        shape = (stop - start, self.row_length)
        row, slot = np.nonzero(chosen >= 0)
        chosen = chosen[row, slot]
        lengths = self._lengths[chosen].astype(np.int64)
        end = np.cumsum(lengths)
        begin = end - lengths
        within = np.arange(end[-1] if len(end) else 0) - np.repeat(begin, lengths)
        # A row's slots are filled without holes: its crystals follow each other.
        first = np.searchsorted(row, row)
        target = row * self.row_length + begin - begin[first]
        target = np.repeat(target, lengths) + within
        source = np.repeat(self._store.offsets[chosen], lengths) + within
        batch = {
            name: np.zeros(shape, np.int32)
            for name in ("tokens", "positions", "crystal")
        }
        batch["tokens"].reshape(-1)[target] = self._store.tokens[source]
        batch["positions"].reshape(-1)[target] = within
        batch["crystal"].reshape(-1)[target] = np.repeat(slot + 1, lengths)
        return batch

    def record_ids(self, step: int) -> list[str]:
        """Return the ids of the crystals in a step's global batch, row by row."""
        chosen = self.crystals(step, 0, self.rows)
        return [self._store.ids[i] for i in chosen[chosen >= 0]]

    def _make_slots(self) -> Int[np.ndarray, "R S"]:
        """Return the crystals of each row of the recipe as ranks by length, or -1."""
        histogram = np.bincount(self._lengths)
        recipes = pack_histogram(histogram, self.row_length)
        width = max(len(recipe.lengths) for recipe in recipes)
        lengths = np.concatenate(
            [
                np.tile([*recipe.lengths] + [0] * (width - len(recipe.lengths)), (n, 1))
                for n, recipe in ((recipe.n_rows, recipe) for recipe in recipes)
            ]
        )
        slots = np.full(lengths.shape, -1, np.int32)
        order = np.argsort(lengths.reshape(-1), kind="stable")
        used = order[-self.n_crystals :]  # empty slots, of length 0, sort first
        slots.reshape(-1)[used] = np.arange(self.n_crystals)
        return slots

    def _plan(self, epoch: int) -> Int[np.ndarray, "R S"]:
        """Return the crystals of each row of an epoch; -1 where none."""
        if epoch not in self._plans:
            if len(self._plans) > 1:  # two epochs: a prefetcher may be one ahead
                self._plans.pop(min(self._plans), None)
            self._plans[epoch] = self._make_plan(epoch)
        return self._plans[epoch]

    def _make_plan(self, epoch: int) -> Int[np.ndarray, "R S"]:
        # A seed of its own per epoch: no epoch depends on the one before.
        rng = np.random.default_rng([self._seed, epoch])
        order = rng.permutation(np.arange(self.n_crystals, dtype=np.int32))
        rows = rng.permutation(self.n_rows)
        # By rank: sorted by length, and stable, so that those of one length keep their
        # permuted order.
        order = order[np.argsort(self._lengths[order], kind="stable")]
        # Rank -1 reads the appended last entry: no crystal.
        return np.append(order, np.int32(-1))[self._slots[rows]]

    def crystals(self, step: int, start: int, stop: int) -> Int[np.ndarray, "b S"]:
        """Return the crystals of rows [start, stop) of a step, -1 where there is none.

        Crystals are numbers in the store, in their order in the row.
        """
        epoch, index = divmod(step, self.steps_per_epoch)
        plan = self._plan(epoch)
        chosen = plan[
            index * self.rows + start : min(index * self.rows + stop, self.n_rows)
        ]
        missing = stop - start - len(chosen)
        return np.pad(chosen, ((0, missing), (0, 0)), constant_values=-1)
