"""One page on a data set: its sources, symmetries, sizes and elements.

It draws the content of `report.json`, for five crystals from one source as well as for
millions from twenty.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import EngFormatter, LogLocator

from cloud_jax.evaluation.figures import (
    COLOURS,
    FONT,
    LEGEND,
    PAGE,
    SMALL,
    plain,
    save,
    shorten,
    style_axis,
    symbol_label,
)
from cloud_jax.scope.crystal_systems import LAST_GROUP

_SIZE = (PAGE, 9.6)  # inch; the page of a journal
_MAX_BARS = 12  # in a panel; the rest is summed in the last one
# Of the crystal systems: Okabe and Ito's colours without black.
_HUES = dict(zip(LAST_GROUP, [*COLOURS[:6], "#999999"], strict=True))
_FATES = {  # what became of a crystal that was read: its colour
    "kept": COLOURS[0],
    "duplicate in its source": COLOURS[5],
    "duplicate of another's": COLOURS[4],
    "reserved": COLOURS[3],
    "rejected": COLOURS[1],
}
_PERIODIC_TABLE = (
    "H . . . . . . . . . . . . . . . . He",
    "Li Be . . . . . . . . . . B C N O F Ne",
    "Na Mg . . . . . . . . . . Al Si P S Cl Ar",
    "K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr",
    "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe",
    "Cs Ba . Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn",
    "Fr Ra",
    "",
    ". . La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu",
    ". . Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr",
)


def dataset_page(path: str | Path, report: dict) -> None:
    """Draw the page of a data set.

    Args:
        path: the figure; its suffix is the format.
        report: content of the `report.json` of the data set.
    """
    n_bars = min(max(len(report["sources"]), len(report["reasons"])), _MAX_BARS)
    figure = Figure(_SIZE, layout="constrained")
    # Two subfigures, so that long names of sources make only their own panels narrow.
    top, rest = figure.subfigures(2, height_ratios=(0.6 + 0.07 * n_bars, 4))
    axes = top.subplot_mosaic([["fates", "reasons"]]) | rest.subplot_mosaic(
        [["systems", "groups"], ["tokens", "atoms"],
         ["elements", "elements"], ["words", "words"]],
        height_ratios=(1, 1, 1.35, 0.45),
    )  # fmt: skip
    for name, axis in axes.items():
        style_axis(axis)
        if name not in ("elements", "words"):
            axis.grid(alpha=0.25, lw=0.5)
            axis.set_axisbelow(True)
    _draw_fates(axes["fates"], report["sources"])
    _draw_reasons(axes["reasons"], report["reasons"])
    _draw_systems(axes["systems"], report)
    _draw_groups(axes["groups"], report["space_groups"])
    _draw_lengths(axes["tokens"], report)
    _draw_atoms(axes["atoms"], report["primitive_cell_atoms"])
    _draw_elements(axes["elements"], report["vocabulary"])
    _draw_words(axes["words"], report["vocabulary"])
    read = sum(source["n_read"] for source in report["sources"])
    figure.suptitle(
        f"{report['records']:,} crystals of {read:,} read, {report['dialect']} dialect",
        fontsize=10,
    )
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")  # saving would lay it out a second time
    save(figure, path)


def _draw_fates(axis: Axes, sources: Sequence[dict]) -> None:
    """Draw what became of the crystals of each source, in per cent."""
    sources = sorted(sources, key=lambda source: -source["n_read"])
    rows = [(shorten(source["name"]), _fates(source)) for source in sources]
    if len(rows) > _MAX_BARS:
        rest = [fates for _, fates in rows[_MAX_BARS - 1 :]]
        others = (f"{len(rest)} others", np.sum(rest, axis=0))
        rows = [*rows[: _MAX_BARS - 1], others]
    numbers = np.array([fates for _, fates in rows], dtype=float)
    total = numbers.sum(axis=1)
    share = 100 * numbers / np.maximum(total, 1)[:, None]
    left = np.zeros(len(rows))
    for i, (fate, colour) in enumerate(_FATES.items()):
        if numbers[:, i].any():
            axis.barh(
                range(len(rows)), share[:, i], 0.75, left, color=colour, label=fate
            )
            left += share[:, i]
    for place, n in enumerate(total):
        axis.text(102, place, f"{n:,.0f}", fontsize=SMALL, va="center")
    axis.set(xlim=(0, 100), ylim=(max(len(rows), 3) - 0.4, -0.6))
    axis.set_yticks(range(len(rows)), [plain(name) for name, _ in rows])
    axis.set_xlabel("crystals read (%)")
    axis.grid(axis="y", visible=False)
    axis.legend(
        fontsize=SMALL - 1, ncols=2, frameon=False, loc="lower left",
        bbox_to_anchor=(-0.3, 1.0), borderpad=0, columnspacing=1, handlelength=1,
    )  # fmt: skip


def _fates(source: dict) -> list[int]:
    """Return the numbers of crystals of a source, in the order of `_FATES`."""
    own = source["merged_into"].get(source["name"], 0)
    others = source["n_duplicates"] - own
    return [source["n_kept"], own, others, source["n_reserved"], source["n_rejected"]]


def _draw_reasons(axis: Axes, reasons: Sequence[dict]) -> None:
    axis.set_title("reasons of rejection", **FONT)
    if not reasons:
        _say(axis, "nothing was rejected")
        return
    bars = [(reason["code"].replace("_", " "), reason["count"]) for reason in reasons]
    if rest := bars[_MAX_BARS - 1 :] if len(bars) > _MAX_BARS else []:
        others = (f"{len(rest)} others", sum(n for _, n in rest))
        bars = [*bars[: _MAX_BARS - 1], others]
    names, values = zip(*bars, strict=True)
    _bars(axis, names, values, [f"{n:,}" for n in values], COLOURS[1])
    axis.set_xlabel("crystals")


def _draw_systems(axis: Axes, report: dict) -> None:
    systems, n = report["crystal_systems"], max(report["records"], 1)
    share = [100 * count / n for count in systems.values()]
    hues = [_HUES.get(name, "0.3") for name in systems]
    _bars(axis, list(systems), share, [f"{x:.1f}" for x in share], hues)
    axis.set_title("crystal systems", **FONT)
    axis.set_xlabel("crystals (%)")


def _bars(
    axis: Axes,
    names: Sequence[str],
    values: Sequence[float],
    notes: Sequence[str],
    colour: str | Sequence[str],
) -> None:
    """Draw bars to the right, the first one on top, each with a note at its end."""
    axis.barh(range(len(names)), values, 0.75, color=colour)
    most = max(max(values), 1e-9)
    for place, (value, note) in enumerate(zip(values, notes, strict=True)):
        axis.text(value + 0.02 * most, place, note, fontsize=SMALL, va="center")
    axis.set_yticks(range(len(names)), [plain(shorten(name)) for name in names])
    axis.set(xlim=(0, 1.4 * most), ylim=(max(len(names), 3) - 0.4, -0.6))
    axis.locator_params(axis="x", nbins=4)
    axis.xaxis.set_major_formatter(EngFormatter())
    axis.grid(axis="y", visible=False)


def _draw_groups(axis: Axes, groups: Sequence[dict]) -> None:
    """Draw the crystals per space group, and name the most frequent of each system."""
    axis.set_title(f"{len(groups)} of the 230 space groups", **FONT)
    if not groups:
        _say(axis, "not known of ready strings")
        return
    first = 1
    for system, last in LAST_GROUP.items():
        own = [group for group in groups if first <= group["number"] <= last]
        first = last + 1
        if not own:
            continue
        axis.bar(
            [group["number"] for group in own],
            [group["records"] for group in own],
            1.0,
            color=_HUES[system],
        )
        most = max(own, key=lambda group: group["records"])
        axis.annotate(
            symbol_label(most["symbol"]), (most["number"], most["records"]), (0, 3),
            textcoords="offset points", rotation=90, ha="center", fontsize=SMALL,
        )  # fmt: skip
    highest = max(group["records"] for group in groups)
    axis.set(xlim=(-5, 236), ylim=(0.7, 10 * highest**1.3), yscale="log")
    axis.minorticks_off()
    axis.set_xlabel("space group")
    axis.set_ylabel("crystals")


def _draw_lengths(axis: Axes, report: dict) -> None:
    """Draw the lengths of the sentences of both splits."""
    entry = report["tokens_a_crystal"]
    low, high = entry["min"], entry["max"]
    width = 2 * -(-(high - low + 1) // 80)  # most lengths of a dialect are odd
    edges = np.arange(low - 0.5, high + width + 0.5, width)
    for (split, own), drawn in zip(
        report["splits"].items(),
        ({"color": COLOURS[5]}, {"color": COLOURS[1], "histtype": "step"}),
        strict=True,
    ):
        if own["records"]:
            counts = np.array(own["lengths"]["counts"])
            axis.hist(
                own["lengths"]["values"], edges, weights=100 * counts / counts.sum(),
                label=f"{split}, {own['records']:,}", lw=1.1, **drawn,
            )  # fmt: skip
    axis.set(xlim=(low - 5, high + 5))
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.set_title(_quantiles(entry), **FONT)
    axis.set_xlabel("length of a sentence (tokens)")
    axis.set_ylabel("crystals of the split (%)")
    axis.legend(**LEGEND, loc="upper right")


def _draw_atoms(axis: Axes, entry: dict) -> None:
    if not entry["values"]:
        _say(axis, "not known of ready strings")
        return
    edges = np.unique(np.geomspace(1, entry["max"] + 1, 32).round()) - 0.5
    counts = np.array(entry["counts"])
    axis.hist(
        entry["values"], edges, weights=100 * counts / counts.sum(), color=COLOURS[5]
    )
    axis.set(xscale="log", xlim=(0.51, 1.1 * entry["max"] + 1))
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.minorticks_off()
    axis.set_title(_quantiles(entry), **FONT)
    axis.set_xlabel("atoms in the primitive cell")
    axis.set_ylabel("crystals (%)")


def _quantiles(entry: dict) -> str:
    return (
        f"median {entry['median']:,}, mean {entry['mean']:,.1f}, "
        f"95 % to {entry['percentile_95']:,}, most {entry['max']:,}"
    )


def _draw_elements(axis: Axes, vocabulary: dict) -> None:
    """Draw the periodic table: the more often an element occurs, the darker it is."""
    found = {
        token.removeprefix("element:"): n
        for token, n in vocabulary["occurrences"].items()
        if token.startswith("element:")
    }
    least = min(found.values())
    scale = LogNorm(least, max(10 * least, *found.values()))
    hues = colormaps["cividis_r"]
    for row, line in enumerate(_PERIODIC_TABLE):
        for column, symbol in enumerate(line.split()):
            if symbol == ".":
                continue
            n = found.get(symbol, 0)
            face = hues(scale(n)) if n else "white"
            dark = n and np.mean(face[:3]) < 0.5
            place = {"fontsize": SMALL, "ha": "center", "va": "center"}
            place["in_layout"] = False  # measuring a hundred texts is slow
            axis.add_patch(
                Rectangle((column, row), 0.94, 0.94, fc=face, ec="0.7", lw=0.4)
            )
            colour = "white" if dark else "black" if n else "0.6"
            axis.text(column + 0.47, row + 0.5, symbol, color=colour, **place)
    axis.set(xlim=(-0.1, 18.1), ylim=(len(_PERIODIC_TABLE) + 0.05, -0.1))
    axis.set_axis_off()
    role = vocabulary["roles"]["elements"]
    axis.set_title(f"{role['used']} of {role['total']} elements", **FONT)
    bar = axis.get_figure(root=False).colorbar(
        ScalarMappable(scale, hues), ax=axis, pad=0.01, aspect=14
    )
    bar.minorticks_off()
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label("times in all sentences", **FONT)


def _draw_words(axis: Axes, vocabulary: dict) -> None:
    """Draw the share of the vocabulary that occurs, by role."""
    roles = vocabulary["roles"]
    share = [100 * role["used"] / role["total"] for role in roles.values()]
    notes = [f"{role['used']} of {role['total']}" for role in roles.values()]
    _bars(axis, list(roles), share, notes, COLOURS[2])
    axis.set(xlim=(0, 112))
    axis.set_xlabel("words of the vocabulary that occur (%)")


def _say(axis: Axes, text: str) -> None:
    """Write why a panel is empty."""
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", **FONT)
    axis.set(xticks=[], yticks=[])
