"""Figures of MatBench Discovery: how well stable crystals are found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from cloud_jax.evaluation.figures import (
    COLOURS,
    FONT,
    LEGEND,
    LINES,
    MARKERS,
    SMALL,
    draw_diagonal,
    make_panels,
    save,
    write_note,
)
from cloud_jax.studies.discovery.metrics import Curve, Metrics, roc_points
from cloud_jax.studies.paper import table

_WINDOW_EV = 0.4  # eV/atom on either side of the hull; most crystals of WBM
_BIN_EV = 0.02  # eV/atom
_MIN_IN_BIN = 10  # crystals; the mean of fewer is not drawn
_CAPTIONS = {
    "parity.png": "Formation energy, predicted against true",
    "roc.png": "Receiver operating characteristic, as Figure S1",
    "thresholds.png": "Precision, recall and F1 by threshold, as Table S5",
    "hull.png": "Distance to the hull: predicted against true; error by true distance",
}


def draw_figures(
    folder: Path,
    energies: pd.DataFrame,
    distances: pd.DataFrame | None,
    results: Mapping[str, Any],
) -> list[dict[str, str]]:
    """Draw all figures that there are data for.

    Args:
        folder: folder of the figures.
        energies: `true` and `predicted` formation energies, eV/atom.
        distances: `true` and `predicted` distances to the hull, eV/atom; None where
            the hull is not known.
        results: content of results.json so far.

    Returns:
        Name and caption of each figure.
    """
    mae = results["formation_energy"]["mae"]
    columns = (energies[name].to_numpy() for name in ("true", "predicted"))
    parity_plot(folder / "parity.png", *columns, mae=mae)
    names = ["parity.png"]
    if distances is not None:
        both = distances.dropna()
        true, found = both.true.to_numpy(), both.predicted.to_numpy()
        if (auc := results["stability"]["full"]["roc_auc"]) is not None:
            curve = roc_points(true, found)
            roc_plot(folder / "roc.png", curve, auc=auc, points=results["thresholds"])
            names.append("roc.png")
        threshold_plot(folder / "thresholds.png", results["curve"], paper=_table_s5())
        hull_plot(folder / "hull.png", true, found)
        names += ["thresholds.png", "hull.png"]
    return [{"file": name, "caption": _CAPTIONS[name]} for name in names]


def _table_s5() -> dict[float, dict[str, float]]:
    """Return the metrics of the paper's model by threshold, eV/atom."""
    names = [{"tpr": "recall"}.get(name, name) for name in table("S5").columns]
    return {
        float(threshold): {
            name: cell.value for name, cell in zip(names, cells, strict=True)
        }
        for threshold, cells in table("S5").cells.items()
    }


def parity_plot(
    path: str | Path,
    true: Float[np.ndarray, " N"],
    found: Float[np.ndarray, " N"],
    *,
    mae: float,
) -> None:
    """Draw predicted against true formation energy as a density.

    Args:
        path: the figure; its suffix is the format.
        true: eV/atom.
        found: predictions for the same crystals, eV/atom.
        mae: mean absolute error over all of them, eV/atom.
    """
    figure, (axis,) = make_panels(1)
    ends = draw_diagonal(axis, true, found)
    _density(axis, true, found, ends)
    axis.set_xlabel("true formation energy (eV/atom)")
    axis.set_ylabel("predicted formation energy (eV/atom)")
    write_note(axis, f"MAE {mae:.3f} eV/atom\n{len(true):,} crystals")
    save(figure, path)


def _density(
    axis: Axes,
    true: Float[np.ndarray, " N"],
    found: Float[np.ndarray, " N"],
    ends: tuple[float, float],
) -> None:
    """Draw the number of crystals as colour over a square of values."""
    cells = axis.hexbin(
        true, found, gridsize=60, extent=(*ends, *ends), norm=LogNorm(), cmap="cividis",
        linewidths=0.1, rasterized=True, mincnt=1,
    )  # fmt: skip
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    bar = axis.figure.colorbar(cells, ax=axis, shrink=0.75)
    bar.set_label("crystals", **FONT)
    bar.ax.tick_params(labelsize=SMALL)


def roc_plot(
    path: str | Path, curve: Curve, *, auc: float, points: Sequence[Metrics]
) -> None:
    """Draw the receiver operating characteristic (Figure S1 of the paper).

    Args:
        path: the figure; its suffix is the format.
        curve: from `roc_points`.
        auc: area under the curve.
        points: metrics at single thresholds, from `sweep`, drawn as markers.
    """
    figure, (axis,) = make_panels(1)
    axis.plot([0, 1], [0, 1], ":", color="0.4", lw=1, label="by chance, 0.5")
    axis.plot(
        curve.fpr, curve.tpr, color=COLOURS[0], lw=1.5, label=f"this model, {auc:.3f}"
    )
    marked = [point for point in points if point["tpr"] is not None]
    for point, marker in zip(marked, MARKERS, strict=False):
        axis.plot(
            point["fpr"], point["tpr"], marker, color=COLOURS[1], ms=5, mec="black",
            mew=0.5, ls="none",
            label=f"threshold {_signed(point['threshold_ev'])} eV/atom",
        )  # fmt: skip
    axis.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axis.set(xlabel="false positive rate", ylabel="true positive rate")
    axis.legend(loc="lower right", title="area under the curve", **LEGEND)
    axis.get_legend().get_title().set_fontsize(SMALL)
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
        path: the figure; its suffix is the format.
        points: metrics from `sweep`, in the order of their thresholds.
        paper: {threshold: metrics} of the paper's model, drawn as open markers.
    """
    figure, (axis,) = make_panels(1)
    threshold = [point["threshold_ev"] for point in points]
    names = {"precision": "precision", "recall": "recall", "f1": "F1"}
    for (name, label), colour, style, marker in zip(
        names.items(), COLOURS, LINES, MARKERS, strict=False
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
    axis.set_xlabel("called stable up to (eV/atom above the hull)")
    axis.set_ylabel("precision, recall, F1")
    figure.legend(loc="outside lower center", ncols=2, **LEGEND)
    save(figure, path)


def hull_plot(
    path: str | Path, true: Float[np.ndarray, " N"], found: Float[np.ndarray, " N"]
) -> None:
    """Draw predicted against true hull distance, and the error by true distance.

    In the triangle of the second panel the error exceeds the distance to the hull, so
    that a mean error is enough to classify a crystal wrongly.

    Args:
        path: the figure; its suffix is the format.
        true: distance to the hull, eV/atom.
        found: predictions for the same crystals, eV/atom; none is NaN.
    """
    figure, (left, right) = make_panels(2)
    ends = (-_WINDOW_EV, _WINDOW_EV)
    _density(left, true, found, ends)
    left.plot(ends, ends, color="0.5", lw=0.8)
    for line in (left.axhline, left.axvline):
        line(0, color=COLOURS[1], ls="--", lw=1)
    left.set_ylabel("predicted, above the hull (eV/atom)")
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
    right.set_ylabel("mean absolute error (eV/atom)")
    right.legend(loc="lower left", **LEGEND)
    for axis in (left, right):
        axis.locator_params(axis="x", nbins=5)
        axis.set_xlabel("true, above the hull (eV/atom)")
    save(figure, path)


def _name_quadrants(axis: Axes) -> None:
    names = {
        "missed": (0.03, 0.97), "rightly unstable": (0.97, 0.97),
        "found": (0.03, 0.03), "false alarm": (0.97, 0.03),
    }  # fmt: skip
    for name, (x, y) in names.items():
        axis.text(
            x, y, name, transform=axis.transAxes, fontsize=SMALL,
            ha="left" if x < 0.5 else "right", va="top" if y > 0.5 else "bottom",
            bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1},
        )  # fmt: skip


def _error_by_distance(
    true: Float[np.ndarray, " N"], found: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Return the middles of bins of true distance and the mean absolute errors there.

    NaN where a bin has too few crystals.
    """
    n = round(2 * _WINDOW_EV / _BIN_EV)
    edges = np.linspace(-_WINDOW_EV, _WINDOW_EV, n + 1)
    count, _ = np.histogram(true, edges)
    total, _ = np.histogram(true, edges, weights=np.abs(found - true))
    few = count < _MIN_IN_BIN
    error = np.where(few, np.nan, total / np.maximum(count, 1))
    return (edges[1:] + edges[:-1]) / 2, error
