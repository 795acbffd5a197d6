"""A harvest of OPTIMADE databases: page by page to disk, several databases at a time.

The client that the consortium maintains (`optimade.client.OptimadeClient`, 1.5) is not
used because it holds all pages in memory until the last one arrives, starts anew after
a kill and stops a database at its first HTTP 500 or broken page. Its models are not
used either: they refuse a page where `scope.optimade` rejects the one wrong crystal,
and reading an archive would need the package.
"""

import datetime
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tqdm import tqdm

from cloud_jax.datasets.optimade.pages import (
    PROVIDER,
    Page,
    log_page,
    mend_log,
    page_file,
    read_json,
    read_log,
    write_json,
    write_page,
)
from cloud_jax.datasets.optimade.server import (
    endpoint,
    next_url,
    server_info,
)
from cloud_jax.datasets.optimade.web import (
    OutOfTimeError,
    RateLimiter,
    RetryPolicy,
    Web,
    WebError,
    mapping,
)
from cloud_jax.progress import progress
from cloud_jax.structures.source import SourceError

DATABASES_AT_ONCE = 16
BAD_PAGES_IN_A_ROW = 3  # then the server is down, not just a page bad
FIELDS = (
    "lattice_vectors", "cartesian_site_positions", "species", "species_at_sites",
    "nsites", "dimension_types", "nperiodic_dimensions", "structure_features",
    "assemblies", "immutable_id", "last_modified",
)  # fmt: skip


@dataclass(frozen=True)
class Query:
    """Describe what to ask of a database.

    Attributes:
        filter: in OPTIMADE's language; empty for everything.
        page_limit: entries per page; 0 leaves it to the server.
        max_pages: most pages per database; 0 for all.
    """

    filter: str = ""
    page_limit: int = 0
    max_pages: int = 0


@dataclass(frozen=True)
class HarvestTask:
    """Describe one database to harvest.

    Attributes:
        folder: folder of its pages.
        base_url: URL of its server, without the version.
        query: what to ask.
        policy: pace, attempts and time limits.
        about: licence and citation, for `provider.json`.
    """

    folder: Path
    base_url: str
    query: Query
    policy: RetryPolicy
    about: dict


def harvest(tasks: Sequence[HarvestTask], problems: Sequence[str] = ()) -> None:
    """Download the missing pages into their folders, servers side by side.

    Args:
        tasks: the databases.
        problems: found with other sources, to report at the end.

    Raises:
        SourceError: the databases that failed, and why; the others are complete.
    """
    limiter = RateLimiter()
    problems = list(problems)

    todo = []
    for task in tasks:
        try:
            _check_query(task)
            todo += [task] if missing(task.folder, task.query) else []
        except SourceError as error:
            problems.append(f"{task.folder}: {error}")

    def one(task: HarvestTask) -> None:
        with Web(limiter, task.policy) as web:
            try:
                _Harvest(task, web).run()
            except (SourceError, OutOfTimeError) as error:
                problems.append(f"{task.folder}: {error}")

    with ThreadPoolExecutor(DATABASES_AT_ONCE) as pool:
        try:
            list(pool.map(one, todo))
        except BaseException:  # Ctrl-C: the threads stop at their next page
            limiter.stopped.set()
            raise
    if problems:
        raise SourceError(
            "\n".join(sorted(problems)) + "\nRun it again to resume after the pages "
            "received, or use them as optimade:FOLDER. Without a network, "
            "copy a harvest made elsewhere to optimade/NAME in --data-dir"
        )


def _check_query(task: HarvestTask) -> None:
    """Raise SourceError if the folder holds the pages of another query."""
    found = read_json(task.folder / PROVIDER)
    asked = {"base_url": task.base_url, "filter": task.query.filter}
    if found and {key: found.get(key) for key in asked} != asked:
        raise SourceError(
            f"found {found.get('base_url')} with the filter {found.get('filter')!r}, "
            f"expected {task.base_url} with {task.query.filter!r}: give the source "
            "another name in a corpus.toml, or remove the folder"
        )


def missing(folder: Path, query: Query) -> bool:
    """Return whether a page that the query asks for is not in the folder."""
    number, url = 0, ""
    pages = read_log(folder)
    while url is not None and (not query.max_pages or number < query.max_pages):
        page = pages.get(number)
        if page is None or not (page.error or page_file(folder, number).is_file()):
            return True
        number, url = number + 1, page.next
    return False


def past(page: Page, n_before: int) -> str | None:
    """Return the URL after a page that failed, from its own URL; None if it is last.

    Args:
        page: the page that failed.
        n_before: entries per full page before it.

    Raises:
        SourceError: its URL does not tell.
    """
    parts = urlsplit(page.url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    limit = query.get("page_limit", "")
    step = int(limit) if limit.isdecimal() else n_before
    if query.get("page_offset", "").isdecimal() and step:
        offset = int(query["page_offset"]) + step
        if page.total is not None and offset >= page.total:
            return None
        query["page_offset"] = str(offset)
    elif query.get("page_number", "").isdecimal():
        number = int(query["page_number"])
        if page.total is not None and step and number * step >= page.total:
            return None
        query["page_number"] = str(number + 1)
    else:
        raise SourceError(
            f"page {page.number} failed ({page.error}), and only that page has the URL "
            f"of the next one: {page.url}"
        )
    return urlunsplit(parts._replace(query=urlencode(query)))


class _Harvest:
    """Harvest one database."""

    def __init__(self, task: HarvestTask, web: Web):
        self.folder, self.base_url, self.query = task.folder, task.base_url, task.query
        self.web, self.about = web, task.about
        self.bad: list[Page] = []  # logged once a later page arrives

    def run(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        mend_log(self.folder)
        pages = read_log(self.folder)
        self._describe()
        n_here = sum(page.n for page in pages.values() if self._has(page.number))
        total = next((p.total for p in reversed(pages.values()) if p.total), None)
        with progress(
            self.folder.name, total=total, unit="structures", done=n_here
        ) as bar:
            self._walk(dict(pages), bar)
        bad = [page for page in read_log(self.folder).values() if page.error]
        if bad:
            print(_bad_pages(self.folder, bad), file=sys.stderr)

    def _walk(self, pages: dict[int, Page], bar: tqdm) -> None:
        """Follow the pages from the first, asking for those that are not here."""
        number, url = 0, self._first_url()
        seen: dict[str, int] = {}
        firsts: dict[str, int] = {}
        n_entries = 0
        while url is not None and (
            not self.query.max_pages or number < self.query.max_pages
        ):
            page = pages.get(number)
            if page is None or not (page.error or self._has(number)):
                if url in seen:
                    return self._loop(seen[url], number, url, n_entries, bar.total)
                page = self._fetch(number, url, firsts, bar)
                if isinstance(page, int):
                    return self._loop(page, number, url, n_entries, bar.total)
            seen[url] = number
            if page.first:
                firsts[page.first] = number
            n_entries += page.n
            number, url = number + 1, page.next
        self._log_bad()

    def _fetch(
        self, number: int, url: str, firsts: dict[str, int], bar: tqdm
    ) -> Page | int:
        """Download one page and return it, or the number of the page it repeats."""
        try:
            answer = self._ask(number, url)
        except WebError as error:
            return self._skip(Page(number, url, 0, "", "", None, bar.total, str(error)))
        entries = [_kept(entry) for entry in answer["data"]]
        first = str(entries[0].get("id") or "") if entries else ""
        if first and first in firsts:
            return firsts[first]
        total = _total(answer, self.query)
        sha256 = write_page(self.folder, number, entries)
        self._log_bad()
        following = next_url(url, answer)
        page = Page(number, url, len(entries), sha256, first, following, total)
        log_page(self.folder, page)
        bar.total = total or bar.total
        bar.update(len(entries))
        return page

    def _ask(self, number: int, url: str) -> dict:
        try:
            return self.web.json(url, listing=True)
        except WebError as error:
            if number:
                raise
            if not (error.status and "page_limit" in str(error).lower()):
                raise SourceError(f"{url}: {error}") from None
        # The server grants no pages of this length; it knows what it grants.
        without = self._first_url(page_limit=0)
        try:
            return self.web.json(without, listing=True)
        except WebError as error:
            raise SourceError(f"{without}: {error}") from None

    def _skip(self, page: Page) -> Page:
        """Return a page that failed with the URL after it, and note it for the log."""
        before = read_log(self.folder).get(0)
        page = replace(page, next=past(page, before.n if before else 0))
        self.bad.append(page)
        if len(self.bad) >= BAD_PAGES_IN_A_ROW:
            raise SourceError(
                f"pages {self.bad[0].number} to {page.number} failed: "
                f"{page.error} ({page.url})"
            )
        return page

    def _log_bad(self) -> None:
        for page in self.bad:
            log_page(self.folder, page)
        self.bad.clear()

    def _loop(
        self, before: int, number: int, url: str, n_entries: int, total: int | None
    ) -> None:
        """Stop where a server repeats a page: an error unless all entries are here."""
        last = read_log(self.folder).get(number - 1)
        if total is None or n_entries < total or last is None:
            raise SourceError(
                f"page {number} is page {before} again ({url}): the server links in a "
                f"circle after {n_entries:,} of {total or 'unknown'} structures"
            )
        log_page(self.folder, replace(last, next=None))
        self._log_bad()

    def _has(self, number: int) -> bool:
        return page_file(self.folder, number).is_file()

    def _first_url(self, page_limit: int | None = None) -> str:
        limit = self.query.page_limit if page_limit is None else page_limit
        values = {"filter": self.query.filter, "page_limit": limit or ""}
        values["response_fields"] = ",".join(FIELDS)
        asked = urlencode({k: v for k, v in values.items() if v})
        return f"{endpoint(self.base_url)}/structures?{asked}"

    def _describe(self) -> None:
        """Write `provider.json`, the origin of the pages, before the first one.

        Raises:
            SourceError: the server does not answer.
        """
        path = self.folder / PROVIDER
        if path.exists():
            return
        try:
            info = server_info(self.web, self.base_url)
        except WebError as error:
            raise SourceError(f"{endpoint(self.base_url)}/info: {error}") from None
        attributes = mapping(mapping(info.get("data")).get("attributes"))
        meta = mapping(info.get("meta"))
        values = {"base_url": self.base_url, "filter": self.query.filter} | self.about
        values["begun"] = datetime.date.today().isoformat()
        values["server"] = {
            "api_version": attributes.get("api_version") or meta.get("api_version"),
            "license": attributes.get("license") or meta.get("license"),
            "available_licenses": attributes.get("available_licenses"),
            "provider": meta.get("provider"),
            "implementation": meta.get("implementation"),
        }
        write_json(path, values)


def _kept(entry: Any) -> dict:
    """Return an entry with only `FIELDS`: some servers send everything they have."""
    if not isinstance(entry, dict):
        return {"id": None, "found": str(entry)[:80]}  # rejected later, by the worker
    attributes = entry.get("attributes")
    if isinstance(attributes, dict):
        attributes = {key: attributes[key] for key in FIELDS if key in attributes}
    return {
        "id": entry.get("id"),
        "type": entry.get("type"),
        "attributes": attributes,
    }


def _total(answer: dict, query: Query) -> int | None:
    meta = mapping(answer.get("meta"))
    total = meta.get("data_returned")
    if total is None and not query.filter:
        total = meta.get("data_available")
    return total if isinstance(total, int) else None


def _bad_pages(folder: Path, bad: list[Page]) -> str:
    lines = [f"  page {page.number}: {page.error} ({page.url})" for page in bad[:20]]
    if len(bad) > 20:
        lines.append(f"  and {len(bad) - 20} more")
    return (
        f"{folder}: {len(bad)} page(s) failed and are left out; to ask again, "
        "remove their lines from pages.jsonl and run the same command:\n"
        + "\n".join(lines)
    )
