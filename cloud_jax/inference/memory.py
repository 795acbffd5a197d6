"""What a process has read and evaluated, kept for the next call.

scikit-learn clones a transformer for every fold: what all of them would compute again
is kept here, and not in them.
"""

import hashlib
import pickle
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from cloud_jax.inference.crystals import Crystal, to_crystals
from cloud_jax.inference.inputs import parse
from cloud_jax.models import network
from cloud_jax.scope.pipeline import Record, Reject
from cloud_jax.structures.source import RawItem

if TYPE_CHECKING:
    from cloud_jax.inference.predictor import Predictor

T = TypeVar("T")


class Memory(Generic[T]):
    """A dictionary of at most so many entries that several threads may use.

    Args:
        limit: entries; beyond it the oldest are forgotten.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._entries: dict[Hashable, T] = {}
        self._lock = Lock()

    def get(self, keys: Mapping[Hashable, object]) -> dict[Hashable, T]:
        """Return the entries of these keys, as far as they are known."""
        with self._lock:
            return {key: self._entries[key] for key in keys if key in self._entries}

    def add(self, entries: Mapping[Hashable, T]) -> None:
        """Remember entries."""
        with self._lock:
            self._entries.update(entries)
            excess = max(0, len(self._entries) - self._limit)
            for key in list(islice(self._entries, excess)):
                del self._entries[key]


class ReadCrystal(NamedTuple):
    """A crystal that was read, with what its sentence does not hold."""

    crystal: Crystal
    volume_per_atom: float  # angstrom^3


class State(NamedTuple):
    """What the network gives for one sentence."""

    cls: Float[np.ndarray, " D"]
    outputs: Float[np.ndarray, "M O"] | None  # of a model with a head


# Of the process, not of an estimator: `clone` makes a new one for every fold.
_READ: Memory[ReadCrystal | Reject] = Memory(100_000)
_STATES: Memory[State] = Memory(50_000)


def weights_sha256(predictor: "Predictor") -> str:
    """Return the SHA-256 of a model's weights."""
    return predictor.model.description["weights_sha256"]


def read_rows(
    items: Sequence[RawItem], predictor: "Predictor", workers: int
) -> list[ReadCrystal | Reject]:
    """Read each item, or remember it."""
    options = repr(predictor.options)
    keys = [_key(item, weights_sha256(predictor) + options) for item in items]
    by_key = dict(zip(keys, items, strict=True))
    known = _READ.get(by_key)
    missing = [key for key in by_key if key not in known]
    results = parse(
        [by_key[key] for key in missing], predictor.options, workers=workers
    )
    fresh = {
        key: _with_volume(result, predictor)
        for key, result in zip(missing, results, strict=True)
    }
    _READ.add(fresh)
    known |= fresh
    read = []
    for key, item in zip(keys, items, strict=True):
        found = known[key]
        is_reject = isinstance(found, Reject)
        read.append(replace(found, id=item.id) if is_reject else found)
    return read


def _with_volume(
    result: Record | Reject, predictor: "Predictor"
) -> ReadCrystal | Reject:
    crystals, rejects = to_crystals([result], predictor.model)
    if rejects:
        return rejects[0]
    return ReadCrystal(crystals[0], result.volume_per_atom)


def _key(item: RawItem, salt: str) -> bytes:
    """Return a hash of what a crystal is read from, and how."""
    content = pickle.dumps((salt, item.kind, item.payload), protocol=5)
    return hashlib.blake2b(content, digest_size=16).digest()


def states(crystals: Sequence[Crystal], predictor: "Predictor") -> list[State]:
    """Return what the network gives for each crystal, or gave."""
    sha256 = weights_sha256(predictor)
    keys = [(sha256, crystal.sentence) for crystal in crystals]
    tokens = {key: crystal.tokens for key, crystal in zip(keys, crystals, strict=True)}
    known = _STATES.get(tokens)
    if missing := [key for key in tokens if key not in known]:
        sentences = [tokens[key] for key in missing]
        if predictor.model.description["kind"] == "property":
            outputs, cls = network.outputs_and_states(predictor.model, sentences)
        else:
            cls = network.cls_states(predictor.model, sentences)
            outputs = [None] * len(cls)
        fresh = dict(zip(missing, map(State, cls, outputs), strict=True))
        _STATES.add(fresh)
        known |= fresh
    return [known[key] for key in keys]
