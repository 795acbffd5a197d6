"""The local engine: chunks to part files over worker processes.

Workers are spawned, never forked, and each has its own pipe, so the engine knows at
any time which chunk, and through a small shared clock which record, each one holds.
A worker that dies or overruns is replaced and its chunk done again; the record it
died on twice, or that overran, is rejected by name.
"""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path

from cloud_jax.preprocess.chunks import Chunk, write_part
from cloud_jax.preprocess.pipeline import Options, Reject, process, vocabulary_of

# The processes are many, so one BLAS and OpenMP thread each; and spglib's notes that it
# fell back on another of its algorithms would cut the progress bar to pieces.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "SPGLIB_WARNING": "OFF",
}
_STARTS = 3  # times a worker may die outside any record before the run stops


class EngineError(RuntimeError):
    """Workers cannot do their work; the message says what to look at."""


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


def run(
    chunks: Iterable[Chunk],
    *,
    directory: Path,
    source_names: Sequence[str],
    options: Options,
    workers: int,
    time_limit_s: float,
    progress: Callable[[int, bool], None],
) -> list[str]:
    """Process all chunks that have no part file yet.

    Args:
        chunks: in the order of the sources.
        directory: folder of the part files.
        source_names: of each source index its name.
        options: what decides the results.
        workers: number of processes.
        time_limit_s: longest time for one record.
        progress: called with a number of items, and whether they were done before.

    Returns:
        The names of all part files, in order.

    Raises:
        EngineError: workers die before they reach a record.
        OSError: a part file cannot be written, for instance on a full disk.
    """
    context = multiprocessing.get_context("spawn")
    parts: list[str] = []
    todo = _unfinished(chunks, directory, parts, progress)
    arguments = (directory, tuple(source_names), options)
    pool: list[_Worker] = []
    with _worker_environment():
        try:
            for job in todo:
                if not pool:  # all at once: they import while the first chunks are cut
                    pool += [_Worker(context, *arguments) for _ in range(workers)]
                idle = next((worker for worker in pool if not worker.job), None)
                if idle is None:
                    idle = _next_idle(pool, context, arguments, time_limit_s, progress)
                idle.give(job)
            while any(worker.job for worker in pool):
                _next_idle(pool, context, arguments, time_limit_s, progress)
        finally:
            for worker in pool:
                worker.end()
    return parts


def _unfinished(
    chunks: Iterable[Chunk],
    directory: Path,
    parts: list[str],
    progress: Callable[[int, bool], None],
) -> Iterator[_Job]:
    for chunk in chunks:
        parts.append(chunk.name)
        if (directory / chunk.name).exists():
            progress(chunk.n_items, True)
        else:
            yield _Job(chunk)


def _next_idle(
    pool: list[_Worker], context, arguments: tuple, time_limit_s: float, progress
) -> _Worker:
    """Wait until a worker has finished its chunk; replace those that die."""
    while True:
        for i, worker in enumerate(pool):
            late = worker.overrun(time_limit_s)
            if late is not None:
                why = f"took longer than {time_limit_s:g} s"
                worker.job.condemned[late] = ("timeout", why)
                pool[i] = _replace(worker, context, arguments)
        busy = {worker.pipe: i for i, worker in enumerate(pool) if worker.job}
        for pipe in wait(busy, timeout=min(1.0, time_limit_s / 4)):
            i = busy[pipe]
            worker = pool[i]
            try:
                answer = pipe.recv()
            except (EOFError, ConnectionResetError):
                _blame(worker)
                pool[i] = _replace(worker, context, arguments)
                continue
            if isinstance(answer, Exception):
                raise answer
            job, worker.job = worker.job, None
            progress(job.chunk.n_items, False)
            return worker


def _replace(worker: _Worker, context, arguments: tuple) -> _Worker:
    worker.end()
    successor = _Worker(context, *arguments)
    successor.give(worker.job)
    return successor


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
def _worker_environment() -> Iterator[None]:
    """What workers inherit while it lasts."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(
    pipe: Connection,
    clock,
    directory: Path,
    source_names: tuple[str, ...],
    options: Options,
) -> None:
    """Work until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    vocabulary_of(options.dialect)  # here, not within the first record's time limit
    while True:
        try:
            chunk, condemned = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        try:
            results = []
            name = source_names[chunk.source]
            for index, item in enumerate(chunk.items()):
                if index in condemned:
                    reject = Reject(f"{name}/{item.id}", "engine", *condemned[index])
                    results.append(reject)
                    continue
                clock[1] = time.monotonic()
                clock[0] = index
                results.append(process(item, name, options))
            clock[0] = -1.0
            write_part(directory / chunk.name, chunk.source, results)
            pipe.send(None)
        except OSError as error:
            problem = f"{directory / chunk.name}: {error.strerror or error}"
            pipe.send(OSError(error.errno or 0, problem))
