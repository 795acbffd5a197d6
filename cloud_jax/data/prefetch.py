"""Batches made and sent to the devices in the background, a few steps ahead."""

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
    """Return a step's batch as global arrays; each device asks for its rows only.

    Args:
        batches: The source.
        step: Which batch.
        sharding: Of the arrays [B, L]; each process builds what its devices hold.
    """

    @cache  # the three arrays share one slice of a device
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

    An exception in the thread is raised here, by the step it belongs to. Closing the
    iterator, or leaving it behind, ends the thread.

    Args:
        batches: The source.
        start: First step.
        stop: The step after the last.
        sharding: Of the arrays [B, L].
        depth: Batches kept ready.
    """
    ready = queue.Queue(maxsize=depth)
    closed = threading.Event()

    def offer(item) -> None:
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
