"""A harvest of OPTIMADE databases: page by page to disk, several databases at a time.

The client that the consortium maintains (`optimade.client.OptimadeClient`, 1.5) is not
used because it holds all pages in memory until the last one arrives, starts again after
a kill, stops a database at its first HTTP 500 or broken page, and takes a missing link
for the end. Its models are not used either: they refuse a page where
`structures.optimade` rejects the one wrong crystal, and reading an archive would need
the package.
"""

import datetime
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tqdm import tqdm

from cloud_jax.cli import Exit
from cloud_jax.datasets.optimade.pages import (
    PROVIDER,
    Page,
    count_distinct,
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
    next_link,
    restore_parameters,
    says_more,
    server_info,
    shown,
    stated_total,
)
from cloud_jax.datasets.optimade.trail import EndError, Trail, page_after
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


class IncompleteHarvestError(SourceError):
    """A harvest did not get all; what came is kept, and the rest is asked for again."""

    exit_code = Exit.RESUMABLE


def harvest(tasks: Sequence[HarvestTask], problems: Sequence[str] = ()) -> None:
    """Download the missing pages into their folders, servers side by side.

    Args:
        tasks: the databases.
        problems: found with other sources, to report at the end.

    Raises:
        IncompleteHarvestError: databases lack structures; the others are complete.
        SourceError: some also, or only, have problems that need a correction.
    """
    limiter = RateLimiter()
    problems, incomplete = list(problems), []

    def one(task: HarvestTask) -> None:
        try:
            _check_query(task)
            if not follow(task.folder, task.query.max_pages).lack():
                return
            with Web(limiter, task.policy) as web:
                _Harvest(task, web).run()
        except (IncompleteHarvestError, OutOfTimeError) as error:
            incomplete.append(f"{task.folder}: {error}")
        except SourceError as error:
            problems.append(f"{task.folder}: {error}")

    with ThreadPoolExecutor(DATABASES_AT_ONCE) as pool:
        try:
            list(pool.map(one, tasks))
        except BaseException:  # Ctrl-C: the threads stop at their next page
            limiter.stopped.set()
            raise
    if problems or incomplete:
        raise (SourceError if problems else IncompleteHarvestError)(
            "\n".join(sorted(problems + incomplete)) + "\nRun it again to resume after "
            "the pages received, or use them as optimade:FOLDER. Without a network, "
            "copy a harvest made elsewhere to optimade/NAME in --data-dir"
        )


def follow(folder: Path, max_pages: int) -> Trail:
    """Return the trail over the pages in a folder, up to the first missing one."""
    pages = read_log(folder)
    first_url = pages[0].url if 0 in pages else ""
    return Trail(first_url, max_pages).follow(
        {n: page for n, page in pages.items() if page.error or _is_here(folder, n)}
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


class _Harvest:
    """Harvest one database."""

    def __init__(self, task: HarvestTask, web: Web):
        self.folder, self.base_url, self.query = task.folder, task.base_url, task.query
        self.web, self.about = web, task.about
        self.known_bad: set[int] = set()  # pages that failed in an earlier run
        self.new_bad: list[int] = []  # pages that failed since the last good one

    def run(self) -> None:
        """Download the pages that are not here.

        Raises:
            IncompleteHarvestError: some did not come, or the server holds some back.
            SourceError: nothing came.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        mend_log(self.folder)
        self._describe()
        log = read_log(self.folder)
        self.known_bad = {number for number, page in log.items() if page.error}
        kept = self._kept_pages(log)
        n_here = sum(page.n for page in kept.values())
        total = next((p.total for p in reversed(kept.values()) if p.total), None)
        trail = Trail(self._first_url(), self.query.max_pages)
        with progress(
            self.folder.name, total=total, unit="structures", done=n_here
        ) as bar:
            try:
                self._walk(trail, kept, bar)
                reason = trail.lack()
            except OutOfTimeError as error:
                reason = str(error)
            except SourceError as error:
                if trail.last is None:
                    raise
                reason = str(error)
        if reason:
            raise IncompleteHarvestError(f"got {trail.size}: {reason}")

    def _walk(self, trail: Trail, kept: dict[int, Page], bar: tqdm) -> None:
        """Follow the pages to the last, asking for those that are not kept."""
        try:
            while not trail.over:
                trail.step(kept.get(trail.number) or self._fetch(trail, bar))
        except EndError as error:
            trail.problem = str(error)
            log_page(self.folder, trail.end())
        if trail.has_all and not trail.limited:
            n_distinct = count_distinct(self.folder)
            if n_distinct < trail.total:
                log_page(self.folder, replace(trail.last, n_distinct=n_distinct))
                trail.count(n_distinct)

    def _kept_pages(self, log: dict[int, Page]) -> dict[int, Page]:
        """Return the pages of a log that need not be asked for, by number.

        Of a harvest that ended early, the last page is asked for again, which may name
        another by now, and so are empty pages.
        """
        kept = {
            number: page
            for number, page in log.items()
            if not page.error and _is_here(self.folder, number)
        }
        trail = Trail("", self.query.max_pages).follow(kept)
        if trail.over:
            kept = {n: p for n, p in kept.items() if p.n and p is not trail.last}
        return kept

    def _fetch(self, trail: Trail, bar: tqdm) -> Page:
        """Download the next page and return it as logged, also if it failed.

        Raises:
            SourceError: this is where the harvest ends.
        """
        number, url = trail.number, trail.url
        trail.check(url)
        try:
            url, answer = self._ask(number, url)
        except WebError as error:
            return self._skip(trail, str(error))
        entries = [_kept(entry) for entry in answer["data"]]
        first = _identity(entries[0]) if entries else ""
        trail.check(first)
        link, more, trail.problem = None, says_more(answer), ""
        try:
            link = next_link(self.web.url, answer)
        except SourceError as error:
            more, trail.problem = more is not False, str(error)
        alone = trail.last is None and not link and more is False
        total = stated_total(answer, alone=alone, filtered=bool(self.query.filter))
        sha256 = write_page(self.folder, number, entries)
        page = Page(
            number, url, len(entries), sha256, first, None,
            trail.total if total is None else total, more=more,
        )  # fmt: skip
        page = replace(page, next=_following(page, trail, link, more))
        log_page(self.folder, page)
        self.new_bad.clear()
        bar.total = page.total or bar.total
        bar.update(len(entries))
        return page

    def _ask(self, number: int, url: str) -> tuple[str, dict]:
        """Return the answer for a page, and the URL that was asked."""
        try:
            return url, self.web.json(url, listing=True)
        except WebError as error:
            if number:
                raise
            if not (error.status and "page_limit" in str(error).lower()):
                raise SourceError(f"{shown(url)}: {error}") from None
        # The server grants no pages of this length; it knows what it grants.
        without = self._first_url(page_limit=0)
        try:
            return without, self.web.json(without, listing=True)
        except WebError as error:
            raise SourceError(f"{shown(without)}: {error}") from None

    def _skip(self, trail: Trail, error: str) -> Page:
        """Log the next page as failed, and return it with the URL after it.

        Raises:
            SourceError: this is where the harvest ends.
        """
        if trail.is_done and not trail.last.more:  # a link past the end
            raise EndError(error)
        page = Page(
            trail.number, trail.url, 0, "", "", None, trail.total, error=error
        )  # fmt: skip
        page = replace(page, next=page_after(page, trail.last))
        log_page(self.folder, page)
        # A page that was bad before does not count, so that the next run gets past it.
        self.new_bad += [] if page.number in self.known_bad else [page.number]
        if len(self.new_bad) >= BAD_PAGES_IN_A_ROW:
            pages = f"pages {self.new_bad[0]} to {page.number}"
            raise SourceError(f"{pages} failed: {error} ({shown(page.url)})")
        return page

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


def _following(
    page: Page, trail: Trail, link: str | None, more: bool | None
) -> str | None:
    """Return the URL of the page after one, None if there is none or nobody knows it.

    Args:
        page: the page, without that URL.
        trail: the pages before it.
        link: to the page after it, as the server names it.
        more: whether the server says that more are available.
    """
    short = page.total is not None and page.total > trail.n_entries + page.n
    # Servers contradict themselves: it takes two signs to leave a link alone.
    signs = (page.total is not None, more is False, page.n == 0)
    is_end = not short and sum(signs) >= 2
    if link and not is_end:
        return restore_parameters(link, trail.first_url if trail.last else page.url)
    if page.n and (short or more):
        with suppress(SourceError):
            return page_after(replace(page, total=None) if more else page, trail.last)
    return None


def _is_here(folder: Path, number: int) -> bool:
    return page_file(folder, number).is_file()


def _identity(entry: dict) -> str:
    """Return the id of an entry, or a hash of it where it has none."""
    if entry["id"] is not None:
        return str(entry["id"])
    return hashlib.sha256(json.dumps(entry).encode()).hexdigest()


def _kept(entry: Any) -> dict:
    """Return an entry with only `FIELDS`: some servers send everything they have."""
    if not isinstance(entry, dict):
        return {"id": None, "found": str(entry)[:80]}  # rejected later, by the worker
    attributes = entry.get("attributes", entry)  # OQMD has sent them without a level
    if isinstance(attributes, dict):
        attributes = {key: attributes[key] for key in FIELDS if key in attributes}
    return {
        "id": entry.get("id"),
        "type": entry.get("type"),
        "attributes": attributes,
    }
