"""One writer a folder."""

import errno
import fcntl
from pathlib import Path
from typing import TextIO

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
