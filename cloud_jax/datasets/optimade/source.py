"""Structures of OPTIMADE databases: harvested to disk once, then read from there.

On the command line `optimade:mp` is a provider of the paper with all its databases,
`optimade:alexandria/alexandria-pbe` one of these, `optimade:https://...` any server of
version 1 or an index of such, and `optimade:data/optimade/mp` a harvest made before,
read without a network.
"""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cloud_jax.datasets.optimade.harvest import HarvestTask, Query, follow, harvest
from cloud_jax.datasets.optimade.pages import (
    LOG,
    PROVIDER,
    Page,
    page_file,
    page_name,
    page_number,
    read_json,
    read_log,
    read_page,
    write_json,
)
from cloud_jax.datasets.optimade.providers import PROVIDERS, Provider
from cloud_jax.datasets.optimade.server import databases_of, folder_name
from cloud_jax.datasets.optimade.web import RetryPolicy
from cloud_jax.files import LockedError, lock
from cloud_jax.structures.source import (
    Listing,
    Piece,
    RawItem,
    Source,
    SourceError,
)

_DATABASES = "databases.json"
_URL = ("http://", "https://")
_COUNTED = "structures on 2 July 2024"


@dataclass(frozen=True)
class OptimadeSource(Source):
    """Read the structures of a provider's databases, all or those that fit a filter.

    The harvest lies in `data_dir/optimade/NAME/DATABASE/`, see `optimade.pages`.

    Attributes:
        provider: name of a provider of the paper, NAME/DATABASE or a base URL; the
            source's name by default.
        archive: folder of a harvest made before, in place of a provider.
        filter: in OPTIMADE's language, for instance `nelements<=3`.
        page_limit: structures per page; by default the most that the provider grants.
        max_pages: most pages per database; 0 for all.
        requests_per_second: rate to one server.
        attempts: most attempts per page.
        backoff_s: pause before the second attempt; doubled each time.
        request_limit_s: longest time for one answer.
        time_limit_s: longest time for a harvest, 0 for none; the next one resumes it.
        data_dir: folder of public data sets.
    """

    provider: str = ""
    filter: str = ""
    page_limit: int = 0
    max_pages: int = 0
    # Settings of the transfer: they do not change the crystals, so not the identity.
    archive: str = field(default="", compare=False)
    requests_per_second: float = field(default=1.0, compare=False)
    attempts: int = field(default=8, compare=False)
    backoff_s: float = field(default=1.0, compare=False)
    request_limit_s: float = field(default=120.0, compare=False)
    time_limit_s: float = field(default=0.0, compare=False)
    data_dir: str = field(default="data", compare=False)

    def __post_init__(self):
        if self.requests_per_second <= 0 or self.request_limit_s <= 0:
            raise SourceError(
                f"source {self.name}: expected requests_per_second and request_limit_s "
                "of more than 0"
            )
        known = bool(self._known) or self._at.startswith(_URL)
        if not (_databases_in(Path(self.archive)) if self.archive else known):
            raise SourceError(
                f"source {self.name}: found {self.archive or self._at!r}, expected "
                f"{', '.join(PROVIDERS)}, NAME/DATABASE of one of these, a URL or the "
                f"folder of a harvest (with {LOG} in it or one below)"
            )
        for name in ("licence", "citation"):
            if not getattr(self, name):
                object.__setattr__(self, name, self._stated(name))

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "OptimadeSource":
        """Return the source of a provider, a URL or a folder."""
        if not text:
            raise SourceError(
                f"expected a provider after the colon: {', '.join(PROVIDERS)}, a URL "
                "or the folder of a harvest"
            )
        archive = ""
        if text.startswith(_URL):
            name = folder_name(text)
        elif text.split("/")[0] in PROVIDERS:
            name = text.rstrip("/").replace("/", "-")
        else:
            name, text, archive = Path(text).name or "harvest", "", text
        return cls(name=name, provider=text, archive=archive, data_dir=data_dir)

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """Return a listing per provider of the paper."""
        found = []
        for name, provider in PROVIDERS.items():
            folder = Path(data_dir) / "optimade" / name
            here = str(folder) if _databases_in(folder) else ""
            n = provider.n_structures
            size = f"{n:,} {_COUNTED}" if n else "unknown, server down on 2 July 2024"
            found.append(
                Listing(
                    f"optimade:{name}", provider.what, size,
                    provider.licence, provider.citation, here,
                )
            )  # fmt: skip
        return found

    def fetch(self) -> None:
        """Harvest the missing pages; a complete harvest asks no server.

        Raises:
            SourceError: some failed.
        """
        self.fetch_all([self])

    @classmethod
    def fetch_all(cls, sources: Sequence["OptimadeSource"]) -> None:
        """Harvest several sources, their servers side by side.

        Raises:
            SourceError: some pages failed; all others are on disk.
        """
        with ExitStack() as locks:
            tasks, problems = [], []
            for source in sources:
                if source.archive:
                    source._warn_of_gaps()
                    continue
                source.folder.mkdir(parents=True, exist_ok=True)
                try:
                    locks.enter_context(lock(source.folder))
                    tasks += source._tasks(problems)
                except (LockedError, SourceError) as error:
                    problems.append(f"source {source.name}: {error}")
            harvest(tasks, problems)

    def pieces(self) -> list[Piece]:
        """Return the pages, database by database.

        Raises:
            SourceError: nothing was harvested.
        """
        folders = _databases_in(self.folder)
        several = len(read_json(self.folder / _DATABASES) or folders) > 1
        pieces = []
        for folder in folders:
            prefix = f"{folder.name}/" if several else ""
            for page in self._pages(folder):
                path = page_file(folder, page.number)
                pieces.append(Piece(prefix + page_name(path), path))
        if not pieces:
            raise SourceError(f"source {self.name}: found no pages in {self.folder}")
        return pieces

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield the entries of a page; a damaged page is an error."""
        yield from read_page(piece.path, piece.name.removesuffix(page_name(piece.path)))

    def count(self) -> int:
        """Return the number of entries in the page logs."""
        folders = _databases_in(self.folder)
        return sum(page.n for folder in folders for page in self._pages(folder))

    def sha256(self) -> str:
        """Return a hash of the pages' names and of their recorded hashes."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            page = read_log(piece.path.parent)[page_number(piece.path)]
            digest.update(piece.name.encode() + b"\0" + page.sha256.encode())
        return digest.hexdigest()

    @property
    def location(self) -> str:
        """Return the servers, with the number of pages and of failed ones."""
        parts = []
        for folder in _databases_in(self.folder):
            log = read_log(folder).values()
            bad = sum(bool(page.error) for page in log)
            asked = read_json(folder / PROVIDER)
            wanted = f" where {asked['filter']}" if asked.get("filter") else ""
            trail = follow(folder, self.max_pages)
            size = f", {trail.size}" if trail.lack() else ""
            never = f", {bad} failed" if bad else ""
            url = asked.get("base_url", folder.name)
            parts.append(f"{url}{wanted} ({len(log)} pages{never}{size})")
        return "; ".join(parts)

    @property
    def folder(self) -> Path:
        """Return the folder of the harvest."""
        if self.archive:
            return Path(self.archive)
        return Path(self.data_dir) / "optimade" / self.name

    @property
    def _at(self) -> str:
        return self.provider or self.name

    @cached_property
    def _known(self) -> Provider | None:
        """Return the provider of the paper, with only the database asked for."""
        name, _, database = self._at.rstrip("/").partition("/")
        provider = None if self.archive else PROVIDERS.get(name)
        if provider is None or not database:
            return provider
        if database not in provider.databases:
            return None
        one = {database: provider.databases[database]}
        return provider._replace(databases=one, indexes=())

    @property
    def _page_limit(self) -> int:
        return self.page_limit or (self._known.page_limit if self._known else 0)

    def _stated(self, name: str) -> str:
        """Return licence or citation, from the table or as the harvest recorded it."""
        if self._known:
            return getattr(self._known, name)
        folders = _databases_in(self.folder)
        stated = [str(read_json(f / PROVIDER).get(name) or "") for f in folders]
        return "; ".join(dict.fromkeys(filter(None, stated)))

    def _pages(self, folder: Path) -> list[Page]:
        pages = read_log(folder).values()
        last = self.max_pages or float("inf")
        return [page for page in pages if page.n and page.number < last]

    def _warn_of_gaps(self) -> None:
        """Say what an archive lacks, which no server is asked for."""
        for folder in _databases_in(self.folder):
            trail = follow(folder, self.max_pages)
            if gap := trail.lack():
                print(f"warning: {folder}: {trail.size}: {gap}", file=sys.stderr)

    def _tasks(self, problems: list[str]) -> list[HarvestTask]:
        """Return a task per database; an index that is down is added to `problems`."""
        query = Query(self.filter, self._page_limit, self.max_pages)
        policy = RetryPolicy(
            self.requests_per_second, self.attempts, self.backoff_s,
            self.request_limit_s, self.time_limit_s,
        )  # fmt: skip
        about = {"licence": self.licence, "citation": self.citation}
        return [
            HarvestTask(self.folder / name, url, query, policy, about)
            for name, url in self._databases(policy, problems).items()
        ]

    def _databases(self, policy: RetryPolicy, problems: list[str]) -> dict[str, str]:
        """Return URL by name of the databases, kept on disk for a resume."""
        path = self.folder / _DATABASES
        if known := read_json(path):
            return known
        whole = True
        if self._known is None:
            found = databases_of(self._at, policy)
        else:
            found = dict(self._known.databases)
            for url in self._known.indexes:
                try:
                    found |= databases_of(url, policy)
                except SourceError as error:  # the next fetch asks again
                    problems.append(f"source {self.name}: {error}")
                    whole = False
        if whole:
            write_json(path, found)
        return found


def _databases_in(folder: Path) -> list[Path]:
    """Return the folders with a page log: the folder itself or those in it."""
    if (folder / LOG).is_file():
        return [folder]
    return sorted(path.parent for path in folder.glob(f"*/{LOG}"))
