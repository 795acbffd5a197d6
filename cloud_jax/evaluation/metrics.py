"""Errors of predictions over rows, and their statistics over folds."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

_METRICS = ("mae", "rmse", "r2", "mae_over_mad_train_mean", "mae_over_mad_test_mean")
CLASS_METRICS = (
    "roc_auc", "balanced_accuracy", "accuracy", "log_loss",
    "expected_calibration_error",
)  # fmt: skip
_BINS = 10  # of the calibration error, as in Guo et al. 2017


def regression_metrics(
    prediction: Float[np.ndarray, " N"],
    target: Float[np.ndarray, " N"],
    *,
    training_mean: float,
) -> dict[str, float | int | None]:
    """Measure the errors of one target over the rows of one fold.

    Args:
        prediction: in the units of the target.
        target: of the same rows; NaN where a row has no label and does not count.
        training_mean: mean of the target over the training rows.

    Returns:
        `mae`, `rmse` (units of the target), `r2`, the number `n` of labels, and the MAE
        divided by the mean absolute deviation (MAD) of the test targets.
        `mae_over_mad_train_mean` takes the deviation from the mean of the training
        rows, as the CLOUD reference code does; `mae_over_mad_test_mean` from the mean
        of the test rows, as eq. 20 of the paper reads. None where all test targets are
        equal, so that the MAD is 0; all but `n` are None where no row has a label.

    Raises:
        ValueError: a prediction is not a finite number, or lengths differ.
    """
    prediction, target = (np.asarray(x, dtype=float) for x in (prediction, target))
    if bad := np.count_nonzero(~np.isfinite(prediction)):
        raise ValueError(
            f"{bad} of {len(prediction)} predictions are not finite numbers"
        )
    known = ~np.isnan(target)
    if not known.any():
        return dict.fromkeys(_METRICS) | {"n": 0}
    prediction, target = prediction[known], target[known]
    mae = float(mean_absolute_error(target, prediction))

    def over_mad(mean: float) -> float | None:
        mad = float(np.abs(target - mean).mean())
        return mae / mad if mad > 0 else None

    return {
        "mae": mae,
        "rmse": float(root_mean_squared_error(target, prediction)),
        "r2": float(r2_score(target, prediction)) if np.ptp(target) > 0 else None,
        "mae_over_mad_train_mean": over_mad(training_mean),
        "mae_over_mad_test_mean": over_mad(float(target.mean())),
        "n": len(target),
    }


def classification_metrics(
    probability: Float[np.ndarray, " N"], label: Float[np.ndarray, " N"]
) -> dict[str, float | int | None]:
    """Measure the probabilities of a class over the rows of one fold.

    Args:
        probability: of the class.
        label: 1 for the class and 0 for the other, NaN where a row has no label and
            does not count.

    Returns:
        `roc_auc`; `balanced_accuracy` and `accuracy` of a threshold of 0.5; `log_loss`
        in nats; `expected_calibration_error`, the mean difference between probability
        and share over ten bins of equal width (Guo et al. 2017, arXiv 1706.04599, eq.
        3); and the number `n` of labels. All but `n` are None where no row has a
        label, the first two also where all have the same.

    Raises:
        ValueError: a probability is not between 0 and 1, or lengths differ.
    """
    probability, label = (np.asarray(x, dtype=float) for x in (probability, label))
    if bad := np.count_nonzero(~((probability >= 0) & (probability <= 1))):
        raise ValueError(
            f"{bad} of {len(probability)} probabilities are not between 0 and 1"
        )
    known = ~np.isnan(label)
    if not known.any():
        return dict.fromkeys(CLASS_METRICS) | {"n": 0}
    probability, label = probability[known], label[known].astype(int)
    taken, both = probability >= 0.5, np.ptp(label) > 0
    return {
        "roc_auc": float(roc_auc_score(label, probability)) if both else None,
        "balanced_accuracy": (
            float(balanced_accuracy_score(label, taken)) if both else None
        ),
        "accuracy": float(accuracy_score(label, taken)),
        "log_loss": float(log_loss(label, probability, labels=[0, 1])),
        "expected_calibration_error": float(
            sum(
                n * abs(predicted - found)
                for predicted, found, n in reliability(probability, label)
            )
            / len(label)
        ),
        "n": len(label),
    }


def reliability(
    probability: Float[np.ndarray, " N"], label: Float[np.ndarray, " N"]
) -> list[tuple[float, float, int]]:
    """Return mean probability, share of the class and number of rows, by bin."""
    which = np.minimum((probability * _BINS).astype(int), _BINS - 1)
    return [
        (
            float(probability[which == i].mean()),
            float(label[which == i].mean()),
            int((which == i).sum()),
        )
        for i in np.unique(which)
    ]


def over_folds(
    metrics: Sequence[Mapping[str, float | int | None]],
    *,
    ddof: int = 0,
    extremes: bool = False,
) -> dict[str, dict[str, float | None]]:
    """Compute the mean and the standard deviation of each number over folds.

    Each fold counts the same; those whose `n` is 0 do not. The deviation is divided by
    the number of folds, as MatBench does.

    Args:
        metrics: numbers of each fold, by name; `n` is left out.
        ddof: 1 for the deviation of a sample, of seeds for instance.
        extremes: whether to add the greatest and the least.

    Returns:
        {name: {"mean", "std"}}, with `extremes` {"mean", "max", "min", "std"}; None
        where a fold has None, `std` also where there is only one fold.
    """
    statistics = {"mean": np.mean}
    if extremes:
        statistics |= {"max": np.max, "min": np.min}
    summary = {}
    for name in metrics[0]:
        if name == "n":
            continue
        values = [fold[name] for fold in metrics if fold.get("n") != 0]
        known = bool(values) and None not in values
        summary[name] = {
            what: float(of(values)) if known else None
            for what, of in statistics.items()
        }
        spread = known and len(values) > 1
        summary[name]["std"] = float(np.std(values, ddof=ddof)) if spread else None
    return summary
