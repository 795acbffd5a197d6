"""Kill preprocessing again and again; resumed, its dataset must equal the whole one.

    python -m scripts.check_preprocess_resume table:wbm.npz --kills 5 --worker-kills 5

Runs the command once undisturbed, then once with `kill -9` of the command and all its
processes at random moments, the last while the chunks are put together; before that
one, single workers are killed too. Compares every file of the two datasets byte for
byte. Exit code 0 if all are equal.
"""

import argparse
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from cloud_jax.files import file_sha256


def start(sources: list[str], output: Path, options: list[str]) -> subprocess.Popen:
    """Start, or resume, a run in a process group of its own.

    It gives way to this process, which must be awake when the moment to kill comes.
    """
    command = ["nice", sys.executable, "-m", "cloud_jax.preprocess", *sources]
    command += ["--output", str(output), *options]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)


def n_parts(output: Path) -> int:
    """Chunks that are done."""
    return len(list((output / ".work" / "parts").glob("*.arrow")))


def wait_for(run: subprocess.Popen, output: Path, parts: float) -> bool:
    """Wait until so many chunks are done; False if the run ended before.

    More chunks than there are: until the shuffles that come after them have begun.
    """
    while run.poll() is None:
        if n_parts(output) >= parts or (output / ".work" / "shuffle").exists():
            return True
        time.sleep(0.02)
    return False


def kill_worker(run: subprocess.Popen, chance: random.Random) -> bool:
    """Kill one process that works on chunks."""
    workers = [
        child
        for child in psutil.Process(run.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]
    if workers:
        chance.choice(workers).kill()
    return bool(workers)


def hashes(output: Path) -> dict[str, str]:
    """Every file of a dataset and its SHA-256."""
    files = (path for path in sorted(output.rglob("*")) if path.is_file())
    return {str(path.relative_to(output)): file_sha256(path) for path in files}


def disturb(
    arguments: argparse.Namespace, output: Path, parts: int, options: list[str]
) -> int:
    """Run with all kills; return the exit code of the last round."""
    chance = random.Random(arguments.seed)
    n = arguments.kills - 1 + arguments.worker_kills
    moments = [parts * (i + chance.random()) / (n + 1) for i in range(n)]
    for number in range(arguments.kills):
        run = start(arguments.sources, output, options)
        moment = moments[number] if number < arguments.kills - 1 else math.inf
        if moment == math.inf:
            for earlier in moments[number:]:
                if wait_for(run, output, earlier) and kill_worker(run, chance):
                    print(f"killed a worker with {n_parts(output)} chunks done")
        if not wait_for(run, output, moment):
            raise SystemExit(f"the run ended by itself with code {run.returncode}")
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        print(f"killed with {n_parts(output)} of {parts} chunks done", flush=True)
    return start(arguments.sources, output, options).wait()


def main() -> int:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="*", default=["embedded"])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--worker-kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        run = start(arguments.sources, whole, options)
        parts = 0
        while run.poll() is None:
            parts = max(parts, n_parts(whole))
            time.sleep(0.05)
        if run.returncode not in (0, 3):
            print(f"the undisturbed run ended with {run.returncode}", file=sys.stderr)
            return 1
        code = disturb(arguments, broken, parts, options)
        one, two = hashes(whole), hashes(broken)
    differing = sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k))
    print(f"last round: exit code {code}; undisturbed: {run.returncode}")
    print(f"{len(one)} and {len(two)} files, differing: {differing or 'none'}")
    return 0 if not differing and code == run.returncode else 1


if __name__ == "__main__":
    sys.exit(main())
