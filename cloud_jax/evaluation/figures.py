"""Figures: prediction against target, searches, and what all figures share.

One panel is as wide as a column of a journal. Figures are made without pyplot, so
nothing depends on a display or on what a notebook has open.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

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
LINES = ("-", "--", "-.", ":")  # tell curves apart without colour
MARKERS = ("o", "s", "^", "D")
COLUMN, PAGE = 3.4, 7.0  # inch; widths of a journal
_HEIGHT = 3.2  # inch, of a panel
LABEL = 8  # point: labels of axes and titles
SMALL = 7  # point: ticks, legends, notes
FONT = {"fontsize": LABEL}
LEGEND = {"fontsize": SMALL, "frameon": False}
_MAX_LABEL = 28  # letters


def parity_plot(
    path: str | Path,
    target: Float[np.ndarray, "N P"],
    prediction: Float[np.ndarray, "N P"],
    *,
    names: Sequence[str],
    units: Sequence[str],
    notes: Sequence[str] = (),
) -> None:
    """Draw prediction against target, one panel per target.

    Args:
        path: the figure; its suffix is the format.
        target: true values of the test rows; NaN where there is none to draw.
        prediction: predictions for the same rows.
        names: names of the targets.
        units: units of the targets; empty where there is none.
        notes: text in the corner of each panel, for instance the MAE.
    """
    figure, axes = make_panels(len(names))
    for i, (axis, name, unit) in enumerate(zip(axes, names, units, strict=True)):
        known = ~np.isnan(np.asarray(target)[:, i])
        true, found = (np.asarray(x)[known, i] for x in (target, prediction))
        if known.any():
            draw_diagonal(axis, true, found)
        # Many points: small and clear, and as pixels in a vector file.
        size = float(np.clip(3000 / max(len(true), 1), 2, 14))
        axis.scatter(
            true, found, s=size, color=COLOURS[0], alpha=0.5, lw=0, rasterized=True
        )
        name, of_unit = plain(name), f" ({unit})" if unit else ""
        axis.set_xlabel(f"{name}, target{of_unit}")
        axis.set_ylabel(f"{name}, predicted{of_unit}")
        if notes:
            write_note(axis, notes[i])
    save(figure, path)


def draw_diagonal(
    axis: Axes, true: Float[np.ndarray, " N"], found: Float[np.ndarray, " N"]
) -> tuple[float, float]:
    """Draw the line of perfect predictions; return the ends of both axes."""
    low, high = min(true.min(), found.min()), max(true.max(), found.max())
    margin = 0.04 * (high - low) or 1.0
    ends = (low - margin, high + margin)
    axis.plot(ends, ends, color="0.5", lw=0.8)
    axis.set(xlim=ends, ylim=ends, aspect="equal")
    axis.locator_params(nbins=5)  # long numbers must not run into each other
    return ends


def write_note(axis: Axes, text: str) -> None:
    """Write a note into the upper left corner of a panel."""
    axis.text(0.04, 0.96, text, transform=axis.transAxes, va="top", **FONT)


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
        path: the figure; its suffix is the format.
        scores: score of each trial, lower is better; None where it failed. At least
            one did not.
        parameters: {name: its value in each trial}.
        log: names of the parameters with a logarithmic axis.
        quantity: name of the score.
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
            values = list(map(str, values))  # one place per choice
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
        axis.set(xlabel=plain(name), ylabel=quantity)
    axes[0].legend(**LEGEND)
    save(figure, path)


def shorten(label: str) -> str:
    """Shorten a label to its end, which tells the files of long paths apart."""
    return label if len(label) <= _MAX_LABEL else f"...{label[3 - _MAX_LABEL :]}"


def make_panels(n: int) -> tuple[Figure, list[Axes]]:
    """Return a figure of n panels, at most two per row so that they fit a page."""
    columns = 1 if n == 1 else 2
    rows = -(-n // columns)
    figure = Figure((COLUMN * columns, _HEIGHT * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes[n:]:
        axis.set_axis_off()
    for axis in axes[:n]:
        style_axis(axis)
        axis.grid(alpha=0.25, lw=0.5)
    return figure, axes[:n]


def style_axis(axis: Axes) -> None:
    """Set the sizes of labels and ticks; a title takes `FONT`."""
    axis.tick_params(labelsize=SMALL)
    axis.xaxis.label.set_size(LABEL)
    axis.yaxis.label.set_size(LABEL)


def plain(text: str) -> str:
    """Escape a name, so that `$` starts no formula and a leading `_` hides no label."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def crystal_label(formula: Iterable[tuple[str, int]], symbol: str) -> str:
    """Return formula and space group for print, with indices and bars.

    Args:
        formula: (element, count) pairs, in the order of print.
        symbol: Hermann-Mauguin symbol, such as `R-3m`.
    """
    words = (element + (f"$_{{{n}}}$" if n > 1 else "") for element, n in formula)
    return f"{''.join(words)} ({symbol_label(symbol)})"


def symbol_label(symbol: str) -> str:
    """Return a Hermann-Mauguin symbol for print: `R-3m` with a bar over the 3."""
    return "$" + re.sub("-([1-6])", r"\\bar{\1}", symbol) + "$"


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all; its suffix is the format."""
    path = Path(path)
    with atomic_open(path) as file:
        figure.savefig(file, dpi=200, format=path.suffix.removeprefix(".") or "png")
