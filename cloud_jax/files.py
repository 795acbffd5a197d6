"""Files: written whole or not at all, locked, hashed; JSON."""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TextIO


@contextmanager
def atomic_open(path: Path, mode: str = "wb", **options) -> Iterator[IO]:
    """Open a file that takes its name only when all went well.

    Until then what was there before stays.

    Args:
        path: the name; what is half written is beside it, `.NAME.partial`.
        mode: of `open`, `wb` or `w`.
        **options: of `open`.

    Raises:
        OSError: it cannot be written; with its name.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open(mode, **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        ours = str(getattr(error, "filename", None)) in ("None", str(partial))
        if isinstance(error, OSError) and ours and error.errno:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def atomic_write(path: Path, data: str | bytes) -> None:
    """Write a file so that it is either old or new, never half.

    Raises:
        OSError: it cannot be written; with its name.
    """
    with atomic_open(path) as file:
        file.write(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file so that it is either old or new, never half."""
    atomic_write(path, json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        OSError: it is empty or damaged; with its name and what to do.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise OSError(
            f"{path} is empty or damaged ({error}); remove it and run the same command "
            "again: the checkpoints are kept"
        ) from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Some network file systems have no locks. A run there goes on without one: refusing it
# would take away more than a lock gives.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class LockedError(OSError):
    """Another process writes the folder."""


def lock(folder: Path) -> TextIO:
    """Take the folder for this process until the returned file is closed.

    A process that is killed leaves nothing behind that would keep others out. On a
    file system without locks nothing is taken.

    Raises:
        LockedError: another process has it.
    """
    file = (folder / ".lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise LockedError(
            f"{folder}: another run is writing it; wait for it or choose another folder"
        ) from None
    except OSError as error:
        if error.errno not in NO_LOCKS:
            file.close()
            raise
    return file
