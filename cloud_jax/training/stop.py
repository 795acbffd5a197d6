"""Stopping a run between two steps when a signal asks for it."""

import signal
import sys
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


class StopRequest:
    """Context in which SIGTERM or SIGINT asks for a checkpoint and an end.

    A second signal of the kind kills the process as usual.
    """

    def __init__(self):
        self.asked = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _: object) -> None:
        self.asked = True
        name = signal.Signals(number).name
        print(f"\n{name}: saving after this step; again to quit", file=sys.stderr)
        signal.signal(number, signal.SIG_DFL)

    def agreed(self) -> bool:
        """Return whether any process was asked; all must call this at the same step."""
        if jax.process_count() == 1:
            return self.asked
        # Signals reach the processes at different times. If one of them left the loop
        # alone, the others would wait for it in the next collective operation forever.
        return bool(multihost_utils.process_allgather(np.array(self.asked)).any())
