"""Heat capacity against temperature, of a model, of phonons and measured: figure 5."""

import re
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path

from cloud_jax.evaluation.figures import COLOURS, FONT, make_panels, plain, save
from cloud_jax.studies.phonon.comparison import Material

_SMALL = 7
# Of models; dashes and green are the phonons'.
_STYLES = ("-", (0, (1, 1)), "-.", (0, (5, 1, 1, 1, 1, 1)))
_HUES = (*COLOURS[:2], *COLOURS[3:5])


def heat_capacity_plot(path: str | Path, materials: Sequence[Material]) -> None:
    """Draw C_v(T) of models with their interval, of phonons, and measured C_p.

    Args:
        path: of the figure; the suffix says the format.
        materials: one a panel.
    """
    figure, axes = make_panels(len(materials))
    for axis, material in zip(axes, materials, strict=True):
        axis.axhline(material.limit, color="0.4", ls=":", lw=1)
        axis.annotate(
            "3NR", (0.01, material.limit), xycoords=("axes fraction", "data"),
            xytext=(0, 2), textcoords="offset points", color="0.3", fontsize=_SMALL,
        )  # fmt: skip
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
        axis.set_xlabel("temperature (K)", **FONT)
        axis.set_ylabel("heat capacity (J/(mol K))", **FONT)
        title = re.sub(r"(\d+)", r"$_{\1}$", plain(material.name))
        title += f" ({material.role})" if material.role else ""
        axis.set_title(title, **FONT)
        axis.legend(fontsize=_SMALL, frameon=False, loc="lower right")
    save(figure, path)
