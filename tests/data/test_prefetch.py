"""Prefetched global arrays: their order, slices, errors and end."""

import itertools
import threading
import time

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cloud_jax.data.batches import PackedBatches
from cloud_jax.data.prefetch import Feed, prefetch


@pytest.fixture
def batches(store):
    return PackedBatches(store, rows=16, row_length=64, seed=0)


def sharding(shape=(4, 2), spec=("data", None)):
    mesh = jax.make_mesh(shape, ("data", "tensor"), axis_types=(AxisType.Auto,) * 2)
    return NamedSharding(mesh, PartitionSpec(*spec))


def threads():
    return [t for t in threading.enumerate() if t.name == "prefetch"]


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((8, 1), ("data", None)),
        ((4, 2), ("data", None)),
        ((2, 4), (None, None)),
        ((2, 4), (("data", "tensor"), None)),
        ((2, 4), ("data", "tensor")),
    ],
)
def test_batches_arrive_in_order_and_sharded(batches, shape, spec):
    target = sharding(shape, spec)
    found = list(prefetch(batches, start=3, stop=8, sharding=target))
    assert len(found) == 5
    for step, batch in enumerate(found, start=3):
        for name, expected in batches(step).items():
            assert batch[name].sharding.is_equivalent_to(target, 2)
            np.testing.assert_array_equal(np.asarray(batch[name]), expected)
    assert not threads()


def test_each_device_asks_for_its_rows_only_and_once(batches, monkeypatch):
    asked = []
    original = PackedBatches.slice

    def spy(self, step, start, stop):
        asked.append((step, start, stop))
        return original(self, step, start, stop)

    monkeypatch.setattr(PackedBatches, "slice", spy)
    list(prefetch(batches, start=0, stop=1, sharding=sharding()))
    assert sorted(asked) == [(0, a, a + 4) for a in (0, 4, 8, 12)]


def test_an_exception_is_raised_at_its_step(batches, monkeypatch):
    original = PackedBatches.slice

    def fail(self, step, start, stop):
        if step == 2:
            raise OSError("the disk went away")
        return original(self, step, start, stop)

    monkeypatch.setattr(PackedBatches, "slice", fail)
    stream = prefetch(batches, start=0, stop=5, sharding=sharding())
    next(stream), next(stream)
    with pytest.raises(OSError, match="the disk went away"):
        next(stream)
    assert not threads()


def test_closing_early_ends_the_thread(batches):
    stream = prefetch(batches, start=0, stop=10**6, sharding=sharding(), depth=1)
    next(stream)
    assert threads()
    stream.close()
    assert not threads()


def test_no_steps_give_no_batches(batches):
    assert list(prefetch(batches, start=4, stop=4, sharding=sharding())) == []


def test_a_feed_counts_the_time_in_which_its_reader_waits(monkeypatch):
    ticks = itertools.count()
    feed = Feed(lambda step: step, start=2, stop=5)
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    assert [next(feed), next(feed)] == [2, 3]
    time.perf_counter()  # the reader's own time does not count
    assert list(feed) == [4]
    assert feed.waited_s == 4.0  # a tick per batch, and one to see the end
