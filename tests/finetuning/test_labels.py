"""Labels: statistics of those that are there, and what float32 keeps of them."""

import numpy as np
import pytest

from cloud_jax.finetuning.folds import FoldError
from cloud_jax.finetuning.labels import fit_scaling, label_counts, make_frame

NAN = np.nan


def test_scaling_looks_at_training_rows_only():
    labels = np.array([[1.0, 10], [3, 30], [1e9, NAN]])
    scaling = fit_scaling(labels, np.array([0, 1]), ("a", "b"))
    assert scaling.mean.tolist() == [2, 20]
    assert scaling.std.tolist() == [1, 10]
    assert scaling.mad.tolist() == [1, 10]


def test_scaling_looks_at_the_labels_that_are_there():
    labels = np.array([[1.0, NAN], [3, 30], [NAN, 10], [8, NAN]])
    scaling = fit_scaling(labels, np.arange(4), ("a", "b"))
    assert scaling.mean.tolist() == [4, 20]
    assert scaling.std.tolist() == [np.std([1, 3, 8]), 10]
    assert scaling.mad.tolist() == [np.mean([3, 1, 4]), 10]
    assert label_counts(labels, ("a", "b")) == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([5.0, 5, 6], "target b: found 5 in all 2 training rows"),
        ([5.0, NAN, 6], "target b: found 5 in all 1 training rows with a label"),
        ([NAN, NAN, 6], "target b: found no label in 2 training rows"),
    ],
)
def test_a_target_without_two_different_training_labels_is_refused(column, message):
    labels = np.column_stack([[1.0, 2, 3], column])
    with pytest.raises(FoldError, match=message):
        fit_scaling(labels, np.array([0, 1]), ("a", "b"))


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1.0, 0.0), (1e-9, 0.0), (1e9, 0.0), (1.0, 30.0), (1e-3, -0.04)],
)
def test_usual_labels_stay_as_they_are_to_the_bit(scale, offset):
    labels = scale * np.random.default_rng(0).normal(size=(50, 2)) + offset
    labels[3, 1] = NAN
    frame = make_frame(labels, absolute=False)
    assert (frame.offset.tolist(), frame.unit.tolist()) == ([0, 0], [1, 1])
    assert np.array_equal(frame.enter(labels), labels, equal_nan=True)


@pytest.mark.parametrize(
    ("scale", "offset"),
    [(1.0, 1e9), (1.0, -1e8), (1e-6, 1.0), (1e60, 0.0), (1e-60, 0.0), (1e-40, 1e-33)],
)
def test_labels_that_float32_does_not_hold_are_moved_into_its_reach(scale, offset):
    labels = scale * np.random.default_rng(0).normal(size=(50, 1)) + offset
    labels[3] = NAN
    frame = make_frame(labels, absolute=False)
    single = frame.enter(labels).astype(np.float32).astype(float)
    error = np.nanmax(np.abs(frame.leave(single) - labels))
    assert error < 1e-4 * np.nanstd(labels / scale) * scale
    frame = make_frame(labels, absolute=True)
    assert (frame.offset.tolist(), frame.unit.tolist()) == ([0], [1])
