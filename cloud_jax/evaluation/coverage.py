"""Shares of labels inside their intervals, by property, temperature and elements."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float


def inside(
    lower: Float[np.ndarray, " n"],
    true: Float[np.ndarray, " n"],
    upper: Float[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Return which labels lie in their intervals, ends included."""
    return (lower <= true) & (true <= upper)


def coverage(
    is_inside: Bool[np.ndarray, " n"], classes: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Return the share of labels inside their intervals, of all and by class.

    Args:
        is_inside: of labels of one property at one temperature, from `inside`.
        classes: one per label, such as `structures.element_classes` gives.

    Returns:
        {class: {"n": labels, "inside": share}}, `all` first.
    """
    is_inside, classes = np.asarray(is_inside), np.asarray(classes)
    groups = {"all": np.ones(len(is_inside), bool)}
    groups |= {name: classes == name for name in sorted(set(classes.tolist()))}
    return {
        name: {"n": int(group.sum()), "inside": float(is_inside[group].mean())}
        for name, group in groups.items()
        if group.any()
    }
