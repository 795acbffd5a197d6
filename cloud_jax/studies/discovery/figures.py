"""Figures of MatBench Discovery: how well stable crystals are found."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from cloud_jax.evaluation.figures import COLOURS, FONT, make_panels, save
from cloud_jax.studies.discovery.metrics import Curve, Metrics

_SMALL = {"fontsize": 7, "frameon": False}
_MARKERS = ("s", "o", "^", "D")
_WINDOW_EV = 0.4  # eV/atom on either side of the hull; most crystals of WBM
_BIN_EV = 0.02
_LEAST = 10  # crystals in a bin: the mean of fewer says nothing


def parity_plot(
    path: str | Path,
    true: Float[np.ndarray, " N"],
    found: Float[np.ndarray, " N"],
    *,
    mae: float,
) -> None:
    """Draw predicted against true formation energy as a density.

    Args:
        path: of the figure; the suffix says the format.
        true: eV/atom.
        found: predicted, of the same crystals.
        mae: of all of them.
    """
    figure, (axis,) = make_panels(1)
    low, high = min(true.min(), found.min()), max(true.max(), found.max())
    margin = 0.04 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    axis.plot(ends, ends, color="0.5", lw=0.8)
    _density(axis, true, found, ends)
    axis.set_xlabel("true formation energy (eV/atom)", **FONT)
    axis.set_ylabel("predicted formation energy (eV/atom)", **FONT)
    axis.locator_params(nbins=5)
    note = f"MAE {mae:.3f} eV/atom\n{len(true):,} crystals"
    axis.text(0.04, 0.96, note, transform=axis.transAxes, va="top", **FONT)
    save(figure, path)


def _density(
    axis: Axes,
    true: Float[np.ndarray, " N"],
    found: Float[np.ndarray, " N"],
    ends: tuple[float, float],
) -> None:
    """Colour a square by the number of crystals."""
    cells = axis.hexbin(
        true, found, gridsize=60, extent=(*ends, *ends), norm=LogNorm(), cmap="cividis",
        linewidths=0.1, rasterized=True, mincnt=1,
    )  # fmt: skip
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    bar = axis.figure.colorbar(cells, ax=axis, shrink=0.75)
    bar.set_label("crystals", **FONT)
    bar.ax.tick_params(labelsize=7)


def roc_plot(
    path: str | Path, curve: Curve, *, auc: float, points: Sequence[Metrics]
) -> None:
    """Draw the receiver operating characteristic (Figure S1 of the paper).

    Args:
        path: of the figure; the suffix says the format.
        curve: of the crystals with a prediction.
        auc: area under it.
        points: of `sweep`: where single thresholds are.
    """
    figure, (axis,) = make_panels(1)
    axis.plot([0, 1], [0, 1], ":", color="0.4", lw=1, label="by chance, 0.5")
    axis.plot(
        curve.fpr, curve.tpr, color=COLOURS[0], lw=1.5, label=f"this model, {auc:.3f}"
    )
    marked = [point for point in points if point["tpr"] is not None]
    for point, marker in zip(marked, _MARKERS, strict=False):
        axis.plot(
            point["fpr"], point["tpr"], marker, color=COLOURS[1], ms=5, mec="black",
            mew=0.5, ls="none",
            label=f"threshold {_signed(point['threshold_ev'])} eV/atom",
        )  # fmt: skip
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axis.set_xlabel("false positive rate", **FONT)
    axis.set_ylabel("true positive rate", **FONT)
    axis.legend(loc="lower right", title="area under the curve", **_SMALL)
    axis.get_legend().get_title().set_fontsize(7)
    save(figure, path)


def _signed(value: float | int | None) -> str:
    return f"{value:+.2f}" if value else "0"


def threshold_plot(
    path: str | Path,
    points: Sequence[Metrics],
    *,
    paper: Mapping[float, Mapping[str, float]],
) -> None:
    """Draw precision, recall and F1 against the threshold of the prediction.

    Args:
        path: of the figure; the suffix says the format.
        points: of `sweep`, in the order of their thresholds.
        paper: of some thresholds the same of the paper's model, as open markers.
    """
    figure, (axis,) = make_panels(1)
    threshold = [point["threshold_ev"] for point in points]
    names = {"precision": "precision", "recall": "recall", "f1": "F1"}
    for (name, label), colour, style, marker in zip(
        names.items(), COLOURS, ("-", "--", "-."), _MARKERS, strict=False
    ):
        # None, where nothing is called stable, is a gap.
        value = np.array([point[name] for point in points], dtype=float)
        axis.plot(threshold, value, style, color=colour, lw=1.5, label=label)
        axis.plot(
            list(paper), [row[name] for row in paper.values()], marker, color=colour,
            mfc="white", ms=4.5, ls="none",
        )  # fmt: skip
    axis.plot([], [], "o", color="0.3", mfc="white", ms=4.5, label="the paper's CLOUD")
    axis.axvline(0, color="0.4", ls=":", lw=1)
    axis.set(xlim=(threshold[0], threshold[-1]), ylim=(0, 1))
    axis.locator_params(axis="x", nbins=5)
    axis.set_xlabel("called stable up to (eV/atom above the hull)", **FONT)
    axis.set_ylabel("precision, recall, F1", **FONT)
    figure.legend(loc="outside lower center", ncols=2, **_SMALL)
    save(figure, path)


def hull_plot(
    path: str | Path, true: Float[np.ndarray, " N"], found: Float[np.ndarray, " N"]
) -> None:
    """Draw predicted against true hull distance, and the error by true distance.

    Within the triangle of the second panel the error is larger than the distance to
    the hull, so that a mean error is enough to call a crystal wrongly.

    Args:
        path: of the figure; the suffix says the format.
        true: distance to the hull, eV/atom.
        found: predicted, of the same crystals; none is NaN.
    """
    figure, (left, right) = make_panels(2)
    ends = (-_WINDOW_EV, _WINDOW_EV)
    _density(left, true, found, ends)
    left.plot(ends, ends, color="0.5", lw=0.8)
    for line in (left.axhline, left.axvline):
        line(0, color=COLOURS[1], ls="--", lw=1)
    left.set_ylabel("predicted, above the hull (eV/atom)", **FONT)
    _name_quadrants(left)
    middle, error = _error_by_distance(true, found)
    right.fill_between(
        (-_WINDOW_EV, 0, _WINDOW_EV), (_WINDOW_EV, 0, _WINDOW_EV), _WINDOW_EV,
        color="0.85", lw=0, label="error > distance",
    )  # fmt: skip
    right.plot(
        middle, error, "o-", color=COLOURS[0], ms=2.5, lw=1.2, label="mean in bins"
    )
    right.axvline(0, color=COLOURS[1], ls="--", lw=1)
    top = np.nanmax(error) if np.isfinite(error).any() else 0.0
    right.set(xlim=ends, ylim=(0, min(_WINDOW_EV, max(0.2, 1.25 * top))))
    right.set_ylabel("mean absolute error (eV/atom)", **FONT)
    right.legend(loc="lower left", **_SMALL)
    for axis in (left, right):
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel("true, above the hull (eV/atom)", **FONT)
    save(figure, path)


def _name_quadrants(axis: Axes) -> None:
    names = {
        "missed": (0.03, 0.97), "rightly unstable": (0.97, 0.97),
        "found": (0.03, 0.03), "false alarm": (0.97, 0.03),
    }  # fmt: skip
    for name, (x, y) in names.items():
        axis.text(
            x, y, name, transform=axis.transAxes, fontsize=7,
            ha="left" if x < 0.5 else "right", va="top" if y > 0.5 else "bottom",
            bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1},
        )  # fmt: skip


def _error_by_distance(
    true: Float[np.ndarray, " N"], found: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Middles of the bins of true distance, and the mean absolute error in them."""
    n = round(2 * _WINDOW_EV / _BIN_EV)
    edges = np.linspace(-_WINDOW_EV, _WINDOW_EV, n + 1)
    count, _ = np.histogram(true, edges)
    total, _ = np.histogram(true, edges, weights=np.abs(found - true))
    few = count < _LEAST
    error = np.where(few, np.nan, total / np.maximum(count, 1))
    return (edges[1:] + edges[:-1]) / 2, error
