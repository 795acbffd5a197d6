"""Where a harvest is among the pages of a database, and what it lacks."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from cloud_jax.datasets.optimade.pages import Page
from cloud_jax.datasets.optimade.server import shown
from cloud_jax.structures.source import SourceError

# A server that applies the filter to each page on its own may empty several.
EMPTY_PAGES_IN_A_ROW = 100
_NAMED = 20  # failed pages, in a message


class EndError(SourceError):
    """There is nothing new after the last page."""


class Trail:
    """Follow the pages of a database in order, from the first.

    Attributes:
        number: number of the next page.
        url: URL of the next page, None if none is known.
        first_url: URL of the first page.
        last: the page before it, None at the start.
        n_entries: number of entries on the pages, repeated ones once if counted.
        n_repeated: number of entries that came again, if counted.
        total: entries of the whole query as the server stated last, None if never.
        failed: the pages that failed.
        n_empty: number of pages without entries.
        n_empty_in_a_row: how many of them are the last pages.
        seen: number of the page by its URL and by its first entry.
        problem: why the last page's link is not followed, else empty.
    """

    def __init__(self, first_url: str, max_pages: int):
        self.number, self.url, self.max_pages = 0, first_url, max_pages
        self.first_url = first_url
        self.last: Page | None = None
        self.n_entries = self.n_repeated = self.n_empty = self.n_empty_in_a_row = 0
        self.total: int | None = None
        self.failed: list[Page] = []
        self.seen: dict[str, int] = {}
        self.problem = ""

    def follow(self, pages: Mapping[int, Page]) -> "Trail":
        """Step over the pages up to the first that is missing, and return the trail."""
        while not self.over and self.number in pages:
            self.step(pages[self.number])
        return self

    def step(self, page: Page) -> None:
        """Step over the next page."""
        if self.last is None:
            self.first_url = page.url
        self.seen[page.url] = page.number
        if page.first:
            self.seen[page.first] = page.number
        if page.error:
            self.failed.append(page)
        is_empty = not (page.n or page.error)
        self.n_empty += is_empty
        self.n_empty_in_a_row = self.n_empty_in_a_row + 1 if is_empty else 0
        self.total = self.total if page.total is None else page.total
        self.n_entries += page.n
        if page.n_distinct is not None:
            self.count(page.n_distinct)
        self.last, self.number, self.url = page, page.number + 1, page.next

    def check(self, mark: str) -> None:
        """Raise EndError if a page of this URL or first entry is there already."""
        if mark in self.seen:
            url = shown(self.url or "")
            raise EndError(
                f"page {self.number} is page {self.seen[mark]} again ({url}): the "
                f"server links in a circle after {self.n_entries:,} structures"
            )

    def end(self) -> Page:
        """Make the last page the end, whatever it links to, and return it."""
        self.last = replace(self.last, next=None, more=not self.is_done)
        self.url = None
        return self.last

    def count(self, n_distinct: int) -> None:
        """Count repeated entries once."""
        self.n_repeated = self.n_entries - n_distinct
        self.n_entries = n_distinct

    @property
    def limited(self) -> bool:
        """Return whether as many pages as were asked for are there."""
        return bool(self.max_pages) and self.number >= self.max_pages

    @property
    def over(self) -> bool:
        """Return whether there is no next page to ask for."""
        end = self.url is None or self.n_empty_in_a_row >= EMPTY_PAGES_IN_A_ROW
        return end or self.limited

    @property
    def has_all(self) -> bool:
        """Return whether no page failed and no entry of the total is missing."""
        enough = self.total is not None and self.n_entries >= self.total
        return enough and not self.failed

    @property
    def is_done(self) -> bool:
        """Return whether the server's total or its flag says that nothing follows."""
        if self.total is None and not self.failed and self.last is not None:
            return self.last.more is False
        return self.has_all

    @property
    def size(self) -> str:
        """Return how many entries there are, and how many there should be."""
        total = "an unknown number of" if self.total is None else f"{self.total:,}"
        return f"{self.n_entries:,} of {total} structures"

    def lack(self) -> str:
        """Return what the pages lack, empty if they are all that was asked for."""
        if self.failed:
            return _list_failed(self.failed)
        if not self.over or self.last is None:
            return f"page {self.number} is missing"
        if self.limited:
            return ""
        short = self.total is not None and self.n_entries < self.total
        # An empty page outweighs a flag that is never lowered, not a missing total.
        more = self.last.more and (self.last.n > 0 or self.total is None)
        if not (short or more):
            return ""
        if self.problem:
            return self.problem
        if self.n_repeated:
            return f"{self.n_repeated:,} of them came again, in the place of others"
        if self.n_empty_in_a_row >= EMPTY_PAGES_IN_A_ROW:
            return f"the last {self.n_empty_in_a_row} pages are empty"
        empty = f"; {self.n_empty} page(s) came empty" if self.n_empty else ""
        says = "" if short else ", and says that more are available"
        page = f"page {self.last.number} ({shown(self.last.url)})"
        return f"the server names no page after {page}{says}{empty}"


def page_after(page: Page, before: Page | None) -> str | None:
    """Return the URL of the page after one, from its own URL; None if it is the last.

    Args:
        page: a page that failed, or that has no link to the next one.
        before: the page before it, None if it is the first.

    Raises:
        SourceError: the URL does not tell.
    """
    parts = urlsplit(page.url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    n_before = None
    if (number := _whole(query.get("page_number"))) is not None:
        query["page_number"] = str(number + 1)
        n_before = number * (_whole(query.get("page_limit")) or (before or page).n)
    if (offset := _offset(page)) is not None and (step := _step(page, before)):
        n_before = offset + step
        query["page_offset"] = str(n_before)
    if n_before is None:
        raise SourceError(
            f"page {page.number} failed ({page.error}), and only that page has the URL "
            f"of the next one: {shown(page.url)}"
        )
    if page.total is not None and 0 < page.total <= n_before:
        return None
    return urlunsplit(parts._replace(query=urlencode(query)))


def _step(page: Page, before: Page | None) -> int:
    """Return how far apart the offsets of two pages are, 0 if unknown."""
    if before is None:
        return page.n
    start, offset = _offset(before), _offset(page)
    return offset - start if start is not None and offset > start else before.n


def _offset(page: Page) -> int | None:
    """Return the number of entries before a page, None if its URL does not tell."""
    query = dict(parse_qsl(urlsplit(page.url).query))
    is_first = page.number == 0 and "page_number" not in query
    return _whole(query.get("page_offset", "0" if is_first else ""))


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _list_failed(failed: list[Page]) -> str:
    lines = [
        f"  page {page.number}: {page.error} ({shown(page.url)})" for page in failed
    ]
    if len(lines) > _NAMED:
        lines[_NAMED:] = [f"  and {len(lines) - _NAMED} more"]
    return "\n".join([f"{len(failed)} page(s) failed and are left out:", *lines])
