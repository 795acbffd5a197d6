"""Stability of crystals from formation energies: the metrics of MatBench Discovery.

Definitions are those of matbench_discovery/metrics/discovery.py of 2026 (Riebesell et
al., Nat. Mach. Intell. 7, 836 (2025)): a crystal is stable with at most 0 eV/atom above
the hull, the border included; a crystal without prediction counts as predicted unstable
and is left out of the errors; a crystal without reference is left out. For the 10,000
most stable and for the unique prototypes, the DAF compares with the share of stable
crystals among the unique prototypes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.metrics import (
    confusion_matrix,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    roc_curve,
    root_mean_squared_error,
)

FULL, UNIQUE, MOST_STABLE = "full", "unique_prototypes", "most_stable_10k"
N_MOST_STABLE = 10_000
THRESHOLDS_EV = (-0.05, 0.0, 0.05)  # eV/atom, in Table S5
# The leaderboard (matbench_discovery/data.py) drops predictions this far off and rounds
# reference and predictions before it counts.
MAX_ERROR_EV = 5.0  # eV/atom
DECIMALS = 3

Metrics = dict[str, float | int | None]


class Curve(NamedTuple):
    """Points of a receiver operating characteristic, from (0, 0) to (1, 1).

    Attributes:
        fpr: share of the unstable crystals that are called stable.
        tpr: share of the stable crystals that are called stable.
        threshold_ev: a crystal with at most this is called stable, eV/atom.
    """

    fpr: Float[np.ndarray, " K"]
    tpr: Float[np.ndarray, " K"]
    threshold_ev: Float[np.ndarray, " K"]


def hull_distance(
    reference_hull: Float[np.ndarray, " N"],
    reference: Float[np.ndarray, " N"],
    prediction: Float[np.ndarray, " N"],
) -> Float[np.ndarray, " N"]:
    """Return the predicted distance to the hull of the reference, eV/atom.

    The hull is fixed, so that the error is that of the formation energy.

    Args:
        reference_hull: true distance to the hull, eV/atom; negative is below it.
        reference: true formation energy, eV/atom.
        prediction: predicted formation energy, eV/atom; NaN where there is none.
    """
    # The leaderboard's order of operations, for equal rounding.
    return reference_hull + prediction - reference


def without_outliers(
    reference: Float[np.ndarray, " N"], prediction: Float[np.ndarray, " N"]
) -> Float[np.ndarray, " N"]:
    """Replace predicted formation energies that are far off by NaN."""
    wrong = np.abs(prediction - reference) > MAX_ERROR_EV
    return np.where(wrong, np.nan, prediction)


def error_metrics(
    true: Float[np.ndarray, " N"], prediction: Float[np.ndarray, " N"]
) -> Metrics:
    """Measure the errors of the crystals with both a true and a predicted energy.

    Returns:
        `mae`, `rmse` (eV/atom), `r2`, the number `n` of these crystals, and the number
        `missing` without prediction. None where there is nothing to compute from.
    """
    known = np.isfinite(true)
    both = known & np.isfinite(prediction)
    true, found = true[both], prediction[both]
    n = len(true)
    return {
        "mae": float(mean_absolute_error(true, found)) if n else None,
        "rmse": float(root_mean_squared_error(true, found)) if n else None,
        "r2": float(r2_score(true, found)) if n > 1 and np.ptp(true) > 0 else None,
        "n": n,
        "missing": int(np.count_nonzero(known) - n),
    }


def classification_metrics(
    true: Float[np.ndarray, " N"],
    prediction: Float[np.ndarray, " N"],
    *,
    threshold_ev: float = 0.0,
    prevalence: float | None = None,
) -> Metrics:
    """Measure how well stable crystals are told from unstable ones.

    Args:
        true: distance to the hull, eV/atom; a crystal with at most 0 is stable.
        prediction: of the same crystals, eV/atom; NaN is predicted unstable.
        threshold_ev: a crystal predicted to have at most this is called stable. The
            labels keep 0, as in Table S5 of the paper.
        prevalence: share of stable crystals that the DAF compares with; by default
            that of these crystals.

    Returns:
        `f1`, `daf` (discovery acceleration factor), `precision`, `recall`, `accuracy`,
        `tpr` (the recall), `fpr`, `tnr`, `fnr`, and the counts `tp`, `fp`, `tn`, `fn`.
        None where a ratio has no denominator.
    """
    known = np.isfinite(true)
    stable, called = true[known] <= 0, prediction[known] <= threshold_ev
    (tn, fp), (fn, tp) = confusion_matrix(stable, called, labels=[False, True]).tolist()
    precision, recall = _ratio(tp, tp + fp), _ratio(tp, tp + fn)
    if prevalence is None:
        prevalence = _ratio(tp + fn, len(stable))
    return {
        # Without a true positive there is no F1 on the leaderboard.
        "f1": _ratio(2 * tp, 2 * tp + fp + fn) if tp else None,
        "daf": _ratio(precision, prevalence) if precision is not None else None,
        "precision": precision,
        "recall": recall,
        "accuracy": _ratio(tp + tn, len(stable)),
        "tpr": recall,
        "fpr": _ratio(fp, fp + tn),
        "tnr": _ratio(tn, fp + tn),
        "fnr": _ratio(fn, tp + fn),
        "tp": tp,
        "fp": fp,
        "tn": tn,
        "fn": fn,
    }


def _ratio(part: float, whole: float | None) -> float | None:
    return part / whole if whole else None


def stable_share(true: Float[np.ndarray, " N"]) -> float | None:
    """Return the share of stable crystals; None without any true distance."""
    known = true[np.isfinite(true)]
    return float((known <= 0).mean()) if len(known) else None


def stability(
    true: Float[np.ndarray, " N"],
    prediction: Float[np.ndarray, " N"],
    unique: Bool[np.ndarray, " N"] | None = None,
) -> dict[str, Metrics]:
    """Compute all metrics on each set of crystals.

    Args:
        true: distance to the hull, eV/atom.
        prediction: of the same crystals, eV/atom; NaN where there is none.
        unique: whether a crystal's prototype is in neither Materials Project nor an
            earlier crystal; None where that is not known.

    Returns:
        {set: metrics} for `full`, and with `unique` for `unique_prototypes` and
        `most_stable_10k`: the metrics of `classification_metrics` and `error_metrics`,
        `roc_auc` and `prevalence`.
    """
    sets: dict[str, Int[np.ndarray, " M"]] = {FULL: np.arange(len(true))}
    share = None
    if unique is not None:
        sets |= {UNIQUE: np.flatnonzero(unique)}
        share = stable_share(true[unique])
        # Stable sorting, missing last: what pandas' nsmallest takes.
        order = np.argsort(prediction[unique], kind="stable")
        sets |= {MOST_STABLE: sets[UNIQUE][order[:N_MOST_STABLE]]}
    return {
        name: _all_metrics(
            true[rows], prediction[rows], None if name == FULL else share
        )
        for name, rows in sets.items()
    }


def _all_metrics(
    true: Float[np.ndarray, " N"],
    prediction: Float[np.ndarray, " N"],
    prevalence: float | None,
) -> Metrics:
    return {
        **classification_metrics(true, prediction, prevalence=prevalence),
        **error_metrics(true, prediction),
        "roc_auc": roc_auc(true, prediction),
        "prevalence": stable_share(true),
    }


def sweep(
    true: Float[np.ndarray, " N"],
    prediction: Float[np.ndarray, " N"],
    thresholds_ev: Sequence[float] = THRESHOLDS_EV,
) -> list[Metrics]:
    """Classify at several thresholds of the prediction (Table S5)."""
    return [
        {"threshold_ev": float(threshold)}
        | classification_metrics(true, prediction, threshold_ev=float(threshold))
        for threshold in thresholds_ev
    ]


def roc_auc(
    true: Float[np.ndarray, " N"], prediction: Float[np.ndarray, " N"]
) -> float | None:
    """Return the area under the curve; None if all crystals are stable, or none is."""
    stable, score = _scored(true, prediction)
    if not 0 < np.count_nonzero(stable) < len(stable):
        return None
    return float(roc_auc_score(stable, score))


def roc_points(
    true: Float[np.ndarray, " N"], prediction: Float[np.ndarray, " N"]
) -> Curve:
    """Return the curve over crystals with a prediction; both classes must occur."""
    fpr, tpr, score = roc_curve(*_scored(true, prediction))
    return Curve(fpr, tpr, -score)


def _scored(
    true: Float[np.ndarray, " N"], prediction: Float[np.ndarray, " N"]
) -> tuple[Bool[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    both = np.isfinite(true) & np.isfinite(prediction)
    return true[both] <= 0, -prediction[both]
