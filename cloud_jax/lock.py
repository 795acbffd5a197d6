"""One writer a folder."""

import fcntl
from pathlib import Path
from typing import TextIO


class LockedError(OSError):
    """Another process writes the folder."""


def lock(folder: Path) -> TextIO:
    """Take the folder for this process until the returned file is closed.

    A process that is killed leaves nothing behind that would keep others out.

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
    return file
