"""Widths of prediction intervals: split-conformal quantiles from validation rows.

A row's residual is that of the mean over the members that held the row out: they did
not learn from it, though they chose their best epoch with it and others. For a
regression it is |predicted - true|. For a law it is |ln s|, where s is the factor on
all characteristic temperatures at which the prediction equals the label: one number
that moves every property at every temperature.

Where a model has a law and enough such rows, a residual is divided by how much
residuals grow with the distance from the training rows (`novelty.fit_widening`): the
intervals of new crystals are wider by that (locally weighted conformal prediction, Lei
et al. 2018, arXiv 1604.04173, section 5.2).

The quantile is that of n + 1 rows (Vovk et al. 2005; Angelopoulos & Bates 2021, arXiv
2107.07511, section 1). The stated level is nominal: it holds for the label's property
and temperature, and cautiously, since the mean of all members errs less than that of
those that held a row out. How other temperatures and properties take their widths from
these is said in `inference.intervals`.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cloud_jax.finetuning.classes import held_out_rows, temperature
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.loop import Trained
from cloud_jax.finetuning.novelty import calibrating_targets, fit_widening
from cloud_jax.finetuning.targets import Target, are_classes
from cloud_jax.physics.laws import Law, constrain, evaluate, scale_temperatures

# A label that needs a larger factor on theta lies outside what the law can give.
_WIDEST = math.log(20)


def calibrate(
    job: Job, trained: Trained, distance: Float[np.ndarray, " N"] | None = None
) -> dict[str, Any]:
    """Return the `calibration` entry of a model folder.

    It is empty where no member held a row out (protocol `paper`), and lacks a target
    with too few labelled rows for the level. A class has no interval: its probability
    has a temperature.

    Args:
        job: with the labels.
        trained: with the predictions.
        distance: of held-out rows from training rows, NaN for others.
    """
    held_out = held_out_rows(job, trained)
    if not held_out.any():
        return {}
    level = job.config.confidence
    found = np.full(job.table.targets.shape, np.nan)
    classes = are_classes(job.targets)
    for i in np.flatnonzero(~classes):
        labelled = ~np.isnan(job.table.targets[:, i])
        rows = np.flatnonzero(held_out.any(axis=0) & labelled)
        found[rows, i] = residuals(job, trained, i, rows, held_out[:, rows])
    widening = None
    if distance is not None:
        counts = calibrating_targets(job.targets)
        widening = fit_widening(found[:, counts], distance, level)
    if widening:
        found /= widening.scale(distance)[:, None]
    targets = {}
    for target, column in zip(job.targets, found.T, strict=True):
        column = column[~np.isnan(column)]
        if (quantile := conformal_quantile(column, level)) is not None:
            entry = {"level": level, "n": len(column), "quantile": quantile}
            targets[target.name] = entry
    novelty = {"novelty": widening._asdict()} if widening else {}
    temperatures = {
        job.targets[i].name: temperature(job, trained, i)
        for i in np.flatnonzero(classes)
    }
    of_classes = {"temperatures": temperatures} if temperatures else {}
    return {"targets": targets, **novelty, **of_classes}


def residuals(
    job: Job,
    trained: Trained,
    index: int,
    rows: Int[np.ndarray, " n"],
    held_out: Bool[np.ndarray, "M n"],
) -> Float[np.ndarray, " n"]:
    """Return the residuals of one target, in its unit or as |ln s|.

    Args:
        job: with the labels.
        trained: with the predictions.
        index: of the target.
        rows: of the table, each with a label and held out by one member at least.
        held_out: which members held a row out.
    """
    true = job.table.targets[rows, index]
    if job.law is None:
        values = np.where(held_out, trained.values[:, rows, index], 0.0)
        return np.abs(values.sum(axis=0) / held_out.sum(axis=0) - true)
    raw = np.nan_to_num(trained.raw[:, rows])  # of members that do not count
    per_atom = true / job.amounts[rows, index]
    return np.abs(log_factors(job.law, job.targets[index], raw, held_out, per_atom))


def conformal_quantile(
    residuals: Float[np.ndarray, " n"], level: float
) -> float | None:
    """Return the ceil((n + 1) level)-th smallest residual; None if there are fewer."""
    rank = math.ceil((len(residuals) + 1) * level)
    return float(np.sort(residuals)[rank - 1]) if rank <= len(residuals) else None


def log_factors(
    law: Law,
    target: Target,
    raw: Float[np.ndarray, "M n O"],
    held_out: Bool[np.ndarray, "M n"],
    per_atom: Float[np.ndarray, " n"],
) -> Float[np.ndarray, " n"]:
    """Return by how much, in ln, theta must change to give each label.

    Args:
        law: of the head.
        target: what the labels are.
        raw: outputs of the members.
        held_out: which members count for a row.
        per_atom: labels, J per mol of atoms.
    """
    with jax.enable_x64(True):
        variables = constrain(law, jnp.asarray(raw, jnp.float64))
        weight = jnp.asarray(held_out / held_out.sum(axis=0))

        @jax.jit
        def at(log_s: Float[Array, " n"]) -> Float[Array, " n"]:
            scaled = scale_temperatures(law, variables, jnp.exp(log_s))
            values = evaluate(law, target.property, scaled, target.at_k)
            return (values * weight).sum(axis=0)

        # Every property rises or falls with theta throughout, so bisection finds it.
        # 50 halvings leave 2 ln 20 / 2**50, below the precision of a label.
        low, high = (jnp.full(len(per_atom), sign * _WIDEST) for sign in (-1.0, 1.0))
        rising = at(high) > at(low)
        for _ in range(50):
            middle = (low + high) / 2
            above = (at(middle) > per_atom) == rising
            low, high = jnp.where(above, low, middle), jnp.where(above, middle, high)
        return np.asarray(low)
