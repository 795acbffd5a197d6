"""Kill a command again and again; resumed, its output must equal the undisturbed one.

    python -m scripts.check_resume preprocess table:wbm.npz --kills 5 --worker-kills 5
    python -m scripts.check_resume pretrain --config=configs/quickstart.py --kills 5

`preprocess` is killed with all its processes (`kill -9`) at random moments, the last
while the shards are put together; before that, single workers are killed too. Every
file is compared byte for byte. `pretrain` is killed at random moments, every second one
while a checkpoint is being written; compared are metrics.jsonl without its times and
the bits of the final train state. Other options go to the command. Exit code 0 if all
is equal.
"""

import argparse
import json
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


def start(command: str, *words: str | Path) -> subprocess.Popen:
    """Start, or resume, a run in a process group of its own.

    The run yields to this process, which must be awake when the moment to kill comes.
    """
    argv = ["nice", sys.executable, "-m", f"cloud_jax.{command}", *map(str, words)]
    return subprocess.Popen(
        argv,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill(run: subprocess.Popen) -> None:
    """Kill a run with all its processes."""
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()


# Preprocessing


def n_parts(output: Path) -> int:
    """Return the number of finished chunks."""
    return len(list((output / ".work" / "parts").glob("*.part")))


def wait_for(run: subprocess.Popen, output: Path, parts: float) -> bool:
    """Wait until some chunks are finished; return False if the run ended before.

    With more chunks than there are: until the shuffles after them have begun.
    """
    while run.poll() is None:
        if n_parts(output) >= parts or (output / ".work" / "shuffle").exists():
            return True
        time.sleep(0.02)
    return False


def kill_worker(run: subprocess.Popen, chance: random.Random) -> bool:
    """Kill one process that works on chunks; return whether there was one."""
    workers = [
        child
        for child in psutil.Process(run.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]
    if workers:
        chance.choice(workers).kill()
    return bool(workers)


def hashes(output: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a data set."""
    files = (path for path in sorted(output.rglob("*")) if path.is_file())
    return {str(path.relative_to(output)): file_sha256(path) for path in files}


def disturb(
    arguments: argparse.Namespace, words: list[str | Path], output: Path, parts: int
) -> int:
    """Preprocess with all kills; return the exit code of the last run."""
    chance = random.Random(arguments.seed)
    n = arguments.kills - 1 + arguments.worker_kills
    moments = [parts * (i + chance.random()) / (n + 1) for i in range(n)]
    for number in range(arguments.kills):
        run = start("preprocess", *words)
        moment = moments[number] if number < arguments.kills - 1 else math.inf
        if moment == math.inf:
            for earlier in moments[number:]:
                if wait_for(run, output, earlier) and kill_worker(run, chance):
                    print(f"killed a worker with {n_parts(output)} chunks done")
        if not wait_for(run, output, moment):
            raise SystemExit(f"the run ended by itself with code {run.returncode}")
        kill(run)
        print(f"killed with {n_parts(output)} of {parts} chunks done", flush=True)
    return start("preprocess", *words).wait()


def check_preprocess(
    arguments: argparse.Namespace, options: list[str], scratch: Path
) -> bool:
    """Preprocess twice; return whether every file is equal."""
    whole, broken = scratch / "whole", scratch / "broken"
    words = [*arguments.sources, *options, "--output"]
    run, parts = start("preprocess", *words, whole), 0
    while run.poll() is None:
        parts = max(parts, n_parts(whole))
        time.sleep(0.05)
    if run.returncode not in (0, 3):
        raise SystemExit(f"the undisturbed run ended with code {run.returncode}")
    code = disturb(arguments, [*words, broken], broken, parts)
    one, two = hashes(whole), hashes(broken)
    differing = sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k))
    print(f"last run: exit code {code}; undisturbed: {run.returncode}")
    print(f"{len(one)} and {len(two)} files, differing: {differing or 'none'}")
    return not differing and code == run.returncode


# Pretraining


def kill_training(
    run: subprocess.Popen, workdir: Path, *, delay_s: float, writing: bool
) -> str:
    """Kill a run some time after its next event; return where it stood."""
    seen = last_step(workdir)
    while run.poll() is None and last_step(workdir) <= seen:
        time.sleep(0.005)
    time.sleep(delay_s)
    partial = "*.orbax-checkpoint-tmp*"
    while writing and run.poll() is None:
        if any((workdir / "checkpoints").glob(partial)):
            break
    if run.poll() is not None:
        return f"ended by itself with code {run.returncode}"
    kill(run)
    half = len(list((workdir / "checkpoints").glob(partial)))
    return f"after step {last_step(workdir)}, {half} checkpoint(s) half-written"


def last_step(workdir: Path) -> int:
    """Return the step of the last whole line of metrics.jsonl, 0 without one."""
    log = workdir / "metrics.jsonl"
    text = log.read_text() if log.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return json.loads(lines[-1])["step"] if lines else 0


def events(workdir: Path) -> list[dict]:
    """Return the logged events without their times."""
    from cloud_jax.training.metrics_log import TIMING_KEYS

    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {key: x for key, x in json.loads(line).items() if key not in TIMING_KEYS}
        for line in lines
    ]


def final_state(workdir: Path) -> list[bytes]:
    """Return the bits of the last checkpoint."""
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    path = json.loads((workdir / "results.json").read_text())["checkpoint"]
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(Path(path).absolute() / "state")
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


def check_pretrain(
    arguments: argparse.Namespace, options: list[str], scratch: Path
) -> bool:
    """Pretrain twice; return whether events and final state are equal."""
    chance = random.Random(arguments.seed)
    whole, broken = scratch / "whole", scratch / "broken"
    words = ["--config", arguments.config, *options, "--workdir"]
    if code := start("pretrain", *words, whole).wait():
        raise SystemExit(f"the undisturbed run ended with code {code}")
    seconds = json.loads((whole / "results.json").read_text())["wall_seconds"]
    for number in range(arguments.kills):
        run = start("pretrain", *words, broken)
        delay_s = chance.uniform(0, seconds / arguments.kills / 2)
        found = kill_training(run, broken, delay_s=delay_s, writing=number % 2 == 1)
        print(f"kill {number + 1}: {found}", flush=True)
    code = start("pretrain", *words, broken).wait()
    one, two = events(whole), events(broken)
    same = one == two, final_state(whole) == final_state(broken)
    print(f"last run: exit code {code}")
    print(f"metrics.jsonl: {len(one)} and {len(two)} events, equal: {same[0]}")
    print(f"final train state, to the bit: {same[1]}")
    return all(same) and code == 0


def main() -> int:
    """Run the command twice and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    preprocess = commands.add_parser("preprocess")
    preprocess.add_argument("sources", nargs="*", default=["embedded"])
    preprocess.add_argument("--worker-kills", type=int, default=5)
    preprocess.set_defaults(check=check_preprocess)
    pretrain = commands.add_parser("pretrain")
    pretrain.add_argument("--config", default="configs/quickstart.py")
    pretrain.set_defaults(check=check_pretrain)
    for command in (preprocess, pretrain):
        command.add_argument("--kills", type=int, default=5)
        command.add_argument("--seed", type=int, help="of the moments")
    arguments, options = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as scratch:
        return int(not arguments.check(arguments, options, Path(scratch)))


if __name__ == "__main__":
    sys.exit(main())
