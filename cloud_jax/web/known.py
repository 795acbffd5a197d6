"""The nearest known crystals, by the state that the encoder gives them."""

import gzip
import json
import math
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files
from threading import Lock
from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.models import network
from cloud_jax.models.folder import Model
from cloud_jax.scope import Rejection

TABLE = files("cloud_jax") / "web" / "known_crystals.json.gz"
N_NEAREST = 5
# Words for distances up to so many usual ones.
NEARNESS = ((0.5, "very near"), (1.5, "near"), (3.0, "rather far"), (math.inf, "far"))
_SAME = 1e-4  # distance of equal sentences, but for rounding


class KnownCrystals:
    """Prototypes and minerals that come with the package, and their states.

    The states are those of [CLS] in the first member, along the axes in which the
    training rows are as wide in every direction, where the model has these axes. They
    are computed at the first question: less than two seconds, once.
    """

    def __init__(self, model: Model):
        self._model = model
        self._lock = Lock()

    @cached_property
    def rows(self) -> tuple[list[list[str]], Float[np.ndarray, "n D"], float]:
        """Return (name, formula, sentence) rows, their places, and a usual distance.

        There are none where the model's dialect is not that of the table.
        """
        rows = json.loads(gzip.decompress(TABLE.read_bytes()))
        kept, tokens = [], []
        for row in rows:
            try:
                ids = self._model.vocabulary.encode(row[2])
            except Rejection:  # another dialect, or an element that it does not know
                continue
            if len(ids) <= self._model.description["max_tokens"]:
                kept.append(row)
                tokens.append(ids)
        if not kept:
            return [], np.zeros((0, 1)), 1.0
        places = self._places(network.cls_states(self._model, tokens))
        gaps = _distances(places, places)
        gaps[gaps < _SAME] = np.inf
        return kept, places, float(np.median(gaps.min(axis=1)))

    def _places(self, states: Float[np.ndarray, "n D"]) -> Float[np.ndarray, "n K"]:
        novelty = self._model.novelty
        if not novelty:
            return states.astype(np.float64)
        mean, axes = (np.asarray(part, np.float64) for part in novelty[:2])
        return (states - mean) @ axes

    def nearest(
        self, states: Float[np.ndarray, "N D"], sentences: Sequence[str]
    ) -> list[list[dict[str, Any]]]:
        """Return the nearest known crystals of each of N crystals.

        Args:
            states: of [CLS] in the first member.
            sentences: of the same crystals.

        Returns:
            Up to `N_NEAREST` a crystal, nearest first: name, formula, distance, and
            words: whether it is the same sentence; if not, how near. Known crystals
            usually have another that is near.
        """
        with self._lock:  # two people may be the first
            rows, places, usual = self.rows
        if not rows:
            return [[] for _ in sentences]
        found = []
        for gaps, sentence in zip(
            _distances(self._places(states), places), sentences, strict=True
        ):
            order = np.argsort(gaps, kind="stable")[:N_NEAREST]
            found.append(
                [
                    {
                        "name": rows[i][0],
                        "formula": rows[i][1],
                        "distance": round(float(gaps[i]), 4),
                        "words": _words(gaps[i] / usual, rows[i][2] == sentence),
                    }
                    for i in order
                ]
            )
        return found


def _distances(
    one: Float[np.ndarray, "N K"], other: Float[np.ndarray, "n K"]
) -> Float[np.ndarray, "N n"]:
    squares = (one**2).sum(1)[:, None] + (other**2).sum(1) - 2 * one @ other.T
    return np.sqrt(np.maximum(squares, 0))


def _words(times: float, is_same: bool) -> str:
    """Say a distance, given in usual distances from a known crystal to the next."""
    if is_same:
        return "the same sentence"
    return next(words for most, words in NEARNESS if times <= most)
