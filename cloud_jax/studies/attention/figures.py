"""Figures of attention: heat map of a crystal, p1 and p2 of a set by layer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cloud_jax.evaluation.figures import (
    COLOURS,
    COLUMN,
    FONT,
    LABEL,
    MARKERS,
    PAGE,
    SMALL,
    make_panels,
    plain,
    save,
)

_PITCH = 0.1  # inch per token: a line of 7 points, read from below
_MARGIN = 0.95  # inch, for the axis and the colour bar
_STRONGEST = COLOURS[1]


def heat_map(
    path: str | Path,
    weights: Float[np.ndarray, "N H L"],
    words: Sequence[str],
    *,
    strongest: Sequence[Sequence[int]],
    marked: int,
    parts: Sequence[tuple[str, int, int]],
    title: str,
) -> None:
    """Draw the attention from [CLS] to each token, one panel per layer (Figure S2).

    Args:
        path: the figure; its suffix is the format.
        weights: N layers, H heads, L tokens; the first token is [CLS].
        words: names of the tokens, written below.
        strongest: places of the most attended tokens per layer, marked by triangles.
        marked: the layer, from 0, whose strongest tokens are coloured below.
        parts: name, first and last place of each part of the sentence, written above.
        title: text above the figure.
    """
    n_layers, n_heads, n_tokens = weights.shape
    width = _MARGIN + _PITCH * n_tokens
    width = next((w for w in (COLUMN, PAGE) if width <= w), width)
    panel = float(np.clip(0.14 * n_heads, 0.35, 0.6))
    height = 1.15 + n_layers * (panel + 0.12)
    figure = Figure((width, height), layout="constrained")
    axes = list(figure.subplots(n_layers, 1, sharex=True, squeeze=False).flat)
    # The attention of [CLS] to itself may be nearly all, and is left out of the scale.
    highest = float(weights[:, :, 1:].max())
    # A square root, so that weak attention is visible beside the strongest token.
    norm = PowerNorm(0.5, vmin=0.0, vmax=highest)
    settings = {"cmap": "cividis", "norm": norm, "aspect": "auto"}
    for i, axis in enumerate(axes):
        image = axis.imshow(weights[i], interpolation="nearest", **settings)
        heads = sorted({0, n_heads - 1}) if n_heads > 6 else range(n_heads)
        axis.set_yticks(list(heads), [str(head + 1) for head in heads])
        axis.set_ylabel(f"layer {i + 1}", **FONT)
        axis.tick_params(labelsize=SMALL, length=2)
        top = np.full(len(strongest[i]), -0.5)
        style = {"color": _STRONGEST, "ms": 4, "clip_on": False, "zorder": 3}
        axis.plot(list(strongest[i]), top, "v", **style)
        for _, first, _ in parts[1:]:
            axis.axvline(first - 1, color="white", lw=0.8)
    _name_parts(axes[0], parts, title)
    _write_words(axes[-1], words, strongest[marked])
    extend = "max" if weights.max() > highest else "neither"
    bar = figure.colorbar(image, ax=axes, aspect=8 * height, pad=0.02, extend=extend)
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label("attention from [CLS]", **FONT)
    figure.supylabel("head", **FONT)
    save(figure, path)


def _name_parts(axis: Axes, parts: Sequence[tuple[str, int, int]], title: str) -> None:
    """Write the names of the parts and the title above a panel."""
    for name, first, last in parts:
        axis.annotate(
            name, ((first + last) / 2, 1), xycoords=("data", "axes fraction"),
            xytext=(0, 5), textcoords="offset points", ha="center", fontsize=SMALL,
        )  # fmt: skip
    axis.set_title(plain(title), pad=16, **FONT)


def _write_words(axis: Axes, words: Sequence[str], strong: Sequence[int]) -> None:
    """Write the tokens below a panel, the strongest in colour."""
    axis.set_xticks(range(len(words)), [plain(word) for word in words], rotation=90)
    axis.tick_params(axis="x", labelsize=SMALL, length=2, pad=1)
    for place, label in enumerate(axis.get_xticklabels()):
        if place in strong:
            label.set(color=_STRONGEST, fontweight="bold")


def share_plot(path: str | Path, measured: dict[str, dict[str, Any]]) -> None:
    """Draw p1 and p2 by layer, one series per k, each with its null.

    Args:
        path: the figure; its suffix is the format.
        measured: {title: result of `statistics.measure`}; one row of two panels each.
    """
    figure, axes = make_panels(2 * len(measured))
    pairs = [axes[i : i + 2] for i in range(0, len(axes), 2)]
    for row, (name, found) in zip(pairs, measured.items(), strict=True):
        for axis, quantity in zip(row, ("p1", "p2"), strict=True):
            _draw_shares(axis, found["layers"], quantity)
            axis.set_title(plain(name), **FONT)
    names = [str(row["k"]) for row in next(iter(measured.values()))["layers"][0]["top"]]
    handles = [
        Line2D(
            [], [], color=COLOURS[i], marker=MARKERS[i], ms=4, lw=1, label=f"k = {k}"
        )
        for i, k in enumerate(names)
    ]
    by_share = {"ls": "--", "lw": 1, "marker": "o", "ms": 4, "mfc": "white"}
    handles.append(Line2D([], [], color="0.3", label="by token share", **by_share))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(handles), fontsize=LABEL,
        frameon=False,
    )  # fmt: skip
    save(figure, path)


def _draw_shares(axis: Axes, layers: Sequence[dict[str, Any]], quantity: str) -> None:
    """Draw one quantity by layer with its intervals and its null."""
    n_top = len(layers[0]["top"])
    place = np.array([layer["layer"] for layer in layers], dtype=float)
    for i in range(n_top):
        rows = [layer["top"][i][quantity] for layer in layers]
        value = np.array([row["value"] for row in rows])
        ends = np.array([row["interval"] for row in rows])
        away = np.clip(np.stack([value - ends[:, 0], ends[:, 1] - value]), 0, None)
        shift = 0.12 * (i - (n_top - 1) / 2)  # side by side, not on each other
        axis.errorbar(
            place + shift, value, away, fmt=MARKERS[i] + "-", color=COLOURS[i],
            ms=4, lw=0.8, elinewidth=1.2, capsize=2,
        )  # fmt: skip
        null = [row["null"] for row in rows]
        axis.plot(
            place + shift, null, MARKERS[i] + "--", color=COLOURS[i], mfc="white",
            ms=4, lw=0.8,
        )  # fmt: skip
    what = {
        "p1": "p1: a space-group token in the top k",
        "p2": "p2: space-group share of the top k",
    }
    axis.set(xlim=(0.5, len(layers) + 0.5), ylim=(-0.03, 1.03))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set(xlabel="layer", ylabel=what[quantity])
