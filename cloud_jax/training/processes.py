"""What keeps the processes of one run together: the same settings, folder and end.

They talk through the key-value store of jax's coordination service, which lives in
process 0. It needs no device, so that it also works before the first computation and
while another thread waits in one. A run of one process talks to nobody.
"""

import json
import os
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jax._src.distributed import global_state  # jax has no public name for its client
from jax.errors import JaxRuntimeError

from cloud_jax.cli import Exit
from cloud_jax.training.errors import (
    DivergedError,
    InterruptedRunError,
    RunMismatchError,
)
from cloud_jax.training.workdir import differences

# Settings that may differ from process to process: where things are on its machine.
LOCAL_KEYS = ("data.build", "data.path", "distributed", "workdir")

_POLL_S = 0.5
# How long process 0 stays, so that the others read what it said last.
_LINGER_S = 4 * _POLL_S
# How long a file may take to appear on a network file system.
_APPEAR_S = 10
# How long a process that failed may take to clean up and to report it.
_REPORT_S = 10
_FAILED = "cloud_jax/failed"

_failed = False  # whether this process has failed, and the others know


class ProcessError(OSError):
    """Another process of the run has ended, or does not share a folder."""


def is_first() -> bool:
    """Return whether this process is the one that writes files and messages."""
    return global_state.process_id == 0


# ---- talking ----


def tell(key: str, value: str) -> None:
    """Leave a value that every process can `hear`; a key is used once."""
    if global_state.client:
        global_state.client.key_value_set(f"cloud_jax/{key}", value)


def hear(key: str) -> str:
    """Wait for the value of a key, as long as the process lives that leaves it."""
    while True:
        try:
            return global_state.client.key_value_try_get(f"cloud_jax/{key}")
        except JaxRuntimeError as error:
            if "NOT_FOUND" not in str(error):
                raise
        time.sleep(0.1)


def decide(key: str, mine: str, judge: Callable[[list[str]], str]) -> str:
    """Return what process 0 makes of what every process says.

    Args:
        key: of this decision.
        mine: what this process says.
        judge: of what all processes say, in their order; runs in process 0.
    """
    if not global_state.client:
        return judge([mine])
    tell(f"{key}/{global_state.process_id}", mine)
    if is_first():
        said = [hear(f"{key}/{i}") for i in range(global_state.num_processes)]
        tell(key, judge(said))
    return hear(key)


# ---- the same settings, data and folder ----


def refuse_differences(key: str, mine: dict[str, Any]) -> None:
    """Raise RunMismatchError in every process unless all hold the same.

    Args:
        key: a word for what is compared.
        mine: nested; `LOCAL_KEYS` may differ.
    """

    def judge(said: list[str]) -> str:
        first = json.loads(said[0])
        for i, text in enumerate(said):
            if lines := differences(first, json.loads(text), free=LOCAL_KEYS):
                return (
                    f"process {i} does not run what process 0 does (0 -> {i}):\n  "
                    + "\n  ".join(lines)
                    + "\nStart all processes with the same settings, code and data"
                )
        return ""

    if problem := decide(key, json.dumps(mine), judge):
        raise RunMismatchError(problem)


def appears(path: Path) -> bool:
    """Return whether a file is there, or appears soon: network files may be late."""
    deadline = time.monotonic() + _APPEAR_S
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def refuse_private(folder: Path) -> None:
    """Raise ProcessError in every process unless all see the same work directory.

    Process 0 writes a file of a new name, which no cache of a file system knows.
    """
    if not global_state.client:
        return
    here = f"{folder.absolute()} on {socket.gethostname()}"
    if is_first():
        mark = folder / f".shared-{uuid.uuid4().hex}"
        mark.touch()
        tell("mark", mark.name)
    else:
        mark = folder / hear("mark")

    def judge(said: list[str]) -> str:
        problems = [f"process {i}: {text}" for i, text in enumerate(said) if text]
        return "; ".join(problems[:5])

    found = "" if appears(mark) else f"{here} does not hold what process 0 wrote"
    problem = decide("workdir", found, judge)
    if is_first():
        mark.unlink()
    if problem:
        raise ProcessError(
            f"the workdir is not shared. {problem}. Give all processes one folder on a "
            "file system that they share"
        )


# ---- the same end ----


@contextmanager
def ending_together() -> Iterator[None]:
    """End all processes of the run soon after one of them fails in this block.

    Without it the others would wait in their next collective operation.
    """
    if not global_state.client:
        yield
        return
    done = threading.Event()
    threading.Thread(target=_watch, args=(done,), daemon=True).start()
    with announcing():
        try:
            yield
        finally:
            done.set()


@contextmanager
def announcing() -> Iterator[None]:
    """Tell the other processes of an error before the blocks around this one end.

    Those may wait for the others, to finish a checkpoint for instance. All processes
    meet a signal or a loss that is not finite at the same step: it is not announced.

    Raises:
        ProcessError: instead of the error, where another process had failed before.
    """
    global _failed
    try:
        yield
    except (InterruptedRunError, DivergedError):
        raise
    except BaseException as error:
        if _failed or not global_state.client:
            raise
        _failed = True
        problem = _announced()
        if not problem:
            stopped = isinstance(error, KeyboardInterrupt)
            reason = "stopped" if stopped else str(error) or type(error).__name__
            text = f"process {global_state.process_id} ended this run: {reason}"
            with suppress(JaxRuntimeError):  # process 0 may be gone
                global_state.client.key_value_set(_FAILED, text)
        if is_first():
            time.sleep(_LINGER_S)
        if problem:  # the cause of ours
            raise ProcessError(problem) from error
        raise


def _announced() -> str:
    """Return what a process announced that failed; empty as long as none has."""
    try:
        return global_state.client.key_value_try_get(_FAILED)
    except JaxRuntimeError:
        return ""


def _watch(done: threading.Event) -> None:
    """End this process when one announces its failure.

    Where a process ends without a word, jax ends the others after a while.
    """
    while not done.wait(_POLL_S):
        if problem := _announced():
            # Its own failure it reports itself, unless it waits for the others first.
            if done.wait(_REPORT_S if _failed else 0):
                return
            print(f"error: {problem}", file=sys.stderr, flush=True)
            if is_first():
                time.sleep(_LINGER_S)
            os._exit(Exit.FAILED)


def leave(code: int) -> None:
    """End this process at once if it announced a failure.

    Otherwise jax would wait at its end for the other processes, which have gone.
    """
    if not _failed:
        return
    if sys.exc_info()[0]:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
