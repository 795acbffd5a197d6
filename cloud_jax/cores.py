"""The number of processor cores that this process may use."""

import os


def usable_cores() -> int:
    """Return how many cores this process may run on.

    Containers and batch systems grant fewer than the machine has; only Linux, and any
    system from Python 3.13 on, says how many.
    """
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
