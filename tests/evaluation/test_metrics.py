"""Errors of predictions, by hand-made numbers."""

import numpy as np
import pytest

from cloud_jax.evaluation.metrics import over_folds, regression_metrics


def test_the_numbers_of_three_rows():
    found = regression_metrics([1, 3, 8], [1, 2, 6], training_mean=2)
    # Errors 0, 1, 2; deviations from 2: 1, 0, 4; from the test mean 3: 2, 1, 3.
    assert found == {
        "mae": pytest.approx(1.0),
        "rmse": pytest.approx((5 / 3) ** 0.5),
        "r2": pytest.approx(1 - 5 / 14),
        "mae_over_mad_train_mean": pytest.approx(3 / 5),
        "mae_over_mad_test_mean": pytest.approx(3 / 6),
        "n": 3,
    }


def test_predicting_the_training_mean_is_one_by_the_first_definition():
    target = np.array([1.0, 2, 6])
    found = regression_metrics(np.full(3, 2.0), target, training_mean=2.0)
    assert found["mae_over_mad_train_mean"] == 1


def test_equal_test_targets_have_no_deviation_to_divide_by():
    found = regression_metrics([1, 3], [2, 2], training_mean=2)
    assert found["mae"] == 1
    undefined = ("r2", "mae_over_mad_train_mean", "mae_over_mad_test_mean")
    assert [found[name] for name in undefined] == [None] * 3


def test_a_prediction_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="1 of 2 predictions are not finite numbers"):
        regression_metrics([1, np.nan], [1, 2], training_mean=0)


def test_rows_without_a_label_do_not_count():
    labels = [1, np.nan, 2, 6]
    found = regression_metrics([1, 5, 3, 8], labels, training_mean=2)
    assert found == regression_metrics([1, 3, 8], [1, 2, 6], training_mean=2)
    empty = regression_metrics([1, 3], [np.nan] * 2, training_mean=2)
    assert empty.pop("n") == 0
    assert empty == dict.fromkeys(set(found) - {"n"})
    assert over_folds([found, found | {"mae": 3.0}, empty | {"n": 0}])["mae"] == {
        "mean": 2.0,
        "std": 1.0,
    }
    assert over_folds([empty | {"n": 0}])["mae"] == {"mean": None, "std": None}


def test_folds_count_the_same_whatever_their_size():
    folds = [{"mae": 1.0, "r2": 0.5, "n": 10}, {"mae": 3.0, "r2": None, "n": 90}]
    assert over_folds(folds) == {
        "mae": {"mean": 2.0, "std": 1.0},
        "r2": {"mean": None, "std": None},
    }
    assert over_folds(folds[:1])["mae"] == {"mean": 1.0, "std": None}
