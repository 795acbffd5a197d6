"""Files: atomic writes, JSON, hashes, and one writer per folder."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout


@contextmanager
def atomic_open(path: Path, mode: str = "wb", **options) -> Iterator[IO]:
    """Open a file that takes its name only when it is complete.

    Until then, and if an error ends the block, the name keeps what it had.

    Args:
        path: the final name; the bytes are written beside it, to `.NAME.partial`. Two
            processes may not write the same name at the same time.
        mode: of `open`: `wb`, or `w` for text in UTF-8.
        **options: of `open`.

    Raises:
        OSError: the file cannot be written; names `path`.
    """
    partial = path.with_name(f".{path.name}.partial")
    if "b" not in mode:
        options = {"encoding": "utf-8"} | options
    try:
        with partial.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # a crash must not leave the name on no bytes
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        # The caller knows the final name only; a full disk comes without any.
        is_partial = str(getattr(error, "filename", None)) in ("None", str(partial))
        if isinstance(error, OSError) and is_partial and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


_REASONS = {
    errno.ENOENT: "there is no such file or folder",
    errno.EACCES: "no permission to read or write it",
    errno.EPERM: "no permission to read or write it",
    errno.EROFS: "it is on a disk that cannot be written",
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "your share of the disk is full: free some space",
    errno.EISDIR: "found a folder, expected a file",
    errno.ENOTDIR: "found a file, expected a folder",
    errno.ENAMETOOLONG: "the name is too long",
}


def cause(error: BaseException) -> str:
    """Return an error in words for people, without the file: not `[Errno 2]`."""
    if not isinstance(error, OSError) or not error.errno:
        return str(error)
    if error.strerror != os.strerror(error.errno):  # it is of ours
        return str(error.strerror)
    if (
        error.errno == errno.EEXIST
        and error.filename
        and os.path.isfile(error.filename)
    ):
        return _REASONS[errno.ENOTDIR]
    return _REASONS.get(error.errno, error.strerror)


def reason(error: BaseException) -> str:
    """Return an error in words for people: where, and what."""
    if not isinstance(error, OSError) or not error.errno or not error.filename:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {cause(error)}"


def atomic_write(path: Path, data: str | bytes) -> None:
    """Write a file so that it holds the old bytes or the new, never a part.

    Raises:
        OSError: the file cannot be written; names `path`.
    """
    with atomic_open(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, atomically."""
    atomic_write(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: the file is empty or damaged; says what to do.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise OSError(
            f"{path} is empty or damaged ({error}); remove it and run the same command "
            "again: the checkpoints are kept"
        ) from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Errors of network file systems without locks. A run there continues without one:
# refusing to run would cost more than two writers at a time, which are rare.
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class LockedError(OSError):
    """Another process writes the folder."""


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Keep a folder for this process while the block runs.

    The operating system holds the lock, so a killed process leaves none behind. On a
    file system without locks nothing is held.

    Raises:
        LockedError: another process holds it.
    """
    # The fallback to marker files is off: they would outlive a killed process.
    held = FileLock(folder / ".lock", fallback_to_soft=False)
    try:
        held.acquire(blocking=False)
    except Timeout:
        raise LockedError(
            f"{folder}: another run is writing it; wait for it or choose another folder"
        ) from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    try:
        yield
    finally:
        held.release()
