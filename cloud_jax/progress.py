"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere."""

import os
import sys

from tqdm import tqdm

LINE_EVERY_S = 30.0  # where the output is a file


class _LinesOnly:
    """Standard error without carriage returns: each state of a bar becomes a line."""

    def write(self, text: str) -> None:
        if line := text.strip():
            sys.stderr.write(f"{line}\n")

    def flush(self) -> None:
        sys.stderr.flush()


def progress(
    what: str,
    *,
    total: int | None,
    unit: str,
    done: int = 0,
    show: bool = True,
    leave: bool = True,
    scale: bool = False,
) -> tqdm:
    """Return a bar to `update`, a context manager.

    On a terminal it is drawn twice a second and says the time left where the total is
    known. Elsewhere a line is written every 30 s, and one at the end of work that took
    longer than that.

    Args:
        what: is done, such as `reading`.
        total: how many there are; None where the source does not say.
        unit: what is counted, such as `crystals`.
        done: how many were done before.
        show: False on all processes but the first.
        leave: keep the finished bar on a terminal.
        scale: write thousands as k, M and so on.
    """
    on_terminal = sys.stderr.isatty()
    return tqdm(
        desc=what,
        total=total,
        initial=done,
        unit=unit if scale else f" {unit}",
        unit_scale=scale,
        file=sys.stderr if on_terminal else _LinesOnly(),
        disable=not show or bool(os.environ.get("CLOUD_JAX_QUIET")),
        delay=0 if on_terminal else LINE_EVERY_S,
        mininterval=0.5 if on_terminal else LINE_EVERY_S,
        maxinterval=LINE_EVERY_S,
        miniters=1,
        smoothing=0.05,
        dynamic_ncols=on_terminal,
        ascii=not on_terminal,
        leave=leave or not on_terminal,
    )
