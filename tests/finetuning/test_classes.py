"""Two classes: what they cost, how sure they may be, and what is refused."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import log_loss

from cloud_jax.evaluation.metrics import classification_metrics, reliability
from cloud_jax.finetuning.classes import fit_temperature
from cloud_jax.finetuning.labels import fit_scaling, make_frame
from cloud_jax.finetuning.rows import Row, TableError
from cloud_jax.finetuning.steps import Labels, Scale, target_losses
from cloud_jax.finetuning.table import TableSpec, number_classes
from cloud_jax.finetuning.targets import Target, prediction, property_of

METAL = Target("metal", "probability of metal", "", "", None, positive="true")
CLASSES = np.array([False, True])


def test_the_share_of_a_class_costs_one_as_the_mean_of_numbers_does():
    labels = np.array([[1.0, 1.0], [3.0, 0.0], [5.0, 0.0], [7.0, np.nan]])
    scaling = fit_scaling(labels, np.arange(4), ["y", "metal"], CLASSES)
    assert make_frame(labels, absolute=False).unit.tolist() == [1.0, 1.0]
    settings = SimpleNamespace(
        predict=prediction(None, [METAL, METAL]),
        labels=Labels(jnp.asarray(labels), jnp.ones((4, 2))),
        loss="l1",
        classes=CLASSES,
    )
    raw = jnp.zeros((4, 1, 2))  # the head as it starts, but for its random weights
    scale = Scale(*map(jnp.asarray, scaling))
    losses = np.asarray(target_losses(settings, raw, jnp.arange(4)[:, None], scale))
    assert losses[:, 0, 0].mean() == pytest.approx(1)
    assert losses[:3, 0, 1].mean() == pytest.approx(1)
    assert losses[3, 0, 1] == 0  # no label, also of the gradient
    slope = jax.grad(
        lambda raw: target_losses(settings, raw, jnp.arange(4)[:, None], scale).sum()
    )(raw)
    assert np.isfinite(slope).all()
    assert slope[3, 0, 1] == 0
    assert slope[0, 0, 1] == pytest.approx((1 / 3 - 1) / scaling.mad[1])
    third = log_loss([1, 0, 0], [1 / 3] * 3)
    assert scaling.mad[1] == pytest.approx(third)


def test_the_temperature_is_that_of_logits_that_are_too_large():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, 4000)
    labels = (rng.random(4000) < expit(logits)).astype(float)
    everyone = np.ones((1, 4000), bool)
    assert fit_temperature(3 * logits[None], everyone, labels) == pytest.approx(
        3, rel=0.1
    )
    # A member that learned from a row says nothing of it.
    both = np.stack([3 * logits, 99 * (2 * labels - 1)])
    held_out = np.stack([everyone[0], ~everyone[0]])
    alone = fit_temperature(3 * logits[None], everyone, labels)
    assert fit_temperature(both, held_out, labels) == alone


def test_few_rows_do_not_make_a_class_certain():
    logits = np.linspace(-1, 1, 12)[None]
    labels = (logits[0] > 0).astype(float)  # separated
    there = np.ones((1, 12), bool)
    found = expit(logits / fit_temperature(logits, there, labels))
    assert 0.8 < found.max() < 0.99
    assert fit_temperature(logits[:, :9], there[:, :9], labels[:9]) == 1
    assert fit_temperature(logits, there, np.zeros(12)) == 1
    assert fit_temperature(logits, ~there, labels) == 1


def test_metrics_of_a_class_by_hand():
    found = classification_metrics(
        np.array([0.9, 0.8, 0.3, 0.6, 0.2]), np.array([1, 1, 1, 0, np.nan])
    )
    assert found["n"] == 4
    assert found["roc_auc"] == pytest.approx(2 / 3)
    assert found["balanced_accuracy"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["log_loss"] == pytest.approx(-np.log([0.9, 0.8, 0.3, 0.4]).mean())
    error = (0.1 + 0.2 + 0.7 + 0.6) / 4
    assert found["expected_calibration_error"] == pytest.approx(error)
    assert reliability(np.array([1.0, 0.91]), np.array([1, 0])) == [
        (pytest.approx(0.955), 0.5, 2)
    ]
    one_class = classification_metrics(np.array([0.4, 0.7]), np.ones(2))
    assert (one_class["roc_auc"], one_class["accuracy"]) == (None, 0.5)
    assert classification_metrics(np.ones(2), np.full(2, np.nan))["n"] == 0
    with pytest.raises(ValueError, match="1 of 2 probabilities"):
        classification_metrics(np.array([0.4, 1.2]), np.ones(2))


def rows(*words):
    return [Row(i, i + 2, targets=[word, 1.0]) for i, word in enumerate(words)]


def spec(positive):
    return TableSpec(
        "t.csv", "id", ("metal", "y"), positives=(positive, ""), scope_column="s"
    )


def test_words_of_classes_become_numbers():
    found = rows("true", "false", "n/a", "true")
    assert number_classes(spec("True"), found) == {"metal": ("false", "true")}
    assert [row.targets[0] for row in found[:2]] == [1.0, 0.0]
    assert np.isnan(found[2].targets[0])
    assert {row.targets[1] for row in found} == {1.0}
    with pytest.raises(TableError, match=r"'true' \(1\), expected 'True'"):
        number_classes(spec("True"), rows("true"))
    with pytest.raises(TableError, match=r"expected .metal. .config"):
        number_classes(spec("metal"), rows("true", "false"))


def test_a_probability_is_named_by_what_is_true():
    assert property_of("is_metal", "true") == "probability of is_metal"
    assert property_of("phase", "cubic") == "probability of cubic"
    assert property_of("gap", "") == "gap"
