"""The real command in a temporary directory, on a tiny data set."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from synthetic_dataset import CONFIG, write_dataset

from cloud_jax.cli import Exit
from cloud_jax.training.metrics_log import TIMING_KEYS

ROOT = Path(__file__).resolve().parents[1]

# Runs the command as a process would, then looks at what that imported.
LEAN = """
import sys
from cloud_jax.pretrain import main
code = main(sys.argv[1:])
heavy = {"tensorflow", "pymatgen", "spglib"} & set(sys.modules)
assert not heavy, heavy
sys.exit(code)
"""
TIMEOUT_S = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a data set and a configuration of 24 steps."""
    folder = tmp_path_factory.mktemp("pretrain")
    write_dataset(folder / "dataset")
    (folder / "tiny.py").write_text(CONFIG)
    return folder


def start(place, *arguments, devices=1, program=("-m", "cloud_jax.pretrain")):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        # The runs of one mesh compile the same programs: once is enough.
        "JAX_COMPILATION_CACHE_DIR": str(place / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",  # its notes on those would fill the pipe
    }
    return subprocess.Popen(
        [sys.executable, *program, "--config", "tiny.py", *arguments],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    return process.returncode, out, err


def metrics(place, workdir):
    lines = (place / workdir / "metrics.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    return [{k: v for k, v in e.items() if k not in TIMING_KEYS} for e in events]


def final_parameters(place, workdir, step):
    import jax
    import numpy as np
    import orbax.checkpoint as ocp

    path = place / workdir / "checkpoints" / str(step) / "state"
    with ocp.StandardCheckpointer() as checkpointer:
        state = checkpointer.restore(path.absolute())
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state)]


@pytest.fixture(scope="module")
def reference(place):
    """Return the output of the uninterrupted run, by the real command."""
    code, out, err = finish(start(place, "--workdir=whole", program=("-c", LEAN)))
    assert code == 0, err
    return out


def test_command_trains_reports_and_imports_nothing_heavy(place, reference):
    results = json.loads((place / "whole" / "results.json").read_text())
    assert 0 < results["validation_loss"] < 5
    assert results["unigram_loss"] > 0
    assert results["crystals_per_second"] > 0
    assert results["steps"] == 24
    assert 0 <= results["waiting_seconds"] < results["wall_seconds"]
    assert 0 < results["compile_seconds"] < results["startup_seconds"]
    assert Path(results["checkpoint"]).is_dir()
    for word in ("CLOUD", "unigram", "crystals/s", "checkpoint", "Next"):
        assert word in reference
    events = metrics(place, "whole")
    assert [e["step"] for e in events if e["split"] == "train"] == list(range(2, 25, 2))
    assert [e["step"] for e in events if e["split"] == "validation"] == [12, 24]
    assert {"loss_symmetry", "loss_wyckoff", "loss_composition"} <= events[0].keys()
    for name in ("config.json", "environment.json", "vocabulary.json", "tensorboard"):
        assert (place / "whole" / name).exists()


def test_killed_and_terminated_run_equals_the_whole_one_to_the_bit(place, reference):
    arguments = ("--workdir=broken", "--config.checkpoint.every_steps=2")
    process = start(place, *arguments)
    n_lines = random.randint(1, 8)
    print(f"to repeat: kill after {n_lines} lines")  # pytest shows it on a failure
    n_lines = kill_when(process, place, None, n_lines=n_lines)
    process = start(place, *arguments)
    print(f"to repeat: terminate after {n_lines + 1} lines")
    kill_when(process, place, signal.SIGTERM, n_lines=n_lines + 1)
    code, out, err = finish(process)
    assert code in (0, Exit.RESUMABLE), err
    if code:  # otherwise the signal came after the last step
        assert "run it again to resume" in out
        code, _, err = finish(start(place, *arguments))
        assert code == 0, err
    assert metrics(place, "broken") == metrics(place, "whole")
    assert final_parameters(place, "broken", 24) == final_parameters(place, "whole", 24)


def kill_when(process, place, number, *, n_lines):
    """Stop a run once its log has `n_lines` lines; return their number.

    Args:
        process: the run.
        place: its current directory.
        number: of the signal; None kills.
        n_lines: of metrics.jsonl.
    """
    path = place / "broken" / "metrics.jsonl"
    deadline = time.monotonic() + TIMEOUT_S
    found = 0
    while process.poll() is None and time.monotonic() < deadline and found < n_lines:
        time.sleep(0.002)
        found = len(path.read_text().splitlines()) if path.exists() else 0
    assert time.monotonic() < deadline, f"{found} of {n_lines} lines came"
    if process.poll() is None:
        process.send_signal(number) if number else process.kill()
    if number is None:
        process.communicate(timeout=TIMEOUT_S)
    return found


def test_two_processes_of_four_devices_give_the_same_curve(place, reference):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [
        start(
            place,
            "--workdir=two",
            "--distributed=manual",
            f"--coordinator=127.0.0.1:{port}",
            "--num-processes=2",
            f"--process-id={i}",
            "--config.mesh.fsdp=4",
            "--config.checkpoint.every_steps=24",
            "--config.distributed.timeout_s=60",
            devices=4,
        )
        for i in range(2)
    ]
    try:
        for code, _, err in map(finish, processes):
            assert code == 0, err
    finally:
        for process in processes:
            process.kill()
    for one, two in zip(metrics(place, "whole"), metrics(place, "two"), strict=True):
        assert one.keys() == two.keys()
        assert two["step"] == one["step"]
        for key in ("loss", "loss_symmetry", "accuracy"):
            assert two[key] == pytest.approx(one[key], abs=1e-5)


def test_help_is_quick_and_useful():
    begun = time.monotonic()
    command = [sys.executable, "-m", "cloud_jax.pretrain", "--help"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 0
    assert time.monotonic() - begun < 3
    for word in ("configs/quickstart.py", "--config.optimizer.learning_rate=", "75"):
        assert word in found.stdout
