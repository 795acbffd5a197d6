"""The raw archive of one OPTIMADE database: gzipped JSON lines and a log of the pages.

    FOLDER/page-000000.jsonl.gz   one structure entry per line, as the server sent it
    FOLDER/pages.jsonl            one line per page: number, url, n, sha256, next, ...
    FOLDER/provider.json          where it is from, licence, citation, the filter

A page is renamed when it is complete and logged after that, so every page in the log
is there, or failed. A page that failed, or is missing from the log or from the folder,
is asked for again.
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

import numpy as np

from cloud_jax.files import atomic_write, cause
from cloud_jax.structures.source import MAX_ITEM_BYTES, RawItem, SourceError

LOG = "pages.jsonl"
PROVIDER = "provider.json"
# `write_page` puts the id first in each line; some databases have numbers.
_ID = re.compile(rb'\{"id":("(?:[^"\\]|\\.)*"|-?\d+)[,}]')


@dataclass(frozen=True)
class Page:
    """Hold one line of the log.

    Attributes:
        number: number of the page, from 0.
        url: URL it was read from.
        n: number of entries.
        sha256: hash of its file; empty if the page failed.
        first: id of its first entry, a hash of the entry where it has no id.
        next: URL of the page after it, None if none is known.
        total: entries of the whole query as the server states, None if it does not.
        error: why the page failed, else empty.
        more: whether the server says that more entries are available, None if it
            does not say.
        n_distinct: number of different entries on all pages up to this one, None where
            they were not counted.
    """

    number: int
    url: str
    n: int
    sha256: str
    first: str
    next: str | None
    total: int | None
    error: str = ""
    more: bool | None = None
    n_distinct: int | None = None


def page_file(folder: Path, number: int) -> Path:
    """Return the path of a page."""
    return folder / f"page-{number:06d}.jsonl.gz"


def page_name(path: Path) -> str:
    """Return the name of a page's file without its suffixes."""
    return path.name.split(".")[0]


def page_number(path: Path) -> int:
    """Return the number of a page's file."""
    return int(page_name(path).removeprefix("page-"))


def read_log(folder: Path) -> dict[int, Page]:
    """Return the pages in a folder by number, in order; the later of two lines counts.

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
                f"{path}, line {number}: damaged ({error}); remove the line, and "
                "that page is downloaded again"
            ) from None
    return dict(sorted(pages.items()))


def mend_log(folder: Path) -> None:
    """Cut off an incomplete last line, which a kill may have left."""
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
    data = gzip.compress(lines, 6, mtime=0)  # a time stamp would change the hash
    atomic_write(page_file(folder, number), data)
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, values: Any) -> None:
    """Write an object as indented JSON."""
    text = json.dumps(values, indent=1) + "\n"
    atomic_write(path, text.encode())


def read_json(path: Path) -> dict:
    """Return the object that `write_json` wrote; empty if there is no such file.

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
    raise SourceError(f"{path}: damaged ({error}); remove it")


def read_page(path: Path, prefix: str) -> Iterator[RawItem]:
    """Yield the entries of a page unparsed.

    Args:
        path: path of the page.
        prefix: start of the ids.

    Raises:
        SourceError: the file is not what was harvested.
    """
    for row, line in enumerate(_read_lines(path)):
        known = _ID.match(line)
        name = f"{page_name(path)}:{row}"
        if known:
            name = str(json.loads(known[1])) or name
        if len(line) > MAX_ITEM_BYTES:
            problem = f"{len(line)} bytes, expected at most {MAX_ITEM_BYTES}"
            yield RawItem(prefix + name, ("too_large", problem), "reject")
        else:
            yield RawItem(prefix + name, line, "optimade")


def count_distinct(folder: Path) -> int:
    """Return the number of different entries on the pages in a folder.

    Raises:
        SourceError: a page is not what was harvested.
    """
    pages = [page for page in read_log(folder).values() if page.n]
    hashes = [
        np.fromiter(map(hash, _read_lines(page_file(folder, page.number))), np.int64)
        for page in pages
    ]
    return len(np.unique(np.concatenate(hashes))) if hashes else 0


def _read_lines(path: Path) -> list[bytes]:
    """Return the lines of a page, one per entry.

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
                "(optimade:NAME) with a network: only this page is downloaded again"
            )
        return gzip.decompress(data).split(b"\n")[:-1]
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read ({cause(error)})") from error
