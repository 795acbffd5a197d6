import numpy as np

from cloud_jax.evaluation.coverage import coverage, inside


def test_the_ends_belong_to_an_interval():
    lower, upper = np.zeros(4), np.ones(4)
    true = np.array([0.0, 0.5, 1.0, 1.01])
    assert inside(lower, true, upper).tolist() == [True, True, True, False]


def test_coverage_is_the_share_of_each_class_that_has_labels():
    classes = ["oxides", "elements", "oxides", "oxides"]
    found = coverage(np.array([True, False, True, False]), classes)
    assert found == {
        "all": {"n": 4, "inside": 0.5},
        "elements": {"n": 1, "inside": 0.0},
        "oxides": {"n": 3, "inside": 2 / 3},
    }
    assert list(found) == ["all", "elements", "oxides"]
    assert coverage(np.zeros(0, bool), []) == {}
