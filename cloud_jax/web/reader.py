"""What people upload is read in processes of their own, with limits.

A file may be damaged on purpose: it is parsed, and its symmetry searched, in a process
that may take so much time and memory, and that is replaced when it takes more.
"""

import multiprocessing
import queue
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cloud_jax.scope import Rejection
from cloud_jax.scope.pipeline import Options, Record, Reject, process, read_cell
from cloud_jax.scope.pool import limit_memory, worker_environment
from cloud_jax.structures.archive import is_archive
from cloud_jax.structures.cell import Cell
from cloud_jax.structures.columns import value_item
from cloud_jax.structures.folder import CifSource
from cloud_jax.structures.items import kind_of
from cloud_jax.structures.source import RawItem, SourceError

SECONDS = 40.0  # per crystal; that of a large cell's symmetry search is 30 s
MIB = 1024  # of memory, beside what the process holds when it starts
MAX_CRYSTALS = 50  # per question
MAX_DRAWN = 400  # atoms in a picture
_START_S = 120.0  # a machine under load imports slowly
_FACE = 0.02  # fractional; atoms so near to a face are drawn on the opposite one too


class Upload(NamedTuple):
    """What a person gave.

    Attributes:
        name: of the file, without its folder.
        path: of the file; None where the content was pasted.
        text: that was pasted.
    """

    name: str
    path: Path | None = None
    text: str = ""


class Reading(NamedTuple):
    """A crystal as it was read.

    Attributes:
        result: the record, or why there is none; the id is the name of the file.
        cell: what `drawing` returns; None for a reject.
    """

    result: Record | Reject
    cell: dict[str, Any] | None


def drawing(cell: Cell) -> dict[str, Any]:
    """Return a cell for a picture: lattice and atoms, angstrom.

    `atoms` holds (element, x, y, z); those on a face, edge or corner stand on the
    opposite one too. A cell of too many has no atoms, and a note that says so.
    """
    place = cell.fractional - np.floor(cell.fractional + 1e-6)
    atoms = []
    for species, fractional in zip(cell.species, place, strict=True):
        element = (
            species
            if isinstance(species, str)
            else max(species, key=lambda part: part[1])[0]
        )
        for shift in np.ndindex(*(1 + (fractional < _FACE))):
            x, y, z = ((fractional + shift) @ cell.lattice).round(4).tolist()
            atoms.append([element, x, y, z])
        if len(atoms) > MAX_DRAWN:
            note = f"a cell of {len(cell.species):,} atoms is not drawn"
            return {"lattice": cell.lattice.tolist(), "atoms": [], "note": note}
    note = "mixed sites show their main element" if cell.is_disordered else ""
    return {"lattice": cell.lattice.round(4).tolist(), "atoms": atoms, "note": note}


def _items(upload: Upload) -> Iterable[RawItem]:
    if upload.path is None:
        return [value_item(upload.name, upload.text)]
    if kind_of(upload.name) or is_archive(upload.name):
        return CifSource("input", paths=(str(upload.path),)).items()
    return [value_item(upload.name, upload.path.read_bytes())]  # told by its content


def _read(item: RawItem, options: Options) -> Reading:
    result = process(item, "", options)
    cell = None
    if isinstance(result, Record):
        cell = drawing(read_cell(item))
    return Reading(result, cell)


def _without_place(result: Record | Reject, upload: Upload) -> Record | Reject:
    """Return a result whose message does not say where the upload is kept."""
    if isinstance(result, Record) or upload.path is None:
        return result
    message = result.message.replace(f"{upload.path.parent}/", "")
    return replace(result, message=message.replace("source input: ", ""))


def _serve(pipe, options: Options) -> None:
    """Answer uploads until the parent closes the pipe: readings, then None."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    limit_memory(MIB * 2**20)
    pipe.send("ready")
    while True:
        try:
            upload = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            n = 0
            for item in islice(_items(upload), MAX_CRYSTALS + 1):
                result, cell = _read(item, options)
                pipe.send(Reading(_without_place(result, upload), cell))
                n += 1
            if n == 0:
                raise Rejection("empty", "holds no structure file")
        except (SourceError, OSError, Rejection, MemoryError) as error:
            why = f"cannot be read to its end: {error}"
            reject = Reject(f"/{upload.name}", "read", "unreadable", why)
            pipe.send(Reading(_without_place(reject, upload), None))
        pipe.send(None)


class Reader:
    """One guarded process. It starts at the first upload, and again after each end."""

    def __init__(self, options: Options):
        self._options = options
        self._process = None

    def start(self) -> None:
        """Start the process, if it is not there, and wait until it is ready."""
        if self._process and self._process.is_alive():
            return
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, self._options), daemon=True
        )
        with worker_environment():
            self._process.start()
        theirs.close()
        if not self._pipe.poll(_START_S):
            self.close()
            raise OSError("the process that reads structures did not start in time")
        self._pipe.recv()

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None

    def read(self, upload: Upload) -> Iterator[Reading]:
        """Yield each crystal of an upload; one that breaks a limit is the last."""
        self.start()
        name = f"/{upload.name}"
        try:
            self._pipe.send(upload)
            while True:
                if not self._pipe.poll(SECONDS):
                    why = f"took longer than {SECONDS:g} s: give a smaller cell or file"
                    yield Reading(Reject(name, "read", "timeout", why), None)
                    break
                reading = self._pipe.recv()
                if reading is None:
                    return
                yield reading
        except (EOFError, ConnectionResetError, BrokenPipeError):
            why = (
                "the process that read it ended: it needs too much memory, or is made "
            )
            yield Reading(Reject(name, "read", "crashed", why + "to do harm"), None)
        self.close()


class Readers:
    """Several guarded processes, each lent to one question at a time."""

    def __init__(self, options: Options, n: int):
        self._idle: queue.Queue[Reader] = queue.Queue()
        self._all = [Reader(options) for _ in range(n)]
        for reader in self._all:
            self._idle.put(reader)

    @contextmanager
    def lend(self) -> Iterator[Reader]:
        """Lend a reader; wait until one is free."""
        reader = self._idle.get()
        try:
            yield reader
        except BaseException:  # answers that nobody took would be the next one's
            reader.close()
            raise
        finally:
            self._idle.put(reader)

    def start(self) -> None:
        """Start all processes, so that the first question does not wait for them."""
        for reader in self._all:
            reader.start()

    def close(self) -> None:
        """End all processes."""
        for reader in self._all:
            with suppress(OSError):
                reader.close()
