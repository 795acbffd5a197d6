"""Crystals that kill or stall the process that reads them, and a source of any.

Workers unpickle these by name, so they stand in a module that workers can import.
"""

import os
import signal
import sys
import time
from pathlib import Path

from cloud_jax.structures.source import Piece, RawItem, Source


class Deadly(bytes):
    """A CIF whose reading kills the process that tries."""

    def __contains__(self, _):
        os.kill(os.getpid(), signal.SIGSEGV)


class Endless(bytes):
    """A CIF that is never read to its end, and an hour is over at once.

    It puts back the time at which its reader began, so that no test waits for a limit
    and no sound crystal on a busy machine comes near one.
    """

    def __contains__(self, _):
        frame = sys._getframe()
        while "clock" not in frame.f_locals:
            frame = frame.f_back
        frame.f_locals["clock"][1] -= 3600
        time.sleep(600)


class DeadlyOnce(bytes):
    """A CIF that kills the first process that reads it; its text is a path."""

    def __contains__(self, _):
        path = self.decode()
        if not os.path.exists(path):
            open(path, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        raise ValueError("the second process reads it")


class Items(Source):
    """A source of given payloads."""

    def pieces(self):
        return [Piece("only", Path("only"))]

    def read(self, piece):
        for number, payload in enumerate(self.payloads):
            yield RawItem(str(number), payload, "cif")


class DeadlyToUnpickle:
    def __reduce__(self):
        return os._exit, (3,)


class Importing(bytes):
    """A CIF whose reading needs a package."""

    def __contains__(self, _):
        raise ModuleNotFoundError("no_such_package")


class Greedy(bytes):
    """A CIF whose reading asks for a gigabyte."""

    def __contains__(self, _):
        bytearray(2**30)
