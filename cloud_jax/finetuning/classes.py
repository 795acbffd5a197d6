"""Targets of two classes: what a logit costs, and the probability that it stands for.

The head puts out the logit of a class where it puts out the value of a number. A
network is surer of itself than it should be, so logits are divided by one number, the
temperature that makes held-out rows most probable (Guo et al. 2017, arXiv 1706.04599,
section 4.2). It changes neither the order of crystals nor which are more probable than
a half.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.optimize import minimize_scalar
from scipy.special import expit, xlogy

from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.loop import Trained

_FEWEST_ROWS = 10  # with fewer, the temperature is noise
_HOTTEST = 20.0  # and its inverse the coldest


def fit_temperature(
    logits: Float[np.ndarray, "M n"],
    held_out: Bool[np.ndarray, "M n"],
    labels: Float[np.ndarray, " n"],
) -> float:
    """Return the temperature of held-out rows; 1 where they are too few.

    As in Platt (1999), labels are drawn to the middle by what so few rows leave open,
    so that classes that the rows happen to separate do not become certain.

    Args:
        logits: of M members.
        held_out: which members did not learn from a row.
        labels: 0 or 1, NaN where one is missing.
    """
    rows = held_out.any(axis=0) & ~np.isnan(labels)
    labels, held_out = labels[rows], held_out[:, rows]
    n_positive = labels.sum()
    n_negative = len(labels) - n_positive
    if len(labels) < _FEWEST_ROWS or not n_positive or not n_negative:
        return 1.0
    goal = np.where(
        labels == 1, (n_positive + 1) / (n_positive + 2), 1 / (n_negative + 2)
    )
    logits = np.where(held_out, logits[:, rows], 0.0)

    def loss(log_temperature: float) -> float:
        each = np.where(held_out, expit(logits / np.exp(log_temperature)), 0.0)
        mean = np.clip(each.sum(axis=0) / held_out.sum(axis=0), 1e-12, 1 - 1e-12)
        return -float(np.mean(xlogy(goal, mean) + xlogy(1 - goal, 1 - mean)))

    bounds = (-np.log(_HOTTEST), np.log(_HOTTEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def held_out_rows(job: Job, trained: Trained) -> Bool[np.ndarray, "M N"]:
    """Return which rows each member held out for validation; none with `paper`."""
    found = np.zeros(trained.raw.shape[:2], bool)
    if job.config.folds.protocol == "strict":
        for index, member in enumerate(job.members):
            found[index, member.validation] = True
    return found


def temperature(
    job: Job,
    trained: Trained,
    target: int,
    members: Sequence[int] | slice = slice(None),
) -> float:
    """Return the temperature of a target, from rows that some members held out.

    Args:
        job: with the labels.
        trained: with the logits.
        target: its index.
        members: indices of the members; all by default.
    """
    return fit_temperature(
        trained.values[members, :, target],
        held_out_rows(job, trained)[members],
        job.table.targets[:, target],
    )
