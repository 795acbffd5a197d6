"""Sections, tables and entries of the report, and its number format.

Independent of HTML and Markdown: both templates render the same sections.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cloud_jax.studies.report.gather import Figure
from cloud_jax.studies.report.records import Number, Spread


class Entry(NamedTuple):
    """One cell of a grid.

    Attributes:
        text: main content.
        detail: smaller, below it.
        mark: label of a value that stands out, for instance `best`.
        numeric: whether it is aligned as a number.
        link: anchor of the section with the details.
    """

    text: str
    detail: str = ""
    mark: str = ""
    numeric: bool = False
    link: str = ""


def number(value: Number | Spread, detail: str = "", digits: int = 4) -> Entry:
    """Return the entry of a number, with its deviation if it has one."""
    spread = value if isinstance(value, Spread) else Spread(value)
    return Entry(measured(spread, digits) or "-", detail, numeric=True)


@dataclass
class Grid:
    """A table.

    Attributes:
        caption: above it.
        head: names of the columns.
        rows: of entries, the first of which names the row. Texts, numbers, `Spread`s
            and None (no number) are turned into entries.
        notes: below it.
        cards: whether each row becomes a card on a narrow screen.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    notes: Sequence[str] = ()
    cards: bool = False

    def __post_init__(self):
        self.rows = [[_entry(value) for value in row] for row in self.rows]


def _entry(value: Any) -> Entry:
    if isinstance(value, Entry):
        return value
    return Entry(value) if isinstance(value, str) else number(value)


@dataclass
class Section:
    """A part of the report.

    Attributes:
        anchor: its address in the page.
        title: its heading.
        paragraphs: of text.
        grids: below them; those without rows are left out, here and in `folded`.
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

    def __post_init__(self):
        self.grids = [grid for grid in self.grids if grid.rows]
        self.folded = [grid for grid in self.folded if grid.rows]


def format_number(value: Number, digits: int = 4) -> str:
    """Return a number with `digits` significant digits, of an integer all of them."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "not finite"
    if isinstance(value, int) or value == 0:
        return f"{value:,.0f}"
    size = math.floor(math.log10(abs(value)))
    if not -5 <= size <= 8:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - size)}f}"


def measured(spread: Spread, digits: int = 4) -> str:
    """Return a mean and its deviation in brackets, with as many places as the mean."""
    text = format_number(spread.mean, digits)
    if spread.std is None or not text or "e" in text or not math.isfinite(spread.std):
        return text
    return f"{text} ({spread.std:,.{len(text.partition('.')[2])}f})"


def duration(seconds: Number) -> str:
    """Return a time in hours, minutes and seconds."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
