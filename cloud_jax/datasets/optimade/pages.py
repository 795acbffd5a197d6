"""The raw archive of one OPTIMADE database: gzipped JSON lines and a log of the pages.

    FOLDER/page-000000.jsonl.gz   one structure entry a line, as the server sent it
    FOLDER/pages.jsonl            one line a page: number, url, n, sha256, next, ...
    FOLDER/provider.json          where it is from, licence, citation, the filter

A page gets its name when it is whole and its line in the log after that, so what the
log lists is there. A page missing from the log or from the folder is asked for again.
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cloud_jax.files import atomic_write
from cloud_jax.structures.source import MAX_ITEM_BYTES, RawItem, SourceError

LOG = "pages.jsonl"
PROVIDER = "provider.json"
# Written first in each line by `write_page`; a number in some databases.
_ID = re.compile(rb'\{"id":("(?:[^"\\]|\\.)*"|-?\d+)[,}]')


@dataclass(frozen=True)
class Page:
    """One line of the log.

    Attributes:
        number: from 0.
        url: that gave it.
        n: entries in it.
        sha256: of its file; empty if the page never came.
        first: id of its first entry.
        next: URL of the page after it, None if it is the last.
        total: entries that the server says the query has, None if it does not say.
        error: why the page never came, else empty.
    """

    number: int
    url: str
    n: int
    sha256: str
    first: str
    next: str | None
    total: int | None
    error: str = ""


def page_file(folder: Path, number: int) -> Path:
    """Path of a page."""
    return folder / f"page-{number:06d}.jsonl.gz"


def page_name(path: Path) -> str:
    """Name of a page's file without its suffixes."""
    return path.name.split(".")[0]


def page_number(path: Path) -> int:
    """Number of a page's file."""
    return int(page_name(path).removeprefix("page-"))


def read_log(folder: Path) -> dict[int, Page]:
    """Return the pages in a folder by number, in order; of two lines the later holds.

    A last line that was cut off by a kill is left out.

    Raises:
        SourceError: a line is damaged.
    """
    path = folder / LOG
    try:
        status = path.stat()
    except FileNotFoundError:
        return {}
    return _read_log(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)  # every page of a piece asks for its hash
def _read_log(path: Path, *_version: int) -> dict[int, Page]:
    pages = {}
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if not line.endswith(b"\n"):
            break
        try:
            page = Page(**json.loads(line))
            pages[page.number] = page
        except (ValueError, TypeError) as error:
            raise SourceError(
                f"{path}, line {number}: is damaged ({error}); remove the line, and "
                "that page is fetched again"
            ) from None
    return dict(sorted(pages.items()))


def mend_log(folder: Path) -> None:
    """Cut off the half line that a kill may have left."""
    path = folder / LOG
    data = path.read_bytes() if path.exists() else b""
    if data and not data.endswith(b"\n"):
        with path.open("r+b") as file:
            file.truncate(data.rfind(b"\n") + 1)


def log_page(folder: Path, page: Page) -> None:
    """Append a line to the log."""
    with (folder / LOG).open("ab") as file:
        file.write(json.dumps(asdict(page)).encode() + b"\n")


def write_page(folder: Path, number: int, entries: list[dict]) -> str:
    """Write the entries of a page; return the hash of the file."""
    lines = b"".join(
        json.dumps(entry, separators=(",", ":")).encode() + b"\n" for entry in entries
    )
    data = gzip.compress(lines, 6, mtime=0)  # a date would change equal pages
    atomic_write(page_file(folder, number), data)
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, values: Any) -> None:
    """Write an object for people and programs."""
    text = json.dumps(values, indent=1) + "\n"
    atomic_write(path, text.encode())


def read_json(path: Path) -> dict:
    """Read what `write_json` wrote; empty if there is no such file.

    Raises:
        SourceError: it is damaged.
    """
    try:
        values = json.loads(path.read_bytes())
        if isinstance(values, dict):
            return values
        error = "not an object"
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as reason:
        error = str(reason)
    raise SourceError(f"{path}: is damaged ({error}); remove it")


def read_page(path: Path, prefix: str) -> Iterator[RawItem]:
    """Yield the entries of a page unparsed.

    Args:
        path: of the page.
        prefix: of the ids.

    Raises:
        SourceError: the file is not what was harvested.
    """
    page = read_log(path.parent).get(page_number(path))
    try:
        data = path.read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if page is None or found != page.sha256:
            raise SourceError(
                f"{path}: found SHA-256 {found}, expected {page and page.sha256}, as "
                f"{LOG} says: the page is damaged; remove it and name the provider "
                "(optimade:NAME) with a network: this page alone is fetched again"
            )
        lines = gzip.decompress(data).split(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read ({error})") from error
    for row, line in enumerate(lines[:-1]):
        known = _ID.match(line)
        name = f"{page_name(path)}:{row}"
        if known:
            name = str(json.loads(known[1])) or name
        if len(line) > MAX_ITEM_BYTES:
            problem = f"{len(line)} bytes, expected at most {MAX_ITEM_BYTES}"
            yield RawItem(prefix + name, ("too_large", problem), "reject")
        else:
            yield RawItem(prefix + name, line, "optimade")
