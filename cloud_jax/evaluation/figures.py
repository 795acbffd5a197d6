"""Figures: prediction against target, and properties against temperature.

One panel is as wide as a column of a journal. Figures are made without pyplot, so
nothing depends on a display or on what a notebook has open.
"""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from cloud_jax.files import atomic_open

# Okabe and Ito's colours: told apart by colour-blind readers.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
)  # fmt: skip
_STYLES = ("-", "--", "-.", ":")  # the other way to tell curves apart
_WIDTH, _HEIGHT = 3.4, 3.2  # inch; a journal's column
FONT = {"fontsize": 8}  # of the labels of axes
_LABELLED = 8  # more curves than this get no legend
_LONGEST = 28  # letters of a label


class Curve(NamedTuple):
    """One line over temperature.

    Attributes:
        label: for the legend.
        temperature_k: kelvin, ascending.
        value: in the unit of its panel.
        lower: of the interval, or None.
        upper: of the interval, or None.
        points: measured (temperature_k, value) to compare with, or None.
        points_label: for the legend, where it is not `label, measured`.
    """

    label: str
    temperature_k: Float[np.ndarray, " T"]
    value: Float[np.ndarray, " T"]
    lower: Float[np.ndarray, " T"] | None = None
    upper: Float[np.ndarray, " T"] | None = None
    points: tuple[np.ndarray, np.ndarray] | None = None
    points_label: str = ""


class Panel(NamedTuple):
    """One pair of axes of `curves`.

    Attributes:
        quantity: what the vertical axis shows, for instance `heat capacity`.
        unit: of it.
        curves: to draw.
        limit: a horizontal line, (label, value): Dulong and Petit's, or None.
        title: above the panel.
    """

    quantity: str
    unit: str
    curves: Sequence[Curve]
    limit: tuple[str, float] | None = None
    title: str = ""


def parity_plot(
    path: str | Path,
    target: Float[np.ndarray, "N P"],
    prediction: Float[np.ndarray, "N P"],
    *,
    names: Sequence[str],
    units: Sequence[str],
    notes: Sequence[str] = (),
) -> None:
    """Draw prediction against target, one panel a target.

    Args:
        path: of the figure; the suffix says the format.
        target: of the test rows.
        prediction: of the same rows.
        names: of the targets.
        units: of the targets; empty where there is none.
        notes: of each target what to print in the corner, for instance the MAE.
    """
    figure, axes = make_panels(len(names))
    for i, (axis, name, unit) in enumerate(zip(axes, names, units, strict=True)):
        true, found = np.asarray(target)[:, i], np.asarray(prediction)[:, i]
        low = min(true.min(), found.min())
        high = max(true.max(), found.max())
        margin = 0.04 * (high - low) or 1.0
        ends = [low - margin, high + margin]
        axis.plot(ends, ends, color="0.5", lw=0.8)
        # Many points: small and clear, and as pixels in a vector file.
        size = float(np.clip(3000 / len(true), 2, 14))
        axis.scatter(
            true, found, s=size, color=COLOURS[0], alpha=0.5, lw=0, rasterized=True
        )
        name, of_unit = plain(name), f" ({unit})" if unit else ""
        axis.set(xlim=ends, ylim=ends, aspect="equal")
        axis.locator_params(nbins=5)  # long numbers must not run into each other
        axis.set_xlabel(f"{name}, target{of_unit}", **FONT)
        axis.set_ylabel(f"{name}, predicted{of_unit}", **FONT)
        if notes:
            axis.text(0.04, 0.96, notes[i], transform=axis.transAxes, va="top", **FONT)
    save(figure, path)


def curves(path: str | Path, panels: Sequence[Panel]) -> None:
    """Draw properties against temperature with their interval bands.

    Args:
        path: of the figure; the suffix says the format.
        panels: one a property, or one a crystal. A panel of more than eight curves
            shows thin lines without legend and bands.
    """
    figure, axes = make_panels(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        few = len(panel.curves) <= _LABELLED
        for curve, colour, style in zip(
            panel.curves, cycle(COLOURS), _cycle_styles(), strict=False
        ):
            _draw(axis, curve, colour, style, few)
        if panel.limit:
            label, value = panel.limit
            axis.axhline(value, color="0.4", ls=":", lw=1)
            axis.annotate(
                plain(label), (0.02, value), xycoords=("axes fraction", "data"),
                xytext=(0, 2), textcoords="offset points", color="0.3", fontsize=7,
            )  # fmt: skip
        axis.set_xlabel("temperature (K)", **FONT)
        axis.set_ylabel(f"{panel.quantity} ({panel.unit})", **FONT)
        title = panel.title or ("" if few else f"{len(panel.curves):,} crystals")
        axis.set_title(plain(title), **FONT)
        if few:
            axis.legend(fontsize=7, frameon=False)
    save(figure, path)


def search_plot(
    path: str | Path,
    scores: Sequence[float | None],
    parameters: dict[str, Sequence[float | int | str | bool]],
    *,
    log: Sequence[str],
    quantity: str,
) -> None:
    """Draw the scores of a search: by trial, and by each parameter.

    Args:
        path: of the figure; the suffix says the format.
        scores: of each trial, less is better; None where it failed, one at least not.
        parameters: of each its value in each trial.
        log: those with a logarithmic axis.
        quantity: what the score is.
    """
    figure, axes = make_panels(1 + len(parameters))
    score = np.array(scores, dtype=float)
    failed, number = np.isnan(score), np.arange(1, len(score) + 1)
    best = int(np.nanargmin(score))
    top = np.nanmax(score)
    drawn = np.where(failed, top, score)
    running = np.fmin.accumulate(score)
    axes[0].step(
        number, running, where="post", color=COLOURS[1], lw=1.3, label="best so far"
    )
    for axis, name in zip(axes, ("trial", *parameters), strict=True):
        values = parameters.get(name, number)
        if any(isinstance(value, str | bool) for value in values):
            values = list(map(str, values))  # a place a choice
        values = np.asarray(values)
        good = {"color": COLOURS[0], "s": 14, "label": "trial"}
        axis.scatter(values[~failed], drawn[~failed], **good)
        if failed.any():
            bad = {"color": "0.4", "marker": "x", "s": 18, "label": "failed"}
            axis.scatter(values[failed], drawn[failed], **bad)
        star = {"color": COLOURS[1], "marker": "*", "s": 60, "label": "best"}
        axis.scatter(values[best : best + 1], drawn[best : best + 1], **star)
        if name in log:
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter(NullFormatter())
        elif values.dtype.kind == "i":
            axis.xaxis.get_major_locator().set_params(integer=True)
        axis.set_xlabel(plain(name), **FONT)
        axis.set_ylabel(quantity, **FONT)
    axes[0].legend(fontsize=7, frameon=False)
    save(figure, path)


def _draw(axis: Axes, curve: Curve, colour: str, style: str, few: bool) -> None:
    label = plain(shorten(curve.label))
    if len(curve.temperature_k) == 1:
        style = "s"
    if not few:
        axis.plot(curve.temperature_k, curve.value, color=colour, lw=0.5, alpha=0.4)
        return
    axis.plot(
        curve.temperature_k, curve.value, style, color=colour, lw=1.3, label=label
    )
    if curve.lower is not None:
        axis.fill_between(
            curve.temperature_k, curve.lower, curve.upper, color=colour, alpha=0.2, lw=0
        )
    if curve.points is not None:
        axis.plot(
            *curve.points, "o", color=colour, mfc="white", ms=3.5, mew=0.9,
            label=plain(shorten(curve.points_label)) or f"{label}, measured",
        )  # fmt: skip


def shorten(label: str) -> str:
    """Keep a legend narrow: of a long path the end tells files apart."""
    return label if len(label) <= _LONGEST else f"...{label[3 - _LONGEST :]}"


def _cycle_styles():
    """Another line style each time the colours begin again."""
    return cycle(style for style in _STYLES for _ in COLOURS)


def make_panels(n: int) -> tuple[Figure, list[Axes]]:
    """Two panels in a row at most, so that a page holds them at their size."""
    columns = 1 if n == 1 else 2
    rows = -(-n // columns)
    figure = Figure((_WIDTH * columns, _HEIGHT * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[n:]:
        axis.set_axis_off()
    for axis in axes[:n]:
        axis.grid(alpha=0.25, lw=0.5)
        axis.tick_params(labelsize=7)
    return figure, axes[:n]


def plain(text: str) -> str:
    """Keep names as they are: no formulas by `$`, no label hidden by a leading `_`."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; the suffix says the format."""
    path = Path(path)
    with atomic_open(path) as file:
        figure.savefig(file, dpi=200, format=path.suffix.removeprefix(".") or "png")
