"""A time limit for the symmetry search of large cells.

spglib cannot be interrupted in its own process: cells of many atoms are searched in
another one. A small crystal needs a thousandth of a second, and no process.
"""

import os
import pickle
import subprocess
import sys

import numpy as np
from jaxtyping import Float, Int

from cloud_jax.scope.record import Sites
from cloud_jax.scope.search import Search, find_sites
from cloud_jax.structures.rejection import Rejection

GUARDED_FROM = 1000  # atoms; fewer take 8 s at most
SECONDS = 30.0  # below the limit of a record in the pool, which ends its own process


def find_guarded(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    search: Search,
) -> Sites:
    """Find the symmetry of a cell as `find_sites` does, of a large one elsewhere."""
    find = find_sites if len(kinds) < GUARDED_FROM else find_elsewhere
    return find(lattice, fractional, kinds, search)


def find_elsewhere(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    search: Search,
) -> Sites:
    """Find the symmetry of a cell as `find_sites` does, in a process with a time limit.

    Raises:
        Rejection: as `find_sites`; `timeout`; or `crashed`, the process ended early.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cloud_jax.scope.guard"],
            input=pickle.dumps((lattice, fractional, kinds, search)),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
    except subprocess.TimeoutExpired:
        raise Rejection(
            "timeout",
            f"the symmetry search of {len(kinds):,} atoms took longer than "
            f"{SECONDS:g} s; give a smaller cell of the crystal",
        ) from None
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").split("\n")
        said = next((line for line in reversed(lines) if line), "nothing")
        raise Rejection(
            "crashed",
            f"the symmetry search of {len(kinds):,} atoms ended with exit code "
            f"{error.returncode} and said: {said}",
        ) from None
    result = pickle.loads(done.stdout)
    if isinstance(result, Rejection):
        raise result
    return result


def _serve() -> None:
    """Answer the request on the standard input on the standard output."""
    request = pickle.load(sys.stdin.buffer)
    try:
        answer = find_sites(*request)
    except Rejection as rejection:
        answer = rejection
    sys.stdout.buffer.write(pickle.dumps(answer))


if __name__ == "__main__":
    _serve()
