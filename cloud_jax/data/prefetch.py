"""Makes batches and sends them to the devices in the background, a few steps ahead."""

import queue
import threading
from collections.abc import Iterator
from functools import cache

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


def prefetch(
    batches: PackedBatches,
    *,
    start: int,
    stop: int,
    sharding: Sharding,
    depth: int = 2,
) -> Iterator[dict[str, jax.Array]]:
    """Yield the batches of steps [start, stop), made by a background thread.

    An exception in the thread is raised here, at the step that it belongs to. The
    thread ends when the iterator is closed or garbage-collected.

    Args:
        batches: the source.
        start: first step.
        stop: the step after the last.
        sharding: of the arrays [B, L].
        depth: batches kept ready.
    """
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
                offer(make_global(batches, step, sharding))
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
