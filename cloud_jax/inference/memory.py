"""Results that a process keeps for the next call, the newest of them."""

from collections.abc import Hashable, Mapping
from threading import Lock
from typing import Generic, TypeVar

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
            for key in list(self._entries)[: len(self._entries) - self._limit]:
                del self._entries[key]
