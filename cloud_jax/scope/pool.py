"""A pool of guarded processes: chunks to part files.

Workers are spawned, never forked, and each has its own pipe, so the pool knows at
any time which chunk, and through a small shared clock which record, each one holds.
A worker that dies or overruns is replaced and its chunk done again; the record it
died on twice, or that overran, is rejected by name. A record that asks for too much
memory is refused it by the operating system, and rejected too.
"""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from cloud_jax.scope.chunks import Chunk, Position, write_results
from cloud_jax.scope.pipeline import (
    Options,
    Record,
    Reject,
    process,
    vocabulary_of,
)

# The processes are many, so one BLAS and OpenMP thread each; and spglib's notes that it
# fell back on another of its algorithms would cut the progress bar to pieces.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "SPGLIB_WARNING": "OFF",
}
Write = Callable[[Path, Sequence[Position], Sequence[Record | Reject]], None]
LIMITED = ("timeout", "crashed", "out_of_memory")  # rejects that limits decide
_STARTS = 3  # times a worker may die outside any record before the run stops


class EngineError(OSError):
    """Workers cannot do their work; the message says what to look at."""


class Limits(NamedTuple):
    """Limits per record.

    Attributes:
        seconds: of time.
        mib: of memory beside what the worker itself holds; enforced on Linux.
    """

    seconds: float = 60.0
    mib: int = 2048


@dataclass
class _Job:
    chunk: Chunk
    condemned: dict[int, tuple[str, str]] = field(default_factory=dict)
    deaths: Counter = field(default_factory=Counter)


class _Worker:
    """One process, the parent's end of its pipe, and the clock they share."""

    def __init__(self, context, *args):
        self.clock = context.RawArray("d", [-1.0, 0.0])  # record, when it started
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(theirs, self.clock, *args), daemon=True
        )
        self.process.start()
        theirs.close()
        self.job: _Job | None = None

    def give(self, job: _Job) -> None:
        self.job = job
        self.clock[0] = -1.0
        with suppress(BrokenPipeError, ConnectionResetError):
            # If it is dead already, the end of its pipe is seen by the next wait.
            self.pipe.send((job.chunk, job.condemned))

    def overrun(self, limit: float) -> int | None:
        """Index of the record that has taken longer than the limit, seconds."""
        index, started = int(self.clock[0]), self.clock[1]
        late = self.job and index >= 0 and time.monotonic() - started > limit
        return index if late else None

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Pool:
    """Worker processes that live until the pool is closed.

    Attributes:
        directory: folder of the part files.
    """

    def __init__(
        self,
        n: int,
        *,
        directory: Path,
        source_names: Sequence[str],
        options: Options,
        limits: Limits,
        write: Write = write_results,
    ):
        """Make the pool; its processes start with the first chunk.

        Args:
            n: number of processes.
            directory: folder of the part files.
            source_names: of each source index its name.
            options: what decides the results.
            limits: of one record.
            write: writes the part file of a chunk; a worker imports it by its name.
        """
        self.directory = directory
        self._n = n
        self._arguments = (directory, tuple(source_names), options, limits, write)
        self._limits = limits
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """End all processes at once."""
        for worker in self._workers:
            worker.end()
        self._workers = []

    def run(
        self, chunks: Iterable[Chunk], progress: Callable[[int, bool], None]
    ) -> list[Path]:
        """Process all chunks that have no part file yet.

        Args:
            chunks: in the order of the sources.
            progress: called with a number of items, and whether they were done before.

        Returns:
            All part files, in order.

        Raises:
            EngineError: workers die before they reach a record.
            OSError: a part file cannot be written, for instance on a full disk.
        """
        names: list[str] = []
        for chunk in chunks:
            names.append(chunk.name)
            if self._part(chunk.name).exists():
                progress(chunk.n_items, True)
                continue
            self._start()
            idle = next((worker for worker in self._workers if not worker.job), None)
            (idle or self._next_idle(progress)).give(_Job(chunk))
        while any(worker.job for worker in self._workers):
            self._next_idle(progress)
        return [self._part(name) for name in names]

    def _part(self, name: str) -> Path:
        """Return the part file of a chunk, under one of its two names."""
        path = self.directory / name
        return path if path.exists() else _with_limits(path, self._limits)

    def _start(self) -> None:
        """Start all at once: they import while the first chunks are cut."""
        if not self._workers:
            self._workers = [self._new_worker() for _ in range(self._n)]

    def _new_worker(self) -> _Worker:
        with worker_environment():
            return _Worker(self._context, *self._arguments)

    def _next_idle(self, progress: Callable[[int, bool], None]) -> _Worker:
        """Wait until a worker has finished its chunk; replace those that die."""
        while True:
            for i, worker in enumerate(self._workers):
                late = worker.overrun(self._limits.seconds)
                if late is not None:
                    why = f"took longer than {self._limits.seconds:g} s"
                    worker.job.condemned[late] = ("timeout", why)
                    self._replace(i)
            busy = {w.pipe: i for i, w in enumerate(self._workers) if w.job}
            for pipe in wait(busy, timeout=min(1.0, self._limits.seconds / 4)):
                i = busy[pipe]
                worker = self._workers[i]
                try:
                    answer = pipe.recv()
                except (EOFError, ConnectionResetError):
                    _blame(worker)
                    self._replace(i)
                    continue
                if isinstance(answer, Exception):
                    raise answer
                job, worker.job = worker.job, None
                progress(job.chunk.n_items, False)
                return worker

    def _replace(self, index: int) -> None:
        job = self._workers[index].job
        self._workers[index].end()
        self._workers[index] = self._new_worker()
        self._workers[index].give(job)


def _blame(worker: _Worker) -> None:
    """Note where a worker died; the second death on one record condemns it."""
    worker.process.join()
    index, job = int(worker.clock[0]), worker.job
    code = worker.process.exitcode
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    job.deaths[index] += 1
    if index < 0 and job.deaths[index] >= _STARTS:
        raise EngineError(
            f"a worker died {_STARTS} times before its first record ({how}); look at "
            "the messages above, at the free memory, and run with --workers 1"
        )
    if index >= 0 and job.deaths[index] >= 2:
        job.condemned[index] = ("crashed", f"the process died on it twice ({how})")


@contextmanager
def worker_environment() -> Iterator[None]:
    """Set what workers inherit, for a while: variables, and that Ctrl-C waits.

    Ctrl-C in a terminal reaches workers too, also while they still import.
    """
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    mask = None
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        resource_tracker.ensure_running()  # its start would end the mask
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)  # another thread's pool may have
            else:
                os.environ[name] = value


def _serve(
    pipe: Connection,
    clock,
    directory: Path,
    source_names: tuple[str, ...],
    options: Options,
    limits: Limits,
    write: Write,
) -> None:
    """Work until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    vocabulary_of(options.dialect)  # here, not within the first record's time limit
    limit_memory(limits.mib * 2**20)
    while True:
        try:
            chunk, condemned = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            name = source_names[chunk.source]
            positions, results = [], []
            for index, (position, item) in enumerate(chunk.items()):
                positions.append(position)
                if index in condemned:
                    reject = Reject(f"{name}/{item.id}", "engine", *condemned[index])
                    results.append(reject)
                    continue
                clock[1] = time.monotonic()
                clock[0] = index
                results.append(process(item, name, options))
            clock[0] = -1.0
            write(_part_of(chunk, directory, limits, results), positions, results)
            pipe.send(None)
        except OSError as error:
            problem = f"{directory / chunk.name}: {error.strerror or error}"
            pipe.send(OSError(error.errno or 0, problem))
        except Exception as error:
            pipe.send(EngineError(f"{type(error).__name__}: {error}"))


def _part_of(
    chunk: Chunk, directory: Path, limits: Limits, results: Sequence[Record | Reject]
) -> Path:
    """Return the part file of a chunk; one that limits cut short names them."""
    path = directory / chunk.name
    limited = any(getattr(result, "code", "") in LIMITED for result in results)
    return _with_limits(path, limits) if limited else path


def _with_limits(path: Path, limits: Limits) -> Path:
    return path.with_stem(f"{path.stem}-{limits.seconds:g}s-{limits.mib}MiB")


def limit_memory(n_bytes: int) -> None:
    """Let this process grow by so much; more is a MemoryError (on Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return
    import resource  # Windows has none

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    soft = pages * resource.getpagesize() + n_bytes
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard)
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
