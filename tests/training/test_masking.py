import jax
import numpy as np
import pytest
from synthetic_dataset import VOCABULARY

from cloud_jax.data.batches import PackedBatches
from cloud_jax.training.masking import N_SPECIAL, mask_tokens, segments

N_TOKENS = len(VOCABULARY)


@pytest.fixture(scope="module")
def batch(stores):
    return PackedBatches(stores[0], rows=60, row_length=64, seed=0)(0)


@pytest.fixture(scope="module")
def draw(batch):
    mask = jax.jit(
        lambda key: mask_tokens(
            key, batch["tokens"], batch["positions"], n_tokens=N_TOKENS
        )
    )
    return lambda seed: jax.tree.map(np.asarray, mask(jax.random.key(seed)))


def test_segments_count_bars_within_each_crystal():
    tokens = np.array([[1, 9, 4, 9, 9, 4, 9, 2, 1, 9, 4, 9, 4, 9, 2, 0]])
    positions = np.array([[0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 0]])
    found = np.asarray(segments(tokens, positions))[0]
    is_word = tokens[0] == 9
    assert found[is_word].tolist() == [0, 1, 1, 2, 0, 1, 2]


def test_fifteen_percent_of_maskable_tokens_are_selected(batch, draw):
    maskable = (batch["tokens"] >= N_SPECIAL).sum()
    share = np.mean([draw(seed).weight.sum() for seed in range(30)]) / maskable
    assert share == pytest.approx(0.15, rel=0.02)


def test_selected_are_distinct_and_never_special(batch, draw):
    masked = draw(0)
    for row in range(len(batch["tokens"])):
        query = masked.query[row][masked.weight[row] > 0]
        assert len(set(query)) == len(query)
        labels = masked.labels[row][masked.weight[row] > 0]
        np.testing.assert_array_equal(labels, batch["tokens"][row][query])
        assert (labels >= N_SPECIAL).all()
        others = np.setdiff1d(np.arange(64), query)
        np.testing.assert_array_equal(
            masked.tokens[row][others], batch["tokens"][row][others]
        )


def test_eighty_ten_ten(draw):
    kinds = []
    for seed in range(40):
        masked = draw(seed)
        used = masked.weight > 0
        shown = np.take_along_axis(masked.tokens, masked.query, 1)[used]
        labels = masked.labels[used]
        kinds.append(np.stack([shown == 3, shown == labels]))
        assert ((shown == 3) | (shown >= N_SPECIAL)).all()
        assert (shown < N_TOKENS).all()
    mask, kept = np.concatenate(kinds, axis=1).mean(axis=1)
    assert mask == pytest.approx(0.8, abs=0.01)
    # A random draw gives the token itself once in 45 times.
    assert kept == pytest.approx(0.1 + 0.1 / (N_TOKENS - N_SPECIAL), abs=0.01)


def test_masks_follow_from_the_key(draw):
    first, again, other = draw(0), draw(0), draw(1)
    np.testing.assert_array_equal(first.tokens, again.tokens)
    assert (first.query != other.query).any()


def test_rows_of_padding_select_nothing():
    empty = np.zeros((3, 32), np.int32)
    masked = mask_tokens(jax.random.key(0), empty, empty, n_tokens=N_TOKENS)
    assert masked.weight.sum() == 0
    assert (np.asarray(masked.tokens) == 0).all()
