"""`cloud-jax web` in a process of its own, for tests and pictures of the page."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import URLError
from urllib.request import urlopen

_START_S = 120


class Served:
    """A running page: its address, its process, and the folder of its uploads."""

    def __init__(self, origin: str, process: subprocess.Popen, temporary: str):
        self.origin, self.process, self.temporary = origin, process, temporary


@contextmanager
def served(temporary: str, **environment: str) -> Iterator[Served]:
    """Serve the page on a free port; end it with SIGTERM, which must succeed.

    Args:
        temporary: folder in which the server makes that of its uploads.
        **environment: variables of the process beside our own.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud_jax", "web", "--port", str(port), "--quiet"],
        env={**os.environ, "TMPDIR": temporary, **environment},
    )
    origin = f"http://127.0.0.1:{port}"
    try:
        _wait(origin, process)
        yield Served(origin, process, temporary)
    finally:
        process.terminate()
        process.wait(30)


def _wait(origin: str, process: subprocess.Popen) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with code {process.returncode}")
        try:
            urlopen(origin, timeout=5).close()
            return
        except (URLError, OSError):
            time.sleep(0.2)
    raise TimeoutError(f"no answer from {origin} within {_START_S} s")
