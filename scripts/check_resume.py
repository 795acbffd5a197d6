"""Kill a pretraining run again and again; resumed, it must equal the whole run.

    python -m scripts.check_resume --config configs/quickstart.py --kills 5

Runs the config once undisturbed and once with `kill -9` at random moments, every second
one while a checkpoint is being written. Then compares metrics.jsonl (without the keys a
clock writes) and the bits of the final train state. Exit code 0 if both are equal.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

from cloud_jax.training.metrics_log import TIMING_KEYS


def start(config: str, workdir: Path, overrides: list[str]) -> subprocess.Popen:
    """Start, or resume, a run."""
    command = [sys.executable, "-m", "cloud_jax.pretrain", "--config", config]
    command += ["--workdir", str(workdir), *overrides]
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def kill(run: subprocess.Popen, workdir: Path, *, delay_s: float, writing: bool) -> str:
    """Kill a run some time after it gets further; say where it stood."""
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
    run.send_signal(signal.SIGKILL)
    run.wait()
    half = len(list((workdir / "checkpoints").glob(partial)))
    return f"after step {last_step(workdir)}, {half} checkpoint(s) half-written"


def last_step(workdir: Path) -> int:
    """Step of the last whole line of metrics.jsonl, 0 if there is none."""
    log = workdir / "metrics.jsonl"
    text = log.read_text() if log.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return json.loads(lines[-1])["step"] if lines else 0


def events(workdir: Path) -> list[dict]:
    """Logged events without what a clock wrote."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [
        {
            key: value
            for key, value in json.loads(line).items()
            if key not in TIMING_KEYS
        }
        for line in lines
    ]


def final_state(workdir: Path) -> list[bytes]:
    """The bits of the last checkpoint."""
    path = json.loads((workdir / "results.json").read_text())["checkpoint"]
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(Path(path).absolute() / "state")
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


def main() -> int:
    """Run both and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/quickstart.py")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=None, help="of the moments")
    arguments, overrides = parser.parse_known_args()
    chance = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        if code := start(arguments.config, whole, overrides).wait():
            print(f"the undisturbed run ended with code {code}", file=sys.stderr)
            return 1
        seconds = json.loads((whole / "results.json").read_text())["wall_seconds"]
        for number in range(arguments.kills):
            run = start(arguments.config, broken, overrides)
            delay_s = chance.uniform(0, seconds / arguments.kills / 2)
            found = kill(run, broken, delay_s=delay_s, writing=number % 2 == 1)
            print(f"kill {number + 1}: {found}", flush=True)
        code = start(arguments.config, broken, overrides).wait()
        one, two = events(whole), events(broken)
        same = one == two, final_state(whole) == final_state(broken)
    print(f"last run: exit code {code}")
    print(f"metrics.jsonl: {len(one)} and {len(two)} events, equal: {same[0]}")
    print(f"final train state, to the bit: {same[1]}")
    return 0 if all(same) and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
