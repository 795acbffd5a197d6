"""Makes batches and sends them to the devices in the background, a few steps ahead."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
from jax.sharding import Sharding

from cloud_jax.data.batches import PackedBatches


def make_global(
    batches: PackedBatches, step: int, sharding: Sharding
) -> dict[str, jax.Array]:
    """Return a step's batch as global arrays, of which each process makes its own rows.

    Args:
        batches: the source.
        step: which batch.
        sharding: of the arrays [B, L].
    """

    @cache  # the three arrays of a device are parts of one slice
    def rows(start: int, stop: int):
        return batches.slice(step, start, stop)

    def part(name: str, index: tuple[slice, slice]):
        start, stop, _ = index[0].indices(batches.rows)
        return rows(start, stop)[name][:, index[1]]

    shape = (batches.rows, batches.row_length)
    return {
        name: jax.make_array_from_callback(
            shape, sharding, lambda index, name=name: part(name, index)
        )
        for name in ("tokens", "positions", "crystal")
    }


class Feed:
    """Batches of steps [start, stop), made by a background thread.

    An exception in the thread is raised here, at the step that it belongs to. The
    thread ends when the feed is closed or garbage-collected.

    Attributes:
        waited_s: seconds in which the loop waited for a batch, the first one included.
            A device with steps in flight may have waited for less.
    """

    def __init__(
        self, make: Callable[[int], Any], *, start: int, stop: int, depth: int = 2
    ):
        """Prepare a thread that starts with the first batch.

        Args:
            make: from a step to its batch.
            start: first step.
            stop: the step after the last.
            depth: batches kept ready.
        """
        self.waited_s = 0.0
        self._items = _ahead(make, start, stop, depth)

    def __iter__(self) -> "Feed":
        """Return itself."""
        return self

    def __next__(self) -> Any:
        """Return the next batch, after waiting for it."""
        begun = time.perf_counter()
        try:
            return next(self._items)
        finally:
            self.waited_s += time.perf_counter() - begun

    def close(self) -> None:
        """End the thread."""
        self._items.close()


def prefetch(
    batches: PackedBatches,
    *,
    start: int,
    stop: int,
    sharding: Sharding,
    depth: int = 2,
) -> Feed:
    """Return the feed of the global batches of steps [start, stop).

    Args:
        batches: the source.
        start: first step.
        stop: the step after the last.
        sharding: of the arrays [B, L].
        depth: batches kept ready.
    """
    return Feed(
        lambda step: make_global(batches, step, sharding),
        start=start,
        stop=stop,
        depth=depth,
    )


def _ahead(
    make: Callable[[int], Any], start: int, stop: int, depth: int
) -> Iterator[Any]:
    """Yield what a background thread makes of each step."""
    ready = queue.Queue(maxsize=depth)
    closed = threading.Event()

    def offer(item) -> None:
        # In short waits: put() alone would never see that nobody takes the item.
        while not closed.is_set():
            try:
                return ready.put(item, timeout=0.1)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for step in range(start, stop):
                if closed.is_set():
                    return
                offer(make(step))
        except BaseException as error:
            offer(error)

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        for _ in range(start, stop):
            item = ready.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
