"""Fit the scaling law to losses (eq. 17), with bootstrap intervals.

Hoffmann et al. 2022 (arXiv 2203.15556, appendix D.3): the sum of Huber losses of
log L(N, D) - log L is minimised by L-BFGS from many starts over (log A, log B, log E,
alpha, beta).

Intervals are percentiles of fits to points drawn with replacement, widened for few
points (Hesterberg 2015, arXiv 1411.5279). Without widening they held the true constants
too rarely, and drawing residuals instead of points did worse still: a robust fit passes
through about as many points as it has constants, and those residuals of zero make the
noise look small.

Shape letters: P points, M samples.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize, nnls
from scipy.stats import norm, t

from cloud_jax.studies.scaling.law import CONSTANTS, FLOPS_PER_TOKEN, Law

DELTA = 1e-3  # Huber's threshold on log loss (eq. 18)
MIN_POINTS, MIN_LEVELS = 6, 3
SAME = 0.01  # N or D that differ by less than 1 % are one level
EXPONENTS = (1e-3, 3.0)  # range of alpha and beta
NEGLIGIBLE = -12.0  # log of a term over the lowest loss
_GRID, _BEST = 12, 30  # starts: a grid of exponents, the best of which are followed
_ROUNDS = 60  # damped steps per sample
_MIN_BEYOND = 5  # samples beyond an end, for it to be a percentile
_BLOCK = 200_000  # points of all samples that are fitted side by side


class ScalingError(ValueError):
    """Say why the law cannot be fitted to the points."""


class Fit(NamedTuple):
    """A fitted law and how well the points determine it.

    Attributes:
        law: the best fit.
        samples: the laws of the bootstrap samples, each constant an array [M].
        points: number of points P.
        confidence: of the intervals.
        error: root mean square of log L(N, D) - log L.
        warnings: what the points do not determine, one sentence each.
    """

    law: Law
    samples: Law
    points: int
    confidence: float
    error: float
    warnings: tuple[str, ...]

    def interval(self, of: str) -> tuple[float, float]:
        """Return the interval of a constant, of a or of b."""
        return self.between(getattr(self.samples, of))

    def between(self, values: Float[np.ndarray, " M"]) -> tuple[float, float]:
        """Return the interval of a value that was derived from each sample.

        A percentile interval is too narrow by the difference between a t and a normal
        distribution, and between division by P and by P - 5; so it takes percentiles
        further out.
        """
        return tuple(np.quantile(values, [self.tail, 1 - self.tail]).tolist())

    @property
    def tail(self) -> float:
        """Return the share of the samples beyond each end of an interval."""
        free = self.points - len(CONSTANTS)
        reach = t.isf((1 - self.confidence) / 2, free) * math.sqrt(self.points / free)
        return float(norm.sf(reach))


def fit(
    parameters: Sequence[float],
    tokens: Sequence[float],
    loss: Sequence[float],
    *,
    samples: int = 2000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Fit:
    """Fit the law; the order of the points does not matter.

    Args:
        parameters: N of each point.
        tokens: D of each point.
        loss: of each point, nats per masked token.
        samples: number of bootstrap samples.
        confidence: of the intervals.
        seed: of the bootstrap draws.

    Raises:
        ScalingError: too few points or sizes, or a number that is not above 0.
    """
    points = np.array(check_points(parameters, tokens, loss)).T
    log_n, log_d, log_loss = np.log(points[np.lexsort(points.T)]).T
    # Centred, so that a prefactor and its exponent are not correlated.
    centre = np.array([log_n.mean(), log_d.mean()])
    x = np.stack([log_n, log_d]) - centre[:, None]
    bounds = _bounds(log_loss)
    best = _best(x, log_loss, bounds)
    draws = np.random.default_rng(seed).multinomial(
        len(log_loss), np.full(len(log_loss), 1 / len(log_loss)), size=samples
    )
    block = max(1, _BLOCK // len(log_loss))
    drawn = [
        _descend(best, x, log_loss, draws[i : i + block], bounds)
        for i in range(0, samples, block)
    ]
    law = Law(*_constants(best, centre).tolist())
    residual = _log_loss(best, x)[0] - log_loss
    found = Fit(
        law=law,
        samples=Law(*_constants(np.concatenate(drawn), centre).T),
        points=len(log_loss),
        confidence=confidence,
        error=float(np.sqrt(np.mean(residual**2))),
        warnings=(),
    )
    return found._replace(warnings=tuple(_warnings(found, log_n, log_d, log_loss)))


def optimum(found: Fit, flops: float) -> dict[str, float | list[float]]:
    """Return the best N and D of a compute budget, their loss, and all intervals.

    Raises:
        ScalingError: the budget is below one token for one parameter.
    """
    check_budget(flops)
    result = {"flops": float(flops)}
    of_law, of_samples = (
        (*(best := law.optimum(flops)), law.loss(*best))
        for law in (found.law, found.samples)
    )
    for i, name in enumerate(("parameters", "tokens", "loss")):
        result[name] = float(of_law[i])
        result[f"{name}_interval"] = list(found.between(of_samples[i]))
    return result


def check_budget(flops: float) -> None:
    """Raise ScalingError where a budget is below one token for one parameter."""
    if not FLOPS_PER_TOKEN <= flops < math.inf:
        raise ScalingError(
            f"budget {flops:g}: expected a finite number of FLOPs, at least "
            f"{FLOPS_PER_TOKEN}"
        )


def check_points(
    parameters: Sequence[float], tokens: Sequence[float], loss: Sequence[float]
) -> list[Float[np.ndarray, " P"]]:
    """Return the three as arrays.

    Raises:
        ScalingError: the law cannot be fitted to them, and why.
    """
    columns = {"parameters": parameters, "tokens": tokens, "loss": loss}
    columns = {name: np.asarray(c, float).reshape(-1) for name, c in columns.items()}
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) > 1:
        raise ScalingError(f"columns of different lengths: {sizes}")
    for name, column in columns.items():
        wrong = np.flatnonzero(~(np.isfinite(column) & (column > 0)))
        if len(wrong):
            raise ScalingError(
                f"{name} of point {wrong[0] + 1} is {column[wrong[0]]}: expected a "
                "finite number above 0; leave out runs that diverged"
            )
    if sizes["loss"] < MIN_POINTS:
        raise ScalingError(
            f"{sizes['loss']} points cannot hold five constants: train at least "
            f"{MIN_POINTS}, better 12 or more"
        )
    for name in ("parameters", "tokens"):
        log = np.sort(np.log(columns[name]))
        levels = 1 + int((np.diff(log) > SAME).sum())
        if levels < MIN_LEVELS:
            raise ScalingError(
                f"{levels} different values of {name} cannot tell its exponent from "
                f"E: at least {MIN_LEVELS} are needed"
            )
    return list(columns.values())


def _bounds(log_loss: Float[np.ndarray, " P"]) -> Float[np.ndarray, "2 5"]:
    """Return the bounds of (log A, log B, log E, alpha, beta) at the centre of N, D."""
    low, high = log_loss.min() + NEGLIGIBLE, log_loss.max() + 5
    return np.array([[low] * 3 + [EXPONENTS[0]] * 2, [high] * 3 + [EXPONENTS[1]] * 2])


def _constants(
    theta: Float[np.ndarray, "*M 5"], centre: Float[np.ndarray, "2"]
) -> Float[np.ndarray, "*M 5"]:
    """Return A, B, E, alpha, beta for fitted theta."""
    log = theta[..., :3].copy()
    log[..., :2] += theta[..., 3:] * centre
    return np.concatenate([np.exp(log), theta[..., 3:]], axis=-1)


def _log_loss(
    theta: Float[np.ndarray, "*M 5"], x: Float[np.ndarray, "2 P"]
) -> tuple[Float[np.ndarray, "*M P"], Float[np.ndarray, "*M P 5"]]:
    """Compute the law's log loss and its derivatives by theta.

    Args:
        theta: log A, log B, log E, alpha, beta.
        x: log N and log D.
    """
    terms = np.empty((*theta.shape[:-1], x.shape[1], 3))
    terms[..., :2] = theta[..., None, :2] - theta[..., None, 3:] * x.T
    terms[..., 2] = theta[..., 2, None]
    # The bounds keep these far from overflow; SciPy's logsumexp is three times slower
    # on so few terms.
    terms = np.exp(terms)
    total = terms[..., 0] + terms[..., 1] + terms[..., 2]
    share = terms / total[..., None]
    slope = np.concatenate([share, -share[..., :2] * x.T], axis=-1)
    return np.log(total), slope


def _huber(residual: Float[np.ndarray, "*M P"]) -> Float[np.ndarray, "*M P"]:
    """Compute Huber's loss in units of DELTA^2, so that the objective is of order one.

    Without the unit it is about 1e-5, where optimisers' tolerances end too early.
    """
    size = np.abs(residual) / DELTA
    return np.where(size <= 1, 0.5 * size**2, size - 0.5)


def objective(
    theta: Float[np.ndarray, " 5"],
    x: Float[np.ndarray, "2 P"],
    log_loss: Float[np.ndarray, " P"],
) -> tuple[float, Float[np.ndarray, " 5"]]:
    """Compute the objective (eq. 18, in units of DELTA^2) and its gradient."""
    predicted, slope = _log_loss(theta, x)
    residual = predicted - log_loss
    pull = np.clip(residual / DELTA, -1, 1) / DELTA
    return float(_huber(residual).sum()), pull @ slope


def _best(x, log_loss, bounds) -> Float[np.ndarray, " 5"]:
    """Return the lowest minimum that L-BFGS finds from the best of many starts."""
    starts = _starts(x, log_loss, bounds)
    values = _huber(_log_loss(starts, x)[0] - log_loss).sum(axis=-1)
    ends = [
        minimize(
            objective,
            start,
            (x, log_loss),
            method="L-BFGS-B",
            jac=True,
            bounds=bounds.T,
            options={"ftol": 1e-12, "gtol": 1e-9, "maxiter": 1000},
        )
        for start in starts[np.argsort(values, kind="stable")[:_BEST]]
    ]
    best = min(ends, key=lambda end: end.fun)
    once = np.ones((1, len(log_loss)))
    return _descend(best.x, x, log_loss, once, bounds)[0]


def _starts(x, log_loss, bounds) -> Float[np.ndarray, "S 5"]:
    """Return a grid of exponents, each with the A, B and E of least squares.

    For given exponents the law is linear in those; relative errors of the loss
    approximate errors of its logarithm.
    """
    grid = np.geomspace(0.03, 2.0, _GRID)
    weight = np.exp(-log_loss)
    starts = []
    for alpha in grid:
        for beta in grid:
            terms = np.exp(np.stack([-alpha * x[0], -beta * x[1], 0 * x[0]], axis=1))
            found, _ = nnls(terms * weight[:, None], np.ones_like(weight))
            logs = np.log(np.maximum(found, np.exp(bounds[0, 0] + 2)))
            starts.append([*logs, alpha, beta])
    return np.clip(starts, *bounds)


def _descend(start, x, log_loss, weight, bounds) -> Float[np.ndarray, "M 5"]:
    """Minimise the objective for many weightings of the points, side by side.

    Iteratively reweighted least squares with Levenberg-Marquardt damping, because a
    thousand runs of L-BFGS would take minutes.

    Args:
        start: common start of all samples [5].
        x: log N and log D [2, P].
        log_loss: of the points [P].
        weight: of each point in each sample [M, P].
        bounds: of theta [2, 5].
    """
    theta = np.tile(start, (len(weight), 1))
    predicted, slope = _log_loss(theta, x)
    residual = predicted - log_loss
    value = (weight * _huber(residual)).sum(axis=1)
    damping = np.full(len(weight), 1e-3)
    for _ in range(_ROUNDS):
        pulled = slope * (weight / np.maximum(np.abs(residual), DELTA))[..., None]
        matrix = np.swapaxes(pulled, 1, 2) @ slope
        gradient = (pulled * residual[..., None]).sum(axis=1)
        scale = np.diagonal(matrix, axis1=1, axis2=2)
        scale = scale + 1e-9 * scale.max(axis=1, keepdims=True)
        damped = matrix + (damping[:, None] * scale)[..., None] * np.eye(5)
        step = -np.linalg.solve(damped, gradient[..., None])[..., 0]
        tried = np.clip(theta + np.clip(step, -2, 2), *bounds)
        predicted, new_slope = _log_loss(tried, x)
        new_residual = predicted - log_loss
        new_value = (weight * _huber(new_residual)).sum(axis=1)
        better = new_value <= value
        theta[better], slope[better] = tried[better], new_slope[better]
        residual[better], value[better] = new_residual[better], new_value[better]
        damping = np.clip(damping * np.where(better, 0.25, 6.0), 1e-12, 1e8)
    return theta


def _warnings(found: Fit, log_n, log_d, log_loss):
    """Yield a sentence for each thing that the points do not determine."""
    samples = np.size(found.samples.E)
    if found.tail * samples < _MIN_BEYOND:
        yield (
            f"{found.points} points are too few for {found.confidence:.0%} intervals: "
            f"these are the extremes of {samples:,} samples; train 15 or more"
        )
    for name, log in (("alpha", log_n), ("beta", log_d)):
        low, high = found.interval(name)
        ends = min(low, getattr(found.law, name)), max(high, getattr(found.law, name))
        if ends[0] < 2 * EXPONENTS[0] or ends[1] > 0.99 * EXPONENTS[1]:
            yield (
                f"{name} is not identified: its interval, {low:.3g} to {high:.3g}, "
                f"reaches the end of the search; the points span a factor of "
                f"{np.exp(np.ptp(log)):.3g} in {'N' if name == 'alpha' else 'D'}"
            )
    if found.interval("E")[0] < 0.01 * math.exp(log_loss.min()):
        yield (
            f"E is not told apart from 0: at most {found.interval('E')[1]:.3g}; models "
            "and data nearer to the limit would be needed"
        )
    together = np.corrcoef(log_n, log_d)[0, 1]
    if abs(together) > 0.98:
        yield (
            f"N and D vary together (correlation of their logarithms {together:.3f}), "
            "so that their terms are hardly told apart"
        )
