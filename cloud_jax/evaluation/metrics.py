"""How good predictions are: errors over rows, and their mean over folds."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from sklearn.metrics import (
    mean_absolute_error,
    r2_score,
    root_mean_squared_error,
)


def regression_metrics(
    prediction: Float[np.ndarray, " N"],
    target: Float[np.ndarray, " N"],
    *,
    training_mean: float,
) -> dict[str, float | int | None]:
    """Measure the errors of one target over the rows of one fold.

    Args:
        prediction: in the units of the target.
        target: of the same rows, two at least.
        training_mean: mean of the target over the rows that were trained on.

    Returns:
        `mae`, `rmse` (units of the target), `r2`, `n`, and the MAE in parts of the
        mean absolute deviation of the test targets: `mae_over_mad_train_mean` from the
        mean of the training rows, as the CLOUD reference code does it, and
        `mae_over_mad_test_mean` from their own mean, as eq. 20 of the paper reads.
        None where all test targets are the same and there is nothing to divide by.

    Raises:
        ValueError: a prediction is not a finite number, or lengths differ.
    """
    prediction, target = (np.asarray(x, dtype=float) for x in (prediction, target))
    if bad := np.count_nonzero(~np.isfinite(prediction)):
        raise ValueError(f"{bad} of {len(prediction)} predictions are no finite number")
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


def over_folds(
    metrics: Sequence[dict[str, float | int | None]], *, ddof: int = 0
) -> dict[str, dict]:
    """Mean and standard deviation of each number over folds.

    Each fold counts the same, and the deviation is that of the folds at hand (divided
    by their number, as MatBench does it).

    Args:
        metrics: of each fold what `regression_metrics` gave.
        ddof: 1 for the deviation of a sample, of seeds for instance.

    Returns:
        {name: {"mean", "std"}}; None where a fold has None, `std` also where there is
        one fold only.
    """
    summary = {}
    for name in metrics[0]:
        if name == "n":
            continue
        values = [fold[name] for fold in metrics]
        known = None not in values
        summary[name] = {
            "mean": float(np.mean(values)) if known else None,
            "std": float(np.std(values, ddof=ddof))
            if known and len(values) > 1
            else None,
        }
    return summary
