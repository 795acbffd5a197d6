"""Batches of members side by side: each has its own rows, order and epochs."""

import numpy as np
import pytest

from cloud_jax.data.member_batches import MemberBatches, Sentences, packed_rows_of

LENGTHS = np.random.default_rng(0).integers(3, 15, 50)
SENTENCES = Sentences.pack(
    [[100 * row + place for place in range(n)] for row, n in enumerate(LENGTHS)],
    [f"x-{row}" for row in range(50)],
)
SHAPE = {"packed_rows": 4, "row_length": 32}


def batches(*rows_of_members, seeds=(1, 2, 3)):
    seeds = seeds[: len(rows_of_members)]
    return MemberBatches(SENTENCES, rows_of_members, seeds=seeds, **SHAPE)


def rows_seen(made, member, steps):
    rows = np.concatenate([made(step)["row"][member].ravel() for step in steps])
    return sorted(rows[rows >= 0].tolist())


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_a_member_sees_each_of_its_rows_once_per_epoch(epoch):
    few, many = np.arange(0, 50, 7), np.arange(1, 50)
    made = batches(few, many)
    for member, rows in enumerate((few, many)):
        per_epoch = batches(rows).steps_per_epoch
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        assert rows_seen(made, member, steps) == rows.tolist()
    assert made.steps_per_epoch == batches(many).steps_per_epoch
    assert batches(few).steps_per_epoch < made.steps_per_epoch


def test_query_is_where_each_crystal_begins():
    batch = batches(np.arange(50), np.arange(5, 30))(3)
    for member, packed, slot in np.argwhere(batch["row"] >= 0):
        row = batch["row"][member, packed, slot]
        begin = batch["query"][member, packed, slot]
        here = slice(begin, begin + LENGTHS[row])
        expected = 100 * row + np.arange(LENGTHS[row])
        assert batch["tokens"][member, packed, here].tolist() == expected.tolist()
        assert batch["positions"][member, packed, begin] == 0
        assert set(batch["crystal"][member, packed, here]) == {slot + 1}
    assert (batch["query"][batch["row"] < 0] == 0).all()
    assert {array.dtype for array in batch.values()} == {np.dtype(np.int32)}


def test_other_members_change_neither_content_nor_shape():
    """Dropout draws by shape: a member learns the same whichever train beside it."""
    rows = np.flatnonzero(LENGTHS > 8)  # alone it would need fewer slots
    alone, beside = batches(rows), batches(rows, np.arange(50), seeds=(1, 9))
    for step in range(5):
        for name, array in alone(step).items():
            np.testing.assert_array_equal(array[0], beside(step)[name][0])


def test_seeds_differ_and_a_step_is_a_pure_function():
    rows = np.arange(50)
    made = batches(rows, rows)
    first, second = made(1)["row"]
    assert (first != second).any()
    made(17)
    np.testing.assert_array_equal(made(1)["row"], batches(rows, rows)(1)["row"])


def test_a_batch_holds_the_crystals_asked_for_on_average():
    for wanted in (4, 8, 20, 50):
        n = packed_rows_of(SENTENCES, row_length=32, batch_crystals=wanted)
        made = MemberBatches(
            SENTENCES, [np.arange(50)], seeds=[0], packed_rows=n, row_length=32
        )
        assert 50 / made.steps_per_epoch == pytest.approx(wanted, rel=0.35, abs=2)
