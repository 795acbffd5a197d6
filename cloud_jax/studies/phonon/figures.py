"""Heat capacity against temperature: models, phonons and experiment (figure 5)."""

import re
from collections.abc import Sequence
from itertools import cycle
from math import ceil
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cloud_jax.evaluation.figures import (
    COLOURS,
    FONT,
    LEGEND,
    PAGE,
    plain,
    save,
    style_axis,
)
from cloud_jax.studies.phonon.heat_capacity import Material

# Styles of the models; dashes and green belong to the phonons.
_STYLES = ("-", (0, (1, 1)), "-.", (0, (5, 1, 1, 1, 1, 1)))
_HUES = (*COLOURS[:2], *COLOURS[3:5])
_PER_ROW = 4  # panels
_HEIGHT = 1.8  # inch, of a panel


def heat_capacity_plot(path: str | Path, materials: Sequence[Material]) -> None:
    """Draw C_v(T) of models with their intervals, of phonons, and measured C_p.

    Args:
        path: the figure; its suffix is the format.
        materials: one per panel.
    """
    rows = ceil(len(materials) / _PER_ROW)
    figure = Figure((PAGE, _HEIGHT * rows + 0.6), layout="constrained")
    axes = list(figure.subplots(rows, _PER_ROW, squeeze=False).flat)
    handles = {}
    for axis, material in zip(axes, materials, strict=False):
        _draw(axis, material)
        style_axis(axis)
        title = re.sub(r"(\d+)", r"$_{\1}$", plain(material.name))
        title += f" ({material.role})" if material.role else ""
        axis.set_title(title, **FONT)
        handles |= dict(zip(*axis.get_legend_handles_labels()[::-1], strict=True))
    for axis in axes[len(materials) :]:
        axis.set_axis_off()
    figure.supxlabel("temperature (K)", **FONT)
    figure.supylabel("heat capacity (J/(mol K)) per mol of formula units", **FONT)
    figure.legend(
        handles.values(), handles, loc="outside upper center",
        ncols=min(len(handles), _PER_ROW), **LEGEND,
    )  # fmt: skip
    save(figure, path)


def _draw(axis: Axes, material: Material) -> None:
    axis.axhline(material.limit, color="0.4", ls=":", lw=1, label="Dulong-Petit, 3NR")
    for (label, cv), colour, style in zip(
        material.models.items(), cycle(_HUES), cycle(_STYLES), strict=False
    ):
        axis.fill_between(
            cv.index, cv["lower"], cv["upper"], color=colour, alpha=0.2, lw=0,
            label="interval",
        )  # fmt: skip
        axis.plot(
            cv.index, cv["value"], color=colour, ls=style, lw=1.3,
            label=f"C$_v$, {plain(label)}",
        )  # fmt: skip
    if material.harmonic is not None:
        axis.plot(
            material.harmonic.index, material.harmonic, "--", color=COLOURS[2],
            lw=1.3, label="C$_v$, DFT phonons",
        )  # fmt: skip
    axis.plot(
        *material.measured, "o", color="black", mfc="white", ms=3.5, mew=0.9,
        label="C$_p$, measured",
    )  # fmt: skip
    axis.set_ylim(0, max(axis.get_ylim()[1], 1.05 * material.limit))
    axis.set_xlim(left=0)
    axis.locator_params(nbins=4)
    axis.grid(alpha=0.25, lw=0.5)
