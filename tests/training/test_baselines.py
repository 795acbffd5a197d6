import numpy as np
import pytest

from cloud_jax.training.baselines import baseline_sums, count_pairs, log_probabilities


def test_pairs_do_not_cross_crystals():
    tokens = np.array([1, 6, 7, 2, 1, 7, 2], np.uint16)
    pairs = count_pairs(tokens, np.array([0, 4, 7]), n_tokens=8)
    assert pairs.sum() == 5
    assert pairs[1, 6] == pairs[6, 7] == pairs[1, 7] == 1
    assert pairs[7, 2] == 2
    assert pairs[2, 1] == 0


def test_smoothing_is_add_one_over_the_maskable_tokens():
    counts = np.array([[9, 9, 9, 9, 9, 3, 0, 1]])
    found = np.exp(log_probabilities(counts))[0]
    np.testing.assert_allclose(found, [0, 0, 0, 0, 0, 4 / 7, 1 / 7, 2 / 7])


def test_both_baselines_by_hand():
    pairs = np.zeros((7, 7), int)
    pairs[1, 5], pairs[5, 6], pairs[6, 5] = 3, 2, 1  # 5 four times, 6 twice
    masked = [(np.array([1, 5]), np.array([5, 6]), np.array([0, 2]))]
    sums = baseline_sums(masked, pairs)
    unigram, bigram = sums["unigram"], sums["bigram"]
    np.testing.assert_allclose(unigram["loss"], [-np.log(5 / 8), 0, -np.log(3 / 8)])
    np.testing.assert_allclose(bigram["loss"], [-np.log(4 / 5), 0, -np.log(3 / 4)])
    assert unigram["correct"].tolist() == [1, 0, 0]
    assert bigram["correct"].tolist() == [1, 0, 1]
    assert bigram["count"].tolist() == [1, 0, 1]
    assert bigram["loss"].sum() == pytest.approx(0.5108, abs=1e-4)
