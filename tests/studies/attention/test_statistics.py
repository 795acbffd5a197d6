"""p1, p2 and their null: worked by hand, and beside SciPy."""

import json

import numpy as np
import pytest
from scipy import stats

from cloud_jax.studies.attention.statistics import (
    ALPHA,
    by_share,
    draw_groups,
    interval,
    measure,
    strongest,
    t_test,
    top_share,
    verdict,
)

# Four crystals of six places; the first two tokens are of the space group, the last
# place of the first crystal is beyond its sentence.
SCORES = np.array(
    [
        [0.5, 0.3, 0.1, 0.0, 0.0, 0.9],
        [0.1, 0.2, 0.4, 0.3, 0.0, 0.0],
        [0.3, 0.0, 0.4, 0.1, 0.1, 0.1],
        [0.2, 0.2, 0.2, 0.2, 0.2, 0.2],
    ]
)
CANDIDATE = np.ones((4, 6), bool)
CANDIDATE[0, 5] = False
SPACE_GROUP = np.zeros((4, 6), bool)
SPACE_GROUP[:, :2] = True


@pytest.mark.parametrize(
    ("k", "p1", "p2"),
    [
        # Of the fourth, all tied, one in three is of the space group: two of six.
        (1, [1, 0, 0, 1 / 3], [1, 0, 0, 1 / 3]),
        # 1 - C(4, 2) / C(6, 2) = 1 - 6/15.
        (2, [1, 0, 1, 9 / 15], [1, 0, 1 / 2, 1 / 3]),
        # The third crystal: one of three tied tokens follows, none of the space group.
        (3, [1, 1, 1, 1 - 4 / 20], [2 / 3, 1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_p1_and_p2_by_hand(k, p1, p2):
    found = top_share(SCORES, CANDIDATE, SPACE_GROUP, k)
    np.testing.assert_allclose(found.p1, p1, atol=1e-12)
    np.testing.assert_allclose(found.p2, p2, atol=1e-12)


def test_a_tie_across_the_edge_of_the_top_k_is_left_to_chance():
    scores = np.array([[0.5, 0.2, 0.2, 0.2, 0.1]])
    space_group = np.array([[False, True, False, False, True]])
    found = top_share(scores, np.ones((1, 5), bool), space_group, 2)
    np.testing.assert_allclose([found.p1[0], found.p2[0]], [1 / 3, 1 / 6], atol=1e-12)


def test_a_crystal_with_too_few_tokens_is_named():
    with pytest.raises(ValueError, match="crystal 0 has 5 tokens that count, expected"):
        top_share(SCORES, CANDIDATE, SPACE_GROUP, 6)


def test_the_null_is_hypergeometric():
    n, good = np.array([5, 6, 6, 9]), np.array([2, 2, 3, 8])
    for k in (1, 2, 3):
        expected = by_share(n, good, k)
        exact = stats.hypergeom(n, good, k)
        np.testing.assert_allclose(expected.p1, exact.sf(0), atol=1e-12)
        np.testing.assert_allclose(expected.p2, exact.mean() / k, atol=1e-12)


def long_sentences(n_crystals=400, seed=0):
    """As in the paper two of three tokens are of the space group."""
    generator = np.random.default_rng(seed)
    n = generator.integers(24, 34, n_crystals)
    place = np.arange(34)
    candidate = place < n[:, None]
    space_group = candidate & (place < (0.64 * n)[:, None])
    return candidate, space_group, [str(i % 40) for i in range(n_crystals)]


def test_uniform_attention_passes_the_t_test_but_not_the_token_share():
    candidate, space_group, groups = long_sentences()
    scores = np.where(candidate, 1.0, 0.0)[:, None]
    (layer,) = measure(scores, candidate, space_group, groups)["layers"]
    for row in layer["top"]:
        for name in ("p1", "p2"):
            test = row[name]
            assert test["value"] > 0.6
            assert test["t_test"]["p"] < 1e-100, "the paper's test calls it attention"
            assert test["value"] == pytest.approx(test["null"], abs=1e-12)
            assert min(test["p_greater"], test["p_less"]) > 0.2
    assert verdict(layer) == "not shown"


def test_random_attention_is_not_called_significant_either():
    candidate, space_group, groups = long_sentences()
    scores = np.random.default_rng(3).random((400, 2, 34))
    found = measure(scores, candidate, space_group, groups)
    assert [verdict(layer) for layer in found["layers"]] == ["not shown"] * 2
    first = found["layers"][0]["top"][0]["p1"]
    assert first["t_test"]["p"] < 1e-3
    assert first["t_test"]["t"] > 0
    low, high = first["null_interval"]
    assert low < first["null"] < high
    assert abs(found["layers"][0]["mass"] - found["share"]) < 0.02


def test_attention_beyond_the_share_holds_and_short_of_it_is_reversed():
    candidate, space_group, groups = long_sentences()
    generator = np.random.default_rng(4)
    noise = generator.random((400, 34))
    scores = np.stack([noise + space_group, noise - space_group], axis=1) + 1
    found = measure(scores, candidate, space_group, groups)
    assert [verdict(layer) for layer in found["layers"]] == ["holds", "reversed"]
    best = found["layers"][0]["top"][2]["p2"]
    assert best["value"] == 1
    assert best["p_greater"] == 1 / 10_000
    assert best["t_test"] is None, "nothing varies: no test"
    assert best["difference"] == pytest.approx(1 - found["share"], abs=1e-12)
    json.dumps(found, allow_nan=False)


def test_a_part_of_the_finding_is_called_a_part():
    row = {"p1": {"p_greater": 1e-4, "p_less": 1.0}, "p2": {"p_greater": 0.5,
           "p_less": 0.5}}  # fmt: skip
    assert verdict({"top": [row]}) == "in part"


def test_crystals_of_few_space_groups_are_not_many_witnesses():
    """Two groups look at their generators, one does not: 300 crystals say no more."""
    candidate, space_group, _ = long_sentences(300)
    groups = ["abc"[i % 3] for i in range(300)]
    looks = np.array([g != "c" for g in groups])[:, None]
    noise = np.random.default_rng(6).random((300, 34))
    scores = (noise + np.where(looks, 2, 1) * space_group)[:, None]
    (layer,) = measure(scores, candidate, space_group, groups)["layers"]
    test = layer["top"][0]["p1"]
    good, n = space_group.sum(axis=1), candidate.sum(axis=1)
    generator = np.random.default_rng(7)
    drawn = generator.hypergeometric(good, n - good, 1, (2000, 300)).mean(axis=1)
    assert np.mean(drawn >= test["value"]) < ALPHA, "each crystal permuted by itself"
    assert test["p_greater"] > 1 / 8 - 0.02, "the fewest that three groups can give"
    assert verdict(layer) == "not shown"
    independent = [f"{i}" for i in range(300)]
    (layer,) = measure(scores, candidate, space_group, independent)["layers"]
    assert verdict(layer) == "holds"


def test_the_interval_is_that_of_independent_groups():
    """Groups of equal size: the interval is Student's of the means of the groups."""
    values = np.random.default_rng(5).random(50)
    names = np.arange(50) % 10
    groups = draw_groups(names, draws=50_000)
    means = values.reshape(5, 10).mean(axis=0)
    expected = stats.ttest_1samp(means, 0.5).confidence_interval(0.95)
    found = interval(values, groups, within=(0.0, 1.0))
    np.testing.assert_allclose(found, expected, atol=0.02 * np.ptp(expected))
    assert interval(values, draw_groups(["a"] * 50), within=(0.0, 1.0)) == [0.0, 1.0]


def test_p_values_are_those_of_all_signs():
    """Three groups, by hand."""
    scores = np.array([[2.0, 1.0], [2.0, 1.0], [1.0, 2.0]])[:, None]
    candidate, space_group = np.ones((3, 2), bool), np.tile([True, False], (3, 1))
    found = measure(scores, candidate, space_group, ["a", "b", "c"], top=(1,))
    test = found["layers"][0]["top"][0]["p2"]
    # Excesses of 1/2, 1/2, -1/2: their sum or more with 3 or 2 of three pluses.
    assert test["p_greater"] == pytest.approx(4 / 8, abs=0.02)
    assert test["p_less"] == pytest.approx(7 / 8, abs=0.02)


def test_the_papers_test_equals_that_of_scipy():
    values = np.random.default_rng(5).random(50)
    expected = stats.ttest_1samp(values, 0.5)
    found = t_test(values)
    assert found["t"] == pytest.approx(expected.statistic, abs=1e-12)
    assert found["p"] == pytest.approx(expected.pvalue, abs=1e-12)


def test_the_strongest_come_first():
    scores = np.array([[9, 0.1, 0.3, 0.2], [9, 0.3, 0.1, 0.2]])
    candidate = np.array([False, True, True, True])
    assert strongest(scores, candidate, 2) == [[2, 3], [1, 3]]


def test_one_crystal_is_no_set():
    with pytest.raises(ValueError, match="found 1 sentences, expected at least two"):
        measure(SCORES[:1, None], CANDIDATE[:1], SPACE_GROUP[:1], ["a"])
