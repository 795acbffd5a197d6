"""What a report is made of: sections of text, grids of entries, and figures.

HTML and Markdown show the same sections; nothing here knows of either.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from cloud_jax.studies.report.gather import Figure

NOT_RUN = "not run"


class Entry(NamedTuple):
    """One cell of a grid.

    Attributes:
        text: main content.
        detail: smaller, below it.
        mark: said beside a value that stands out, for instance `best`.
        numeric: to be aligned as a number.
        link: anchor of a section that tells more.
    """

    text: str
    detail: str = ""
    mark: str = ""
    numeric: bool = False
    link: str = ""


class Grid(NamedTuple):
    """A table.

    Attributes:
        caption: above it.
        head: names of the columns.
        rows: of entries; the first names the row.
        notes: below it.
        cards: on a narrow screen each row becomes a card.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    notes: Sequence[str] = ()
    cards: bool = False


class Section(NamedTuple):
    """A part of the report.

    Attributes:
        anchor: its address in the page.
        title: its heading.
        paragraphs: of text.
        grids: below them.
        figures: below those.
        folded: grids that a reader opens.
        parts: smaller sections.
    """

    anchor: str
    title: str
    paragraphs: Sequence[str] = ()
    grids: Sequence[Grid] = ()
    figures: Sequence[Figure] = ()
    folded: Sequence[Grid] = ()
    parts: Sequence["Section"] = ()


def figure_of(value: float | None, digits: int = 4) -> str:
    """A number with so many significant digits, without an exponent where it can."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "not finite"
    if isinstance(value, int):
        return f"{value:,}"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -5 <= size <= 8:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - size)}f}"


def measured(
    value: float | None, deviation: float | None = None, digits: int = 4
) -> str:
    """A number and its deviation in brackets, with as many places as the number."""
    text = figure_of(value, digits)
    if deviation is None or not text or "e" in text or not math.isfinite(deviation):
        return text
    places = len(text.partition(".")[2])
    return f"{text} ({deviation:,.{places}f})"


def duration(seconds: float | None) -> str:
    """A time for people."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def flatten(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Names and texts of all that a JSON value holds; long lists are counted."""
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list) and any(isinstance(x, dict | list) for x in value):
        inner = enumerate(value) if len(value) <= 12 else ()
        if not inner:
            return [(name, f"{len(value):,} entries")]
    elif isinstance(value, list):
        shown = ", ".join(map(plain, value[:12]))
        more = f" ... ({len(value):,})" if len(value) > 12 else ""
        return [(name, shown + more)]
    else:
        return [(name, plain(value))]
    return [
        pair
        for key, item in inner
        for pair in flatten(item, f"{name}, {key}" if name else str(key))
    ]


def plain(value: Any) -> str:
    """One JSON value as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return figure_of(value, 6)
    return "none" if value is None else str(value)


def pairs(caption: str, found: Sequence[tuple[str, str]]) -> Grid:
    """A grid of names and values."""
    rows = [(Entry(name), Entry(text)) for name, text in found]
    return Grid(caption, ("what", "value"), rows)
