"""Figures of errors by crystal: figures 4b, 4c and 4d of the paper, for any target.

Each function draws one panel per target and compares any number of runs in it.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.patches import Patch
from scipy.stats import gaussian_kde

from cloud_jax.evaluation.figures import (
    COLOURS,
    FONT,
    LEGEND,
    SMALL,
    make_panels,
    plain,
    save,
    shorten,
)
from cloud_jax.scope.crystal_systems import LAST_GROUP
from cloud_jax.studies.phonon.errors import (
    Errors,
    by_system,
    by_volume,
    volume_edges,
)

_HATCHES = ("", "///", "...", "xxx", "\\\\\\")  # tell runs apart without colour
# In units of the standard deviation, which a few large errors make wide.
_BANDWIDTH = 0.1
_HALF = 0.26  # height of half a violin; runs are 1 apart
_N_OUTLINE = 400  # points of a violin's outline


class ErrorPanel(NamedTuple):
    """One pair of axes: the runs on one target.

    Attributes:
        quantity: the target in words.
        runs: their errors, all in one unit.
    """

    quantity: str
    runs: Sequence[Errors]

    @property
    def of_unit(self) -> str:
        """Return the unit in brackets, where there is one."""
        unit = self.runs[0].unit
        return f" ({unit})" if unit else ""


def violin_plot(path: str | Path, panels: Sequence[ErrorPanel]) -> None:
    """Draw the distribution of each run's errors, and name the largest.

    Thin bars go from the 5th to the 95th percentile, thick ones over the middle half, a
    white dot is the median; crosses are the greatest errors of both signs.

    Args:
        path: the figure; its suffix is the format.
        panels: one per target.
    """
    figure, axes = make_panels(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        axis.axvline(0, color="0.5", lw=0.8)
        span = np.ptp(np.concatenate([run.error for run in panel.runs]))
        for place, (run, colour, hatch) in enumerate(_styled(panel.runs)):
            # Where a run's errors fill little of the axis, its ids go outside.
            outside = np.ptp(run.error) < 0.5 * span
            _draw_violin(axis, run, place, colour, hatch, outside)
        axis.margins(x=0.2)  # room for ids outside
        axis.set(ylim=(len(panel.runs) - 0.45, -0.6), yticks=[])
        axis.locator_params(axis="x", nbins=6)
        axis.set_xlabel(f"{plain(panel.quantity)}, target - predicted{panel.of_unit}")
        axis.grid(axis="y", visible=False)
    save(figure, path)


def _styled(runs: Sequence[Errors]) -> Iterator[tuple[Errors, str, str]]:
    """Return each run with its colour and hatch, the same in all figures."""
    return zip(runs, cycle(COLOURS[:6]), cycle(_HATCHES), strict=False)


def _draw_violin(
    axis: Axes, run: Errors, place: int, colour: str, hatch: str, outside: bool
) -> None:
    """Draw one run: its outline, bars, and the largest errors with their ids."""
    error = run.error
    if len(error) > 1 and np.ptp(error) > 0:
        x = np.linspace(error.min(), error.max(), _N_OUTLINE)
        height = gaussian_kde(error, _BANDWIDTH)(x)
        height *= _HALF / height.max()
        axis.fill_between(
            x, place - height, place + height,
            facecolor=colour, alpha=0.5, edgecolor=colour, lw=0.8, hatch=hatch,
        )  # fmt: skip
    low, quarter, median, upper, high = np.percentile(error, (5, 25, 50, 75, 95))
    axis.plot((low, high), (place, place), color="black", lw=0.8)
    axis.plot((quarter, upper), (place, place), color="black", lw=3)
    axis.plot(median, place, "o", color="white", ms=3, mec="black", mew=0.6)
    label = f"{run.label}: MAE {np.abs(error).mean():,.4g}"
    axis.text(
        0.02, place - _HALF - 0.03, plain(label), fontsize=SMALL, va="bottom",
        transform=axis.get_yaxis_transform(),
    )  # fmt: skip
    sides = ("right", "left") if outside else ("left", "right")
    for i, side in zip((error.argmin(), error.argmax()), sides, strict=True):
        axis.plot(error[i], place, "x", color="black", ms=4, mew=0.9)
        axis.annotate(
            plain(shorten(run.ids[i])), (error[i], place), (0, -5), va="top",
            textcoords="offset points", ha=side, fontsize=SMALL,
        )  # fmt: skip


def volume_plot(path: str | Path, panels: Sequence[ErrorPanel]) -> None:
    """Draw the absolute errors by volume of the primitive cell.

    Six bins hold equally many of the tested crystals. Boxes are the middle half, lines
    the medians, whiskers go from the 5th to the 95th percentile.

    Args:
        path: the figure; its suffix is the format.
        panels: one per target.

    Raises:
        ValueError: too few volumes are known.
    """
    figure, axes = make_panels(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        edges = volume_edges(panel.runs)
        if not edges:
            raise ValueError(f"{panel.quantity}: too few volumes are known for bins")
        width = 0.8 / len(panel.runs)
        for i, (run, colour, hatch) in enumerate(_styled(panel.runs)):
            _draw_boxes(
                axis, by_volume(run, edges), i * width - 0.4 + width / 2, 0.85 * width,
                {"facecolor": colour, "alpha": 0.6, "hatch": hatch, "lw": 0.6},
            )  # fmt: skip
        axis.set_yscale("log")
        axis.set_xticks(np.arange(len(edges)) - 0.5, [f"{x:.0f}" for x in edges])
        axis.set_xlim(-0.5, len(edges) - 1.5)
        axis.set_xlabel("volume of the primitive cell (Å$^3$)")
        axis.set_ylabel(f"{plain(panel.quantity)}, absolute error{panel.of_unit}")
        axis.legend(
            handles=[
                Patch(fc=colour, alpha=0.6, hatch=hatch, ec="black", lw=0.6,
                      label=plain(run.label))
                for run, colour, hatch in _styled(panel.runs)
            ],
            loc="upper left", **LEGEND,
        )  # fmt: skip
        low, high = axis.get_ylim()
        axis.set_ylim(low, high * (high / low) ** (0.075 * len(panel.runs)))
    save(figure, path)


def _draw_boxes(axis: Axes, bins: Sequence[np.ndarray], shift: float, width: float,
                face: dict) -> None:  # fmt: skip
    """Draw the boxes of one run, shifted beside those of others."""
    drawn = [(i + shift, own) for i, own in enumerate(bins) if len(own)]
    places, values = zip(*drawn, strict=True) if drawn else ((), ())
    axis.boxplot(
        values, positions=places, widths=width, whis=(5, 95), showfliers=False,
        patch_artist=True, manage_ticks=False, boxprops=face,
        medianprops={"color": "black", "lw": 1.2}, capprops={"lw": 0.6},
        whiskerprops={"lw": 0.6},
    )  # fmt: skip


def symmetry_plot(path: str | Path, panels: Sequence[ErrorPanel]) -> None:
    """Draw the mean absolute error by crystal system and run, as a heat map.

    Args:
        path: the figure; its suffix is the format.
        panels: one per target.

    Raises:
        ValueError: no space group is known.
    """
    figure, axes = make_panels(len(panels))
    for axis, panel in zip(axes, panels, strict=True):
        found = [by_system(run) for run in panel.runs]
        systems = [name for name in LAST_GROUP if any(len(own[name]) for own in found)]
        if not systems:
            raise ValueError(f"{panel.quantity}: no space group is known")
        means = np.array(
            [
                [own[name].mean() if len(own[name]) else np.nan for own in found]
                for name in systems
            ]
        )
        _draw_heat_map(axis, means)
        counts = [max(len(own[name]) for own in found) for name in systems]
        rows = [f"{name} ({n})" for name, n in zip(systems, counts, strict=True)]
        axis.set_yticks(range(len(systems)), rows)
        axis.set_xticks(
            range(len(found)),
            [plain(run.label.replace(", ", ",\n")) for run in panel.runs],
        )
        axis.tick_params(length=0)
        axis.set_title(
            f"{plain(panel.quantity)}, mean absolute error{panel.of_unit}", **FONT
        )
        axis.grid(visible=False)
    save(figure, path)


def _draw_heat_map(axis: Axes, means: np.ndarray) -> None:
    """Draw the cells with their numbers; on a log scale where they span a decade."""
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    wide = 0 < low < high / 10
    scale = LogNorm(low, high) if wide else Normalize(low, high)
    hues = colormaps["cividis_r"]
    axis.imshow(means, cmap=hues, norm=scale, aspect="auto")
    for (row, column), value in np.ndenumerate(means):
        if np.isfinite(value):
            number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
            dark = np.mean(hues(scale(value))[:3]) < 0.5
            axis.text(
                column, row, number, ha="center", va="center",
                color="white" if dark else "black", fontsize=SMALL,
            )  # fmt: skip
