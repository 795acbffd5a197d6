"""Widths of prediction intervals: split-conformal quantiles from validation rows.

A row's residual is that of the mean over the members that held the row out: they did
not learn from it, though they chose their best epoch with it and others. For a
regression it is |predicted - true|. For a law it is |ln s|, where s is the factor on
all characteristic temperatures at which the prediction equals the label: one number
that moves every property at every temperature.

The quantile is that of n + 1 rows (Vovk et al. 2005; Angelopoulos & Bates 2021, arXiv
2107.07511, section 1). The stated level is nominal: it holds for the label's property
and temperature, and cautiously, since the mean of all members errs less than that of
those that held a row out. Elsewhere nothing was calibrated.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.loop import Trained
from cloud_jax.finetuning.targets import Target
from cloud_jax.physics.laws import Law, constrain, evaluate, scale_temperatures

# A label that needs a larger factor on theta lies outside what the law can give.
_WIDEST = math.log(20)


def calibrate(job: Job, trained: Trained) -> dict[str, Any]:
    """Return the `calibration` entry of a model folder.

    It is empty where no member held a row out (protocol `paper`), and lacks a target
    with too few labelled rows for the level.
    """
    held_out = np.zeros(trained.raw.shape[:2], bool)
    for index, member in enumerate(job.members):
        if job.config.folds.protocol == "strict":
            held_out[index, member.validation] = True
    if not held_out.any():
        return {}
    level, targets = job.config.confidence, {}
    for i, target in enumerate(job.targets):
        labelled = ~np.isnan(job.table.targets[:, i])
        rows = np.flatnonzero(held_out.any(axis=0) & labelled)
        found = residuals(job, trained, i, rows, held_out[:, rows])
        if (quantile := conformal_quantile(found, level)) is not None:
            entry = {"level": level, "n": len(rows), "quantile": quantile}
            targets[target.name] = entry
    return {"targets": targets}


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
            values = evaluate(law, target.property, scaled, target.temperature_k)
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
