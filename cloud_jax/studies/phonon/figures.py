"""Heat capacity against temperature: models, phonons and experiment (figure 5)."""

import re
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from cloud_jax.evaluation.figures import (
    COLOURS,
    FONT,
    LEGEND,
    draw_limit,
    make_panels,
    plain,
    save,
)
from cloud_jax.studies.phonon.heat_capacity import Material

# Styles of the models; dashes and green belong to the phonons.
_STYLES = ("-", (0, (1, 1)), "-.", (0, (5, 1, 1, 1, 1, 1)))
_HUES = (*COLOURS[:2], *COLOURS[3:5])


def heat_capacity_plot(path: str | Path, materials: Sequence[Material]) -> None:
    """Draw C_v(T) of models with their intervals, of phonons, and measured C_p.

    Args:
        path: the figure; its suffix is the format.
        materials: one per panel.
    """
    figure, axes = make_panels(len(materials))
    for axis, material in zip(axes, materials, strict=True):
        draw_limit(axis, "3NR", material.limit)
        for (label, cv), colour, style in zip(
            material.models.items(), cycle(_HUES), cycle(_STYLES), strict=False
        ):
            axis.fill_between(
                cv.index, cv["lower"], cv["upper"], color=colour, alpha=0.2, lw=0
            )
            axis.plot(
                cv.index, cv["value"], color=colour, ls=style, lw=1.3,
                label=f"C$_v$, {plain(label)}",
            )  # fmt: skip
        if material.harmonic is not None:
            axis.plot(
                material.harmonic.index, material.harmonic, "--", color=COLOURS[2],
                lw=1.3, label="C$_v$, DFT phonons",
            )  # fmt: skip
        if material.measured is not None:
            axis.plot(
                *material.measured, "o", color="black", mfc="white", ms=3.5, mew=0.9,
                label="C$_p$, measured",
            )  # fmt: skip
        axis.set(xlabel="temperature (K)", ylabel="heat capacity (J/(mol K))")
        title = re.sub(r"(\d+)", r"$_{\1}$", plain(material.name))
        title += f" ({material.role})" if material.role else ""
        axis.set_title(title, **FONT)
        axis.legend(loc="lower right", **LEGEND)
    save(figure, path)
