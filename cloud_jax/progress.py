"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

import os
import sys

from tqdm import tqdm

LINE_EVERY_S = 30.0  # where the output is a file


class _Lines(tqdm):
    """A bar whose every state is a line of its own, for logs."""

    @staticmethod
    def status_printer(file):
        """Return what prints a state; nothing is overwritten or cleared."""

        def print_line(text: str) -> None:
            if text.strip():
                file.write(f"{text}\n")
                file.flush()

        return print_line


def progress(
    what: str, *, total: int | None, unit: str, done: int = 0, show: bool = True
) -> tqdm:
    """Return a bar to `update`, a context manager.

    On a terminal it is drawn twice a second and says the time left where the total is
    known. Elsewhere a line is written every 30 s and at the end.

    Args:
        what: is done, such as `reading`.
        total: how many there are; None where the source does not say.
        unit: what is counted, such as `crystals`.
        done: how many were done before.
        show: False on all processes but the first.
    """
    on_terminal = sys.stderr.isatty()
    return (tqdm if on_terminal else _Lines)(
        desc=what,
        total=total,
        initial=done,
        unit=f" {unit}",
        disable=not show or bool(os.environ.get("CLOUD_JAX_QUIET")),
        mininterval=0.5 if on_terminal else LINE_EVERY_S,
        maxinterval=LINE_EVERY_S,
        miniters=1,
        smoothing=0.05,
        dynamic_ncols=on_terminal,
        ascii=not on_terminal,
    )
