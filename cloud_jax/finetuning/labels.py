"""Labels: how many there are, how they scale, and how float32 holds them.

Labels are [N, P], N rows of a table and P targets; NaN where a row has none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import logit, xlogy

from cloud_jax.finetuning.folds import FoldError


class Frame(NamedTuple):
    """Offset and unit with which float32 holds the labels, one per target each.

    float32 has seven digits, so that of 1e9 + 12.3 nothing is left behind the point.

    Attributes:
        offset: to subtract from labels.
        unit: to divide them by then.
    """

    offset: Float[np.ndarray, " P"]
    unit: Float[np.ndarray, " P"]

    def enter(self, labels: Float[np.ndarray, "*N P"]) -> Float[np.ndarray, "*N P"]:
        """Return labels in this frame."""
        return (labels - self.offset) / self.unit

    def leave(self, values: Float[np.ndarray, "*N P"]) -> Float[np.ndarray, "*N P"]:
        """Return values of this frame in the units of the table."""
        return values * self.unit + self.offset


def make_frame(labels: Float[np.ndarray, "N P"], *, absolute: bool) -> Frame:
    """Return the frame of labels: no offset and a unit of 1 where they do without.

    Both are rounded so coarsely that usual labels stay as they are. Test rows count,
    as nothing but the rounding depends on the frame.

    Args:
        labels: each column with two different ones.
        absolute: whether the zero and the unit have a meaning, as for a law.
    """
    n_targets = labels.shape[1]
    if absolute:
        return Frame(np.zeros(n_targets), np.ones(n_targets))
    low, high = np.nanmin(labels, axis=0), np.nanmax(labels, axis=0)
    step = 100 * (high - low)
    # A power of two, so that dividing by it rounds nothing.
    unit = 2.0 ** (64 * np.round(np.log2(high - low) / 64))
    return Frame(step * np.round((low + high) / 2 / step), unit)


class Scaling(NamedTuple):
    """Statistics of training rows, one number per target each.

    Attributes:
        mean: by which targets are centred; of a class, the logit of its share.
        std: standard deviation, by which they are scaled; of a class, 1.
        mad: mean absolute deviation; of a class, the entropy of its share: the loss of
            a model that puts out the mean.
    """

    mean: Float[np.ndarray, " P"]
    std: Float[np.ndarray, " P"]
    mad: Float[np.ndarray, " P"]


def fit_scaling(
    labels: Float[np.ndarray, "N P"],
    train: Int[np.ndarray, " n"],
    names: Sequence[str],
    classes: Bool[np.ndarray, " P"] | None = None,
) -> Scaling:
    """Return the statistics of the labels of some rows.

    Args:
        labels: of the whole table.
        train: rows to measure.
        names: of the targets, for the error.
        classes: which targets are classes, with labels 0 and 1; none by default.

    Raises:
        FoldError: a target has no label, or the same in all of them.
    """
    rows = labels[train]
    for name, column in zip(names, rows.T, strict=True):
        known = column[np.isfinite(column)]
        if not len(known):
            raise FoldError(
                f"target {name}: found no label in {len(rows)} training rows, expected "
                "at least two: leave the target out, or choose other folds"
            )
        if np.ptp(known) == 0:
            raise FoldError(
                f"target {name}: found {known[0]:g} in all {len(known)} training rows "
                "with a label, expected more than one value"
            )
    mean = np.nanmean(rows, axis=0)
    mad = np.nanmean(np.abs(rows - mean), axis=0)
    std = np.nanstd(rows, axis=0)
    if classes is not None and classes.any():
        share = np.where(classes, mean, 0.5)
        mean = np.where(classes, logit(share), mean)
        std, mad = np.where(classes, 1.0, std), np.where(classes, entropy(share), mad)
    return Scaling(mean, std, mad)


def entropy(share: Float[np.ndarray, " P"]) -> Float[np.ndarray, " P"]:
    """Return the cross-entropy, in nats, of rows that all get the share of a class."""
    return -xlogy(share, share) - xlogy(1 - share, 1 - share)


def label_counts(
    labels: Float[np.ndarray, "N P"], names: Sequence[str]
) -> dict[str, int]:
    """Return {target: number of rows that have its label}."""
    counts = np.count_nonzero(~np.isnan(labels), axis=0)
    return dict(zip(names, counts.tolist(), strict=True))
