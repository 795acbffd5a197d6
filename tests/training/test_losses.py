import jax
import numpy as np
import pytest

from cloud_jax.training.losses import cross_entropy_sums
from cloud_jax.training.metrics_log import summarise


def example(seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(4, 6, 11)).astype("f4")
    return (
        logits,
        rng.integers(0, 11, (4, 6)),
        (rng.random((4, 6)) < 0.6).astype("f4"),
        rng.integers(0, 3, (4, 6)),
    )


def test_sums_equal_a_plain_loop():
    logits, labels, weight, segment = example()
    expected = {key: np.zeros(3) for key in ("loss", "correct", "count")}
    for b, k in np.ndindex(labels.shape):
        if weight[b, k]:
            p = np.exp(logits[b, k].astype("f8"))
            at = segment[b, k]
            expected["loss"][at] -= np.log(p[labels[b, k]] / p.sum())
            expected["correct"][at] += p.argmax() == labels[b, k]
            expected["count"][at] += 1
    found = cross_entropy_sums(logits, labels, weight, segment)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-5)


def test_parts_of_a_batch_add_up():
    whole = cross_entropy_sums(*example())
    halves = [
        cross_entropy_sums(*(array[part] for array in example()))
        for part in (slice(0, 2), slice(2, 4))
    ]
    total = jax.tree.map(lambda a, b: a + b, *halves)
    for key in whole:
        np.testing.assert_allclose(whole[key], total[key], rtol=1e-6)


def test_means_leave_out_an_empty_segment():
    sums = {
        "loss": np.array([2.0, 6.0, 0.0]),
        "correct": np.array([1.0, 0.0, 0.0]),
        "count": np.array([2.0, 2.0, 0.0]),
    }
    means = summarise(sums)
    assert means["loss"] == 2.0
    assert means["perplexity"] == pytest.approx(np.exp(2.0))
    assert means["accuracy"] == 0.25
    assert means["loss_wyckoff"] == 3.0
    assert "loss_composition" not in means
