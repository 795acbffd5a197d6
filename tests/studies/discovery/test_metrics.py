"""Stability metrics: twenty crystals worked by hand, scikit-learn, invariances."""

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from cloud_jax.studies.discovery import metrics as discovery

# True and predicted distance to the hull (eV/atom; None: no prediction), and whether
# the prototype is unique. Borders are among them: 0 is stable, and so is a prediction
# that is equal to the threshold.
CRYSTALS = [
    (-0.30, -0.30, True),  # stable, and found at 0
    (-0.10, -0.06, True),
    (-0.02, -0.04, True),
    (0.00, 0.00, False),
    (-0.05, 0.03, True),  # stable, and missed at 0
    (-0.01, 0.05, True),
    (-0.04, 0.20, False),
    (-0.20, None, True),
    (0.01, -0.05, True),  # unstable, and a false alarm at 0
    (0.02, -0.01, False),
    (0.06, 0.00, True),
    (0.03, 0.04, True),  # unstable, and known to be
    (0.08, 0.05, False),
    (0.10, 0.07, True),
    (0.15, 0.15, True),
    (0.20, 0.30, False),
    (0.25, 0.18, True),
    (0.40, 0.50, True),
    (0.05, None, True),
    (0.001, 0.20, False),
]
TRUE, FOUND = (np.array(x, dtype=float) for x in list(zip(*CRYSTALS, strict=True))[:2])
UNIQUE = np.array([row[2] for row in CRYSTALS])
COUNTS = {  # threshold: tp, fp, tn, fn
    -0.05: (2, 1, 11, 6),
    0.0: (4, 3, 9, 4),
    0.05: (6, 5, 7, 2),
}


def exact(expected):
    return pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_every_cell_of_the_full_set():
    expected = {
        "f1": 8 / 15,
        "daf": (4 / 7) / (8 / 20),
        "precision": 4 / 7,
        "recall": 1 / 2,
        "accuracy": 13 / 20,
        "tpr": 1 / 2,
        "fpr": 1 / 4,
        "tnr": 3 / 4,
        "fnr": 1 / 2,
        "tp": 4,
        "fp": 3,
        "tn": 9,
        "fn": 4,
        # 18 crystals have a prediction.
        "mae": 1.129 / 18,
        "rmse": (0.144101 / 18) ** 0.5,
        "r2": 1 - 0.144101 / (0.411001 - 0.781**2 / 18),
        "n": 18,
        "missing": 2,
        # Of 7 x 11 pairs, ties as halves.
        "roc_auc": (11 + 11 + 10 + 8.5 + 8 + 6.5 + 2.5) / 77,
        "prevalence": 8 / 20,
    }
    found = discovery.stability(TRUE, FOUND)
    assert found == {"full": exact(expected)}
    assert all(isinstance(found["full"][key], int) for key in ("tp", "fn", "n"))


def test_sets_compare_with_the_share_among_the_unique(monkeypatch):
    monkeypatch.setattr(discovery, "N_MOST_STABLE", 5)
    found = discovery.stability(TRUE, FOUND, UNIQUE)
    cells = ("tp", "fp", "tn", "fn", "missing")
    assert [found["unique_prototypes"][x] for x in cells] == [3, 2, 6, 3, 2]
    assert found["unique_prototypes"]["daf"] == exact((3 / 5) / (6 / 14))
    assert found["unique_prototypes"]["f1"] == exact(6 / 11)
    assert found["unique_prototypes"]["prevalence"] == exact(6 / 14)
    # -0.30, -0.06, -0.05, -0.04, 0.00: all of them are called stable.
    most = found["most_stable_10k"]
    assert [most[x] for x in cells] == [3, 2, 0, 0, 0]
    assert most["daf"] == exact((3 / 5) / (6 / 14))
    assert (most["recall"], most["fpr"], most["tnr"]) == (1, 1, 0)
    assert most["mae"] == exact((0 + 0.04 + 0.06 + 0.02 + 0.06) / 5)
    assert found["full"]["daf"] == exact((4 / 7) / (8 / 20))


def test_missing_predictions_are_the_last_of_the_most_stable(monkeypatch):
    monkeypatch.setattr(discovery, "N_MOST_STABLE", 13)
    found = discovery.stability(TRUE, FOUND, UNIQUE)["most_stable_10k"]
    assert (found["n"], found["missing"]) == (12, 1)


@pytest.mark.parametrize("threshold", COUNTS)
def test_the_threshold_moves_the_prediction_and_not_the_label(threshold):
    (found,) = discovery.sweep(TRUE, FOUND, [threshold])
    tp, fp, tn, fn = COUNTS[threshold]
    assert [found[x] for x in ("tp", "fp", "tn", "fn")] == [tp, fp, tn, fn]
    assert found["threshold_ev"] == threshold
    assert found["daf"] == exact(tp / (tp + fp) / 0.4)
    assert found["tpr"] + found["fnr"] == exact(1)
    assert found["fpr"] + found["tnr"] == exact(1)


@pytest.fixture(scope="module")
def many():
    rng = np.random.default_rng(0)
    true = rng.normal(0.1, 0.2, 3000)
    return true, true + rng.normal(0, 0.1, 3000)


def test_agreement_with_scikit_learn(many):
    true, found = many
    stable, called = true <= 0, found <= 0.02
    metrics = discovery.classification_metrics(true, found, threshold_ev=0.02)
    for name in ("precision", "recall", "f1", "accuracy"):
        score = getattr(sklearn_metrics, f"{name}_score")
        assert metrics[name] == exact(score(stable, called))
    tn, fp, fn, tp = sklearn_metrics.confusion_matrix(stable, called).ravel()
    assert [metrics[x] for x in ("tn", "fp", "fn", "tp")] == [tn, fp, fn, tp]
    full = discovery.stability(true, found)["full"]
    assert full["roc_auc"] == exact(sklearn_metrics.roc_auc_score(stable, -found))
    assert full["r2"] == exact(sklearn_metrics.r2_score(true, found))


def test_the_area_is_that_below_the_points_and_the_sweep_lies_on_them(many):
    curve = discovery.roc_points(*many)
    area = np.trapezoid(curve.tpr, curve.fpr)
    assert area == exact(discovery.roc_auc(*many))
    for point in discovery.sweep(*many):
        height = np.interp(point["fpr"], curve.fpr, curve.tpr)
        assert height == pytest.approx(point["tpr"], abs=2e-3)  # corners are left out


def test_the_order_of_crystals_does_not_matter(monkeypatch):
    monkeypatch.setattr(discovery, "N_MOST_STABLE", 4)
    order = np.random.default_rng(1).permutation(len(TRUE))
    shuffled = discovery.stability(TRUE[order], FOUND[order], UNIQUE[order])
    expected = discovery.stability(TRUE, FOUND, UNIQUE)
    assert shuffled.keys() == expected.keys()
    for name, row in expected.items():
        assert shuffled[name] == exact(row)


def test_a_missing_prediction_counts_as_unstable_and_a_missing_label_not():
    far = np.where(np.isnan(FOUND), 9.0, FOUND)
    assert discovery.classification_metrics(
        TRUE, far
    ) == discovery.classification_metrics(TRUE, FOUND)
    more = np.append(TRUE, [np.nan, np.nan]), np.append(FOUND, [-1.0, np.nan])
    assert discovery.stability(*more) == discovery.stability(TRUE, FOUND)


def test_the_error_of_the_distance_is_that_of_the_formation_energy(many):
    hull, energy = many[0], np.linspace(-3, 1, 3000)
    prediction = energy + np.sin(np.arange(3000))
    distance = discovery.hull_distance(hull, energy, prediction)
    ours = discovery.error_metrics(hull, distance)
    theirs = discovery.error_metrics(energy, prediction)
    assert (ours["mae"], ours["rmse"]) == exact((theirs["mae"], theirs["rmse"]))
    assert ours["r2"] < theirs["r2"]  # distances vary less


def test_outliers_are_taken_for_missing():
    prediction = np.array([5.0, 5.25, -5.25, np.nan, 0.0])
    kept = discovery.without_outliers(np.zeros(5), prediction)
    np.testing.assert_array_equal(kept, [5.0, np.nan, np.nan, np.nan, 0.0])


def test_what_has_no_denominator_is_none():
    high = np.array([0.1, 0.2, 0.3])
    found = discovery.stability(high, high)["full"]  # nothing is stable or called so
    for name in ("precision", "recall", "f1", "daf", "tpr", "fnr", "roc_auc"):
        assert found[name] is None
    assert (found["accuracy"], found["tnr"], found["fpr"]) == (1, 1, 0)
    found = discovery.stability(-high, high)["full"]  # all stable, none called so
    assert (found["recall"], found["precision"], found["fpr"]) == (0, None, None)
    wrong = discovery.stability(np.append(-high, 1.0), -np.append(-high, 1.0))["full"]
    assert (wrong["precision"], wrong["daf"], wrong["f1"]) == (0, 0, None)
    empty = discovery.stability(high, np.full(3, np.nan))["full"]
    assert (empty["mae"], empty["n"], empty["missing"]) == (None, 0, 3)
    assert discovery.error_metrics(high[:1], high[:1])["r2"] is None
