"""The figure of the scaling law (Figure 3): contours of the loss, loss over compute."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps, patheffects
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from cloud_jax.evaluation.figures import (
    COLOURS,
    FONT,
    LEGEND,
    SMALL,
    make_panels,
    save,
)
from cloud_jax.studies.scaling.law import FLOPS_PER_TOKEN, Law

_MAP = colormaps["viridis"]
_BEST = {"color": COLOURS[1], "ls": "--", "lw": 1.8}  # the optimum, in both panels
_HALO = [patheffects.withStroke(linewidth=2, foreground="white")]
_MARGIN = 1.5  # factor around what is drawn
_REACH = 30.0  # factor beyond the points up to which the axes follow the optimum
_LEVELS = 8  # iso-loss curves


def scaling_figure(
    path: str | Path,
    law: Law,
    parameters: Sequence[float],
    tokens: Sequence[float],
    loss: Sequence[float],
) -> None:
    """Draw iso-loss curves over N and D, and loss over compute.

    Args:
        path: the figure; its suffix is the format.
        law: fitted to the points.
        parameters: N of each point, without embeddings.
        tokens: D of each point.
        loss: of each point, nats per masked token.
    """
    n, d, loss = (np.asarray(column, float) for column in (parameters, tokens, loss))
    figure, (left, right) = make_panels(2)
    _contours(left, law, n, d)
    points = _over_compute(right, law, n, d, loss)
    bar = figure.colorbar(points, ax=right, pad=0.02, aspect=30)
    bar.set_label("parameters N, without embeddings", **FONT)
    _thousands(bar.ax.yaxis)
    bar.ax.tick_params(labelsize=SMALL)
    figure.legend(
        *right.get_legend_handles_labels(),
        loc="outside upper center", ncols=4, **LEGEND,
    )  # fmt: skip
    save(figure, path)


def _contours(axis: Axes, law: Law, n: np.ndarray, d: np.ndarray) -> None:
    """Draw iso-loss curves, the optimum and the points."""
    compute = FLOPS_PER_TOKEN * n * d
    best_n, best_d = law.optimum(np.geomspace(compute.min(), compute.max(), 100))
    span_n, span_d = _span(n, _near(best_n, n)), _span(d, _near(best_d, d))
    grid_n, grid_d = np.meshgrid(np.geomspace(*span_n, 200), np.geomspace(*span_d, 200))
    predicted = law.loss(grid_n, grid_d)
    lines = axis.contour(
        grid_n, grid_d, predicted, _levels(predicted), colors="0.35", linewidths=0.8
    )
    # The labels stand one above the other, a third from the right.
    at_n = span_n[0] ** (1 / 3) * span_n[1] ** (2 / 3)
    column = law.loss(at_n, grid_d[:, 0])
    at_d = [
        np.interp(-level, -column, grid_d[:, 0])
        for level in lines.levels
        if column.min() < level < column.max()
    ]
    spots = [(at_n, d) for d in at_d]
    labels = axis.clabel(lines, fmt="%.2g", fontsize=SMALL, inline=False, manual=spots)
    for label in labels:
        label.set(color="black", path_effects=_HALO)
    axis.plot(best_n, best_d, **_BEST)
    axis.plot(n, d, "o", color=COLOURS[0], ms=4, mec="black", mew=0.5)
    axis.set(xscale="log", yscale="log", xlim=span_n, ylim=span_d)
    _thousands(axis.xaxis)
    _thousands(axis.yaxis)
    axis.set(xlabel="parameters N, without embeddings", ylabel="tokens seen D")
    axis.set_title("contours: loss (nats per masked token)", **FONT)


def _over_compute(
    axis: Axes, law: Law, n: np.ndarray, d: np.ndarray, loss: np.ndarray
) -> ScalarMappable:
    """Draw loss over compute; return the points, whose colour is N."""
    compute = FLOPS_PER_TOKEN * n * d
    norm = LogNorm(n.min(), n.max())
    points = axis.scatter(
        compute, loss, c=n, norm=norm, cmap=_MAP, s=18, edgecolor="black",
        lw=0.5, zorder=3, label="trained models",
    )  # fmt: skip
    span = _span(compute)
    flops = np.geomspace(*span, 200)
    axis.plot(
        flops, law.loss(*law.optimum(flops)), label="best for the compute", **_BEST
    )
    for size in np.unique(n):
        seen = np.geomspace(*_span(d[n == size]), 50)
        of_size = {"color": _MAP(norm(size)), "lw": 1}
        axis.plot(FLOPS_PER_TOKEN * size * seen, law.loss(size, seen), **of_size)
    axis.axhline(law.E, color="black", ls=":", lw=1, label=f"E = {law.E:.3g}")
    axis.set(xscale="log", xlim=span, ylim=(0, 1.1 * loss.max()))
    axis.set_xlabel("training compute 6ND (FLOPs)")
    axis.set_ylabel("loss (nats per masked token)")
    return points


def _levels(loss: np.ndarray) -> np.ndarray:
    """Return the losses of the iso-loss curves, rounded to two digits."""
    even = np.geomspace(loss.min(), loss.max(), _LEVELS + 2)[1:-1]
    return np.unique([float(f"{level:.2g}") for level in even])


def _thousands(axis: Axis) -> None:
    """Label 1 and 3 of each decade, as in 300 k."""
    axis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.set_major_formatter(EngFormatter())
    axis.set_minor_formatter(NullFormatter())


def _near(line: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Clip a line to the part that the axis may follow."""
    return np.clip(line, points.min() / _REACH, points.max() * _REACH)


def _span(*values: np.ndarray) -> tuple[float, float]:
    """Return the ends of an axis that shows all values."""
    every = np.concatenate(values)
    return every.min() / _MARGIN, every.max() * _MARGIN
