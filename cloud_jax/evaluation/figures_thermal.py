"""Figures of properties against temperature, for one crystal or for thousands.

Up to ten crystals share a frame as wide as a column of a journal, up to thirty are
small multiples on a page, and more are the rows of a heat map. At a single temperature
crystals are ranked by value. Size and time are bounded whatever the number of crystals.
"""

from collections.abc import Callable, Sequence
from itertools import cycle
from math import ceil
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cloud_jax.evaluation.figures import (
    COLOURS,
    COLUMN,
    FONT,
    LEGEND,
    LINES,
    MARKERS,
    PAGE,
    SMALL,
    save,
    style_axis,
)

_IN_ONE_FRAME = 10  # crystals
_MULTIPLES = 30  # crystals, at most, each in a small frame
_PER_ROW = 5  # small frames
_SMALL_FRAME = (PAGE / _PER_ROW, 1.35)  # inch
_LEGEND_ROW = 0.15  # inch
_NAMED_ROWS = 60  # of a ranking or a heat map; of more rows, every k-th is named
_ROW = 0.125  # inch
_MAX_ROWS = 1000  # of more crystals, as many evenly spaced by rank are drawn
_MEASURED = {
    "ls": "", "mfc": "white", "ms": 3.5, "mew": 0.9, "zorder": 3, "clip_on": False,
    "label": "measured $C_p$",
}  # fmt: skip
_LIMIT = {"color": "0.4", "label": "Dulong-Petit"}


class Curve(NamedTuple):
    """One property of one crystal.

    Attributes:
        label: name of the crystal, as `crystal_label` writes it.
        value: [T] in the unit of its panel.
        lower: [T] lower end of the interval; NaN where there is none.
        upper: [T] upper end.
        points: measured (temperatures in K, values), or None.
        limit: Dulong and Petit's value, or None.
        atoms: mol of atoms per mol of what the values refer to; 1 if the property does
            not grow with the amount.
    """

    label: str
    value: Float[np.ndarray, " T"]
    lower: Float[np.ndarray, " T"]
    upper: Float[np.ndarray, " T"]
    points: tuple[Float[np.ndarray, " M"], Float[np.ndarray, " M"]] | None = None
    limit: float | None = None
    atoms: float = 1.0

    @property
    def comes_near_limit(self) -> bool:
        """Return whether the values pass half of Dulong and Petit's."""
        return self.limit is not None and np.nanmax(self.value) > self.limit / 2


class Panel(NamedTuple):
    """One property of several crystals.

    Attributes:
        quantity: for instance `heat capacity $C_v$`.
        unit: of the values.
        basis: what the values refer to, for instance `per mol of formula units`.
        temperature_k: [T], ascending.
        curves: one per crystal.
    """

    quantity: str
    unit: str
    basis: str
    temperature_k: Float[np.ndarray, " T"]
    curves: Sequence[Curve]

    @property
    def title(self) -> str:
        """Return the label of the axis of the values, in two lines."""
        return f"{self.quantity} ({self.unit})\n{self.basis}".rstrip("\n")


class _Layout(NamedTuple):
    """How a panel is drawn: width and height in inches, and the function."""

    width: float
    height: float
    draw: Callable[[Figure | SubFigure, Panel], None]


def thermal_figure(path: str | Path, panels: Sequence[Panel]) -> None:
    """Draw properties of crystals, one panel per property.

    Args:
        path: the figure; its suffix is the format.
        panels: at least one.
    """
    layouts = [_layout(panel) for panel in panels]
    columns = 2 if len(panels) > 1 and all(x.width == COLUMN for x in layouts) else 1
    heights = [
        max(layout.height for layout in layouts[start : start + columns])
        for start in range(0, len(layouts), columns)
    ]
    width = columns * max(layout.width for layout in layouts)
    figure = Figure((width, sum(heights)), layout="constrained")
    parts = figure.subfigures(
        len(heights), columns, height_ratios=heights, squeeze=False
    )
    for part, panel, layout in zip(parts.flat, panels, layouts, strict=False):
        layout.draw(part, panel)
    save(figure, path)


def _layout(panel: Panel) -> _Layout:
    n = len(panel.curves)
    if len(panel.temperature_k) == 1:
        return _Layout(COLUMN, _rows_height(n), _draw_ranking)
    if n <= _IN_ONE_FRAME:
        return _Layout(COLUMN, 2.7 + _LEGEND_ROW * (ceil(n / 2) + 1), _draw_frame)
    if n <= _MULTIPLES:
        width, height = _SMALL_FRAME
        rows = ceil(n / _PER_ROW)
        return _Layout(width * _PER_ROW, height * rows + 0.5, _draw_multiples)
    return _Layout(COLUMN, _rows_height(n), _draw_heat_map)


def _rows_height(n: int) -> float:
    return max(1.5, _ROW * min(n, _NAMED_ROWS) + 0.9)


def _draw_curve(
    axis: Axes, temperature_k: Float[np.ndarray, " T"], curve: Curve, colour: str,
    line: str = "-", marker: str = "o",
) -> None:  # fmt: skip
    """Draw a curve with the band of its interval and its measured points."""
    band = {"color": colour, "alpha": 0.2, "lw": 0}
    axis.fill_between(temperature_k, curve.lower, curve.upper, **band)
    axis.plot(temperature_k, curve.value, line, color=colour, lw=1.3)
    if curve.points is not None:
        axis.plot(*curve.points, color=colour, marker=marker, **_MEASURED)


def _draw_frame(figure: Figure | SubFigure, panel: Panel) -> None:
    """Draw all curves in one frame, with a legend below."""
    axis = figure.subplots()
    styles = zip(cycle(COLOURS), _line_styles(), cycle(MARKERS), strict=False)
    handles = []
    for curve, style in zip(panel.curves, styles, strict=False):
        _draw_curve(axis, panel.temperature_k, curve, *style)
        line = {"color": style[0], "ls": style[1], "lw": 1.3}
        handles.append(Line2D([], [], label=curve.label, **line))
    _draw_limits(axis, panel.curves)
    style_axis(axis)
    axis.grid(alpha=0.25, lw=0.5)
    axis.set_xlabel("temperature (K)", **FONT)
    axis.set_ylabel(panel.title, **FONT)
    axis.set_xlim(panel.temperature_k[[0, -1]])
    handles += _shared_handles(panel.curves, COLOURS[0] if len(handles) == 1 else "0.4")
    _legend_below(figure, handles, 3 if len(handles) == 3 else 2)


def _draw_limits(axis: Axes, curves: Sequence[Curve]) -> None:
    """Draw the limits of Dulong and Petit that curves come near to, each named once."""
    near = {curve.limit: curve.atoms for curve in curves if curve.comes_near_limit}
    for limit, atoms in near.items():
        several = len(near) > 1 and float(atoms).is_integer()
        label = f"Dulong-Petit, {atoms:g} atoms" if several else "Dulong-Petit"
        _draw_limit(axis, label.replace(" 1 atoms", " 1 atom"), limit)
    low, high = axis.get_ylim()
    if near:
        high = max(high, 1.1 * max(near))  # room for the label
    axis.set_ylim(0 if any(curve.limit for curve in curves) else low, high)


def _draw_limit(axis: Axes, label: str, value: float) -> None:
    """Draw a dotted horizontal line and its label."""
    axis.axhline(value, color="0.4", ls=":", lw=1)
    axis.annotate(
        label, (0.02, value), xycoords=("axes fraction", "data"),
        xytext=(0, 2), textcoords="offset points", color="0.3", fontsize=SMALL,
    )  # fmt: skip


def _shared_handles(curves: Sequence[Curve], colour: str) -> list[Patch | Line2D]:
    """Return legend entries for what all curves have: intervals, measured points."""
    handles: list[Patch | Line2D] = []
    if any(np.isfinite(curve.lower).any() for curve in curves):
        handles.append(Patch(color=colour, alpha=0.3, lw=0, label="interval"))
    if any(curve.points is not None for curve in curves):
        handles.append(Line2D([], [], color=colour, marker="o", **_MEASURED))
    return handles


def _legend_below(
    figure: Figure | SubFigure, handles: Sequence[Patch | Line2D], columns: int
) -> None:
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns,
        columnspacing=1.2, **LEGEND,
    )  # fmt: skip


def _draw_multiples(figure: Figure | SubFigure, panel: Panel) -> None:
    """Draw each curve in a small frame of its own."""
    rows = ceil(len(panel.curves) / _PER_ROW)
    axes = list(figure.subplots(rows, _PER_ROW, sharex=True, squeeze=False).flat)
    for axis, curve in zip(axes, panel.curves, strict=False):
        _draw_curve(axis, panel.temperature_k, curve, COLOURS[0])
        if curve.comes_near_limit:
            axis.axhline(curve.limit, ls=":", lw=1, **_LIMIT)
        if curve.limit:
            room = 1.05 * curve.limit if curve.comes_near_limit else 0
            axis.set_ylim(0, max(axis.get_ylim()[1], room))
        style_axis(axis)
        axis.set_title(curve.label, fontsize=SMALL, pad=3)
        axis.set_xlim(panel.temperature_k[[0, -1]])
        axis.locator_params(nbins=3)
    for place in range(len(panel.curves), len(axes)):
        axes[place].set_axis_off()
        axes[place - _PER_ROW].tick_params(labelbottom=True)  # no frame below it
    figure.supxlabel("temperature (K)", **FONT)
    figure.supylabel(panel.title, multialignment="center", **FONT)
    handles = _shared_handles(panel.curves, COLOURS[0])
    if any(curve.limit for curve in panel.curves):
        handles.append(Line2D([], [], ls=":", lw=1, **_LIMIT))
    if handles:
        figure.legend(
            handles=handles, loc="outside upper center", ncols=len(handles), **LEGEND
        )


def _ranked(panel: Panel, key: Float[np.ndarray, " N"]) -> list[int]:
    """Return the rows to draw, by falling key; evenly spaced where there are many."""
    order = np.argsort(-key, kind="stable")
    kept = np.linspace(0, len(order) - 1, min(len(order), _MAX_ROWS))
    return order[np.round(kept).astype(int)].tolist()


def _name_rows(axis: Axes, panel: Panel, rows: Sequence[int]) -> None:
    """Name the rows of a ranking or a heat map from the top, or every k-th."""
    step = ceil(len(rows) / _NAMED_ROWS)
    places = range(0, len(rows), step)
    axis.set_yticks(places, [panel.curves[rows[place]].label for place in places])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    notes = []
    if step > 1:
        notes.append(f"one crystal in {step} is named")
    if len(rows) < len(panel.curves):
        notes.append(f"{len(rows):,} of {len(panel.curves):,} crystals, by rank")
    axis.set_title("; ".join(notes), fontsize=SMALL)


def _draw_ranking(figure: Figure | SubFigure, panel: Panel) -> None:
    """Draw the values at one temperature as points with intervals, largest first."""
    values, lower, upper = (
        np.array([getattr(curve, name)[0] for curve in panel.curves])
        for name in ("value", "lower", "upper")
    )
    rows = _ranked(panel, values)
    place = np.arange(len(rows))
    axis = figure.subplots()
    few = len(rows) <= _NAMED_ROWS
    if few:
        axis.hlines(place, lower[rows], upper[rows], color=COLOURS[0], lw=1, alpha=0.6)
    else:
        band = {"color": COLOURS[0], "alpha": 0.2, "lw": 0}
        axis.fill_betweenx(place, lower[rows], upper[rows], **band)
    axis.plot(values[rows], place, "o", color=COLOURS[0], ms=4 if few else 1.5)
    handles = {}
    for i, row in enumerate(rows if few else ()):
        curve = panel.curves[row]
        if curve.limit:
            (mark,) = axis.plot(curve.limit, i, "|", ms=7, **_LIMIT)
            handles["limit"] = mark
        if curve.points is not None:
            at = [i] * len(curve.points[1])
            (mark,) = axis.plot(curve.points[1], at, "D", color=COLOURS[1], **_MEASURED)
            handles["points"] = mark
    if handles:
        _legend_below(figure, list(handles.values()), 2)
    _name_rows(axis, panel, rows)
    style_axis(axis)
    axis.grid(alpha=0.25, lw=0.5)
    at = panel.temperature_k[0]
    axis.set_xlabel(panel.title + ("" if np.isnan(at) else f", {at:g} K"), **FONT)


def _draw_heat_map(figure: Figure | SubFigure, panel: Panel) -> None:
    """Draw one row per crystal, coloured by value per mol of atoms."""
    values = np.array([curve.value / curve.atoms for curve in panel.curves])
    rows = _ranked(panel, values.mean(axis=1))
    axis = figure.subplots()
    at = panel.temperature_k
    edges = [at[0], *(at[1:] + at[:-1]) / 2, at[-1]]
    # An image, which is much faster than the cells of pcolormesh.
    image = axis.pcolorfast(
        edges, np.arange(len(rows) + 1) - 0.5, values[rows], cmap="viridis"
    )
    _name_rows(axis, panel, rows)
    style_axis(axis)
    axis.set_xlabel("temperature (K)", **FONT)
    basis = "per mol of atoms" if panel.basis else ""
    bar = figure.colorbar(image, ax=axis, location="top", aspect=30, pad=0.01)
    bar.set_label(panel._replace(basis=basis).title, **FONT)
    bar.ax.tick_params(labelsize=SMALL)


def _line_styles():
    """Return line styles, another one each time the colours begin again."""
    return cycle(style for style in LINES for _ in COLOURS)
