"""Published files: found where the user keeps them, or downloaded once.

A file is looked for by name in a folder and in the folders directly below it. Found
or downloaded, it must have the hash that its publisher gives. A download is written to
`.NAME.partial`, which can be resumed, and is renamed when it is complete.

pooch is not used because it restarts an interrupted download of 300 MB and does not
find a file that the user keeps elsewhere or compressed.
"""

import errno
import gzip
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

import requests
import urllib3

from cloud_jax.datasets.retries import Attempts, may_pass, reason, retry_after
from cloud_jax.files import LockedError, cause, lock
from cloud_jax.progress import progress
from cloud_jax.structures.source import SourceError

ATTEMPTS = 6  # in a row without a byte of progress
PAUSE_S = 1.0  # before the second attempt
TIMEOUT_S = 30.0  # without a byte
_BLOCK = 2**20
T = TypeVar("T")
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
_AGENT = {"User-Agent": "cloud_jax", "Accept-Encoding": "identity"}


@dataclass(frozen=True)
class RemoteFile:
    """Describe a published file.

    Attributes:
        name: of the file, without folders.
        url: of its bytes, or of a figshare article's list of files
            (`https://api.figshare.com/v2/articles/ID/files`), which gives the URL and
            the MD5 of this name.
        sha256: that the publisher gives, or empty.
        md5: that the publisher gives where there is no SHA-256, or empty.
        page: for people: where the file is described.
    """

    name: str
    url: str
    sha256: str = ""
    md5: str = ""
    page: str = ""

    @property
    def published(self) -> str:
        """Return where the file is described, and its hash, for messages."""
        algorithm, digest = self.checksum
        if digest:
            known = f"with {algorithm.upper()} {digest}"
        else:
            known = "which gives its MD5" if self.url.endswith("/files") else ""
        return " ".join(filter(None, [self.page or self.url, known]))

    @property
    def checksum(self) -> tuple[str, str]:
        """Return algorithm and hexadecimal digest, both empty if none is given."""
        if self.sha256:
            return "sha256", self.sha256
        return ("md5", self.md5) if self.md5 else ("", "")


def find(file: RemoteFile, folder: str | Path) -> Path | None:
    """Find a file in a folder or one directly below it, plain or as `NAME.gz`.

    Returns:
        The first that has the right hash, or None if there is no file of the name.

    Raises:
        SourceError: there are files of the name, and none has the right hash.
    """
    wrong = None
    for path in _candidates(file.name, Path(folder)):
        found = _digest_of(path, file)
        if found == file.checksum[1]:
            return path
        wrong = wrong or (path, found)
    if wrong:
        path, found = wrong
        raise SourceError(
            f"{path}: found {file.checksum[0].upper()} {found}, expected that of the "
            f"published file, {file.checksum[1]}: it is cut short, damaged or of "
            f"another version; remove it, and it is downloaded again from {file.url}"
        )
    return None


def find_or_fetch(
    file: RemoteFile, folder: str | Path, subfolder: str, *, allow_download: bool
) -> Path:
    """Return the path of a file, downloading it if it is missing.

    Args:
        file: the published file.
        folder: looked in first, with the folders directly below it.
        subfolder: of the folder, to download to.
        allow_download: otherwise a missing file is an error.

    Raises:
        SourceError: a file of the name has the wrong hash, or there is none and it
            cannot be downloaded.
    """
    if (path := find(file, folder)) is not None:
        return path
    if not allow_download:
        raise SourceError(
            f"found no file {file.name} in {folder} or a folder in it; it is published "
            f"at {file.published}: download it into {Path(folder) / subfolder}"
        )
    target = Path(folder) / subfolder / file.name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with lock(target.parent):
            # Another process may have downloaded it since.
            if (path := find(file, folder)) is not None:
                return path
            download(file, target)
    except LockedError as error:
        raise SourceError(f"{target}: another process is downloading ({error})") from (
            error
        )
    except OSError as error:
        raise SourceError(
            f"{target}: cannot be downloaded from {file.url} ({_reason(error)}). "
            "Without network, or where this address is refused, download it elsewhere "
            f"(it is described at {file.published}) and put it into {folder}"
        ) from error
    return target


def download(file: RemoteFile, target: Path) -> None:
    """Download a file to a path, resuming an earlier attempt.

    Raises:
        OSError: it cannot be downloaded; this includes HTTP errors.
        SourceError: the bytes received are not those published.
    """
    file = _resolve(file)
    partial = target.with_name(f".{target.name}.partial")
    resumed = partial.exists()
    if resumed and not file.checksum[1]:  # a mixture of two versions would pass
        partial.unlink()
    _transfer(file.url, partial)
    found = _digest(partial, file.checksum[0])
    if found != file.checksum[1] and resumed:  # perhaps begun with another version
        partial.unlink()
        _transfer(file.url, partial)
        found = _digest(partial, file.checksum[0])
    if found != file.checksum[1]:
        size = partial.stat().st_size
        partial.unlink()
        raise SourceError(
            f"{file.url}: found {size:,} bytes with {file.checksum[0].upper()} "
            f"{found}, expected {file.checksum[1]}: the publisher has replaced "
            f"{file.name}, or a proxy or login page answered instead; see "
            f"{file.page or file.url}"
        )
    os.replace(partial, target)


def _candidates(name: str, folder: Path) -> Iterator[Path]:
    for pattern in (name, f"{name}.gz", f"*/{name}", f"*/{name}.gz"):
        yield from (path for path in sorted(folder.glob(pattern)) if path.is_file())


def _digest_of(path: Path, file: RemoteFile) -> str:
    """Return the digest of a file; for `NAME.gz`, that of its content."""
    status = path.stat()
    unpack = path.name == f"{file.name}.gz"
    try:
        return _cached_digest(
            path, file.checksum[0], unpack, status.st_size, status.st_mtime_ns
        )
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read ({cause(error)})") from error


@cache
def _cached_digest(path: Path, algorithm: str, unpack: bool, *_version: int) -> str:
    return _digest(path, algorithm, unpack)


def _digest(path: Path, algorithm: str, unpack: bool = False) -> str:
    """Return the hexadecimal digest of a file; empty without an algorithm."""
    if not algorithm:
        return ""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with gzip.open(path) if unpack else path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _resolve(file: RemoteFile) -> RemoteFile:
    """Return a file with the URL and the MD5 that its figshare article gives.

    Raises:
        OSError: no answer.
        SourceError: the answer has no such file.
    """
    if not file.url.endswith("/files"):
        return file
    body = _persist(lambda: _read(f"{file.url}?page_size=1000"))
    try:
        entries = {entry["name"]: entry for entry in json.loads(body)}
        names = sorted(entries)
        if file.name in entries:
            url = (
                f"https://api.figshare.com/v2/file/download/{entries[file.name]['id']}"
            )
            url = entries[file.name].get("download_url") or url
            return replace(file, url=url, md5=entries[file.name]["computed_md5"])
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{file.url}: found no list of files ({error!r})") from error
    raise SourceError(
        f"{file.url}: found {', '.join(names) or 'no file'}; expected {file.name}: the "
        f"publisher has renamed it; see {file.page}"
    )


def _transfer(url: str, partial: Path) -> None:
    """Append to a partial file until it is complete.

    Raises:
        OSError: after the last attempt, or at once if another cannot help.
    """
    _persist(lambda: _attempt(url, partial, _size(partial)), lambda: _size(partial))


def _persist(attempt: Callable[[], T], n_kept: Callable[[], int] = lambda: 0) -> T:
    """Return what an attempt returns, repeating it while that may help.

    Args:
        attempt: raises OSError or urllib3's HTTPError where it fails.
        n_kept: returns the number of bytes received so far; attempts are counted from
            the last that added some.

    Raises:
        OSError: after the last attempt, or at once if another cannot help.
    """
    attempts = Attempts(ATTEMPTS, PAUSE_S)
    while True:
        before = n_kept()
        try:
            return attempt()
        except (OSError, urllib3.exceptions.HTTPError) as error:
            refusal = getattr(error, "response", None)
            if n_kept() > before:
                attempts.n_failed = 0
            attempts.answered |= refusal is not None or n_kept() > before
            pause = None
            if getattr(error, "errno", None) not in _LOCAL and (
                refusal is None or may_pass(refusal.status_code)
            ):
                pause = attempts.fail(retry_after(getattr(refusal, "headers", {})))
            if pause is None:
                raise error if isinstance(error, OSError) else OSError(error) from error
            time.sleep(pause)


def _read(url: str) -> bytes:
    """Return the bytes of an answer, in one attempt."""
    with _open(url, 0) as answer:
        answer.raise_for_status()
        return answer.content


def _size(path: Path) -> int:
    """Return the size of a file in bytes, 0 if there is none."""
    return path.stat().st_size if path.exists() else 0


def _attempt(url: str, partial: Path, start: int) -> None:
    """Download the missing part of a file in one connection."""
    with _open(url, start) as answer:
        length = answer.headers.get("Content-Length")
        span = answer.headers.get("Content-Range", "")
        if answer.status_code == 416:  # an empty range: complete, or not this file
            if span.rpartition("/")[2] == str(start):
                return
            partial.unlink()
            raise ConnectionError(f"the server's file is not {start:,} bytes long")
        answer.raise_for_status()
        if answer.status_code != 206 or not span.startswith(f"bytes {start}-"):
            start = 0  # the server sends the whole file
        name = partial.name[1:].removesuffix(".partial")
        total = start + int(length) if length else None
        with (
            partial.open("ab" if start else "wb") as file,
            progress(name, total=total, unit="B", done=start, scale=True) as bar,
        ):
            # read1 returns the bytes received so far: a broken connection loses none.
            while block := answer.raw.read1(_BLOCK // 16, decode_content=False):
                file.write(block)
                bar.update(len(block))


def _open(url: str, start: int) -> requests.Response:
    headers = _AGENT | ({"Range": f"bytes={start}-"} if start else {})
    return requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S)


def _reason(error: OSError) -> str:
    if isinstance(error, requests.HTTPError):
        return f"HTTP {error.response.status_code} {error.response.reason}"
    return reason(error)
