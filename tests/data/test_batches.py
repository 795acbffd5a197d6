"""Packing loses nothing and mixes nothing; a batch follows from its step alone."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_dataset import make_crystals, write_dataset

from cloud_jax.data.batches import PackedBatches, pack_histogram
from cloud_jax.data.token_store import TokenStore

ROWS, L, SEED = 48, 64, 3


@pytest.fixture
def batches(store):
    return PackedBatches(store, rows=ROWS, row_length=L, seed=SEED)


def unpack(batch):
    """Return the crystals of a batch as tuples of tokens; check the layout of rows."""
    found = []
    for tokens, positions, crystal in zip(
        batch["tokens"], batch["positions"], batch["crystal"], strict=True
    ):
        used = np.count_nonzero(crystal)
        assert (crystal[used:] == 0).all()  # padding at the end, and zero throughout
        assert (tokens[used:] == 0).all()
        assert (positions[used:] == 0).all()
        for number in range(1, crystal.max() + 1):
            inside = np.flatnonzero(crystal == number)
            assert (np.diff(inside) == 1).all()
            assert positions[inside].tolist() == list(range(len(inside)))
            found.append(tuple(tokens[inside].tolist()))
    return found


def assert_equal(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == np.int32
        np.testing.assert_array_equal(a[name], b[name])


def test_every_crystal_exactly_once_per_epoch(batches, crystals):
    expected = sorted(tuple(tokens) for _, tokens in crystals)
    for epoch in range(3):
        first = epoch * batches.steps_per_epoch
        steps = range(first, first + batches.steps_per_epoch)
        found = [crystal for s in steps for crystal in unpack(batches(s))]
        assert sorted(found) == expected
        ids = [name for s in steps for name in batches.record_ids(s)]
        assert sorted(ids) == sorted(name for name, _ in crystals)


def test_record_ids_follow_the_rows(batches, crystals):
    tokens = dict(crystals)
    names = batches.record_ids(2)
    assert [tuple(tokens[name]) for name in names] == unpack(batches(2))


def test_rows_are_full(batches):
    assert batches.fill >= 0.92
    filled = sum(
        np.count_nonzero(batches(step)["crystal"])
        for step in range(batches.steps_per_epoch)
    )
    assert filled / (batches.n_rows * L) == pytest.approx(batches.fill)


def test_epochs_and_seeds_differ(store, batches):
    first, again = batches.record_ids(0), batches.record_ids(batches.steps_per_epoch)
    assert first != again
    other = PackedBatches(store, rows=ROWS, row_length=L, seed=SEED + 1)
    assert other.record_ids(0) != first


@pytest.mark.parametrize("n_hosts", [1, 2, 3, 8, 48])
def test_slices_equal_the_whole_for_any_number_of_hosts(batches, n_hosts):
    edges = np.linspace(0, ROWS, n_hosts + 1).astype(int)
    last = batches.steps_per_epoch - 1  # holds empty rows at its end
    for step in (0, last):
        parts = [batches.slice(step, a, b) for a, b in pairwise(edges)]
        whole = {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}
        assert_equal(whole, batches(step))


def test_a_batch_is_a_pure_function_of_its_step(store, batches):
    steps = [0, 7, 2 * batches.steps_per_epoch + 3, 1, 9 * batches.steps_per_epoch]
    once = {step: batches(step) for step in steps}
    fresh = PackedBatches(store, rows=ROWS, row_length=L, seed=SEED)
    for step in sorted(steps):
        assert_equal(batches(step), once[step])
        assert_equal(fresh(step), once[step])


def test_the_first_batch_is_pinned(store):
    """A resumed run relies on this order: to change it is a breaking change."""
    batches = PackedBatches(store, rows=2, row_length=L, seed=0)
    found = [int(name.split("-")[1]) for name in batches.record_ids(0)]
    assert found == [1272, 1350, 1367]


def test_a_crystal_longer_than_a_row_and_an_empty_split_are_errors(store, tmp_path):
    with pytest.raises(
        ValueError, match=r"crystal-\d+-é.* has 50 tokens, rows have 40"
    ):
        PackedBatches(store, rows=2, row_length=40, seed=0)
    folder = write_dataset(tmp_path, {"train": []})
    with pytest.raises(ValueError, match="holds no crystal"):
        PackedBatches(TokenStore.open(folder, "train"), rows=2, row_length=64, seed=0)


def test_fewer_crystals_than_a_batch(tmp_path):
    folder = write_dataset(tmp_path, {"train": make_crystals([30, 40, 12])})
    batches = PackedBatches(
        TokenStore.open(folder, "train"), rows=8, row_length=L, seed=0
    )
    assert (batches.steps_per_epoch, batches.n_rows) == (1, 2)
    assert len(unpack(batches(5))) == 3


@settings(deadline=None, max_examples=60)
@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=40),
    extra=st.integers(0, 40),
)
def test_a_recipe_holds_the_histogram_and_overfills_no_row(counts, extra):
    histogram = np.array([0, *counts])
    row_length = len(counts) + extra
    found = np.zeros_like(histogram)
    for n_rows, lengths in pack_histogram(histogram, row_length):
        assert n_rows > 0
        assert sum(lengths) <= row_length
        for length in lengths:
            found[length] += n_rows
    np.testing.assert_array_equal(found, histogram)
