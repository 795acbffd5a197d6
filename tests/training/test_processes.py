"""Real processes on this machine that are to run together, and what must end them.

Each test starts two of them. They do only what the test needs, so that they end soon.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from synthetic_dataset import CONFIG, write_dataset

from cloud_jax.training import processes

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60

# What a process does before its part: join the other one.
JOIN = """
import sys, time
from pathlib import Path
import numpy as np
from cloud_jax.cli import run_command
from cloud_jax.training import distributed, processes
port, process = sys.argv[1], int(sys.argv[2])
distributed.HEARTBEAT_S = 5
distributed.initialize(
    "manual", timeout_s=30, coordinator=f"127.0.0.1:{port}", num_processes=2,
    process_id=process,
)

def execute(_):
    with processes.ending_together():
        part()
    return 0

def part():
    from jax.experimental.multihost_utils import process_allgather
{part}

try:
    code = run_command("pretrain", lambda _: None, execute, [])
finally:
    processes.leave(1)
sys.exit(code)
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def start_two(commands, folder=ROOT):
    """Start a process per command; `PORT` in a command is the one where they meet."""
    port = str(free_port())
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }
    return [
        subprocess.Popen(
            [sys.executable, *(word.replace("PORT", port) for word in command)],
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for command in commands
    ]


def start_parts(part):
    indented = "".join(f"    {line}\n" for line in part.strip().splitlines())
    script = JOIN.replace("{part}", indented)
    return start_two([["-c", script, "PORT", str(i)] for i in range(2)])


def ends(started):
    """Return exit code and messages of each process."""
    try:
        errors = [process.communicate(timeout=TIMEOUT_S)[1] for process in started]
    finally:
        for process in started:
            process.kill()
    return [(p.returncode, error) for p, error in zip(started, errors, strict=True)]


def test_one_process_alone_is_never_refused(tmp_path):
    processes.refuse_differences("settings", {"seed": 1})
    processes.refuse_private(tmp_path)
    processes.tell("data set", "complete")
    assert processes.is_first()
    with pytest.raises(KeyError), processes.ending_together():
        raise KeyError
    processes.leave(3)  # which does nothing


def test_two_that_agree_run_to_the_end(tmp_path):
    part = f"""
processes.refuse_differences("settings", {{"seed": 1, "workdir": str(process)}})
Path({str(tmp_path)!r}).mkdir(exist_ok=True)
processes.refuse_private(Path({str(tmp_path)!r}))
assert process_allgather(np.array(process)).tolist() == [0, 1]
"""
    for code, error in ends(start_parts(part)):
        assert code == 0, error
    assert list(tmp_path.iterdir()) == []


def test_other_settings_of_one_end_both_with_the_difference(tmp_path):
    part = """
mine = {"optimizer": {"learning_rate": 0.1 + process}, "log": {"every_steps": process}}
processes.refuse_differences("settings", mine)
process_allgather(np.array(0))
"""
    for code, error in ends(start_parts(part)):
        assert code == 1
        assert "process 1 does not run what process 0 does (0 -> 1)" in error
        assert "optimizer.learning_rate: 0.1 -> 1.1\n" in error
        assert "log.every_steps: 0 -> 1\n" in error
        assert "Traceback" not in error


def test_a_failure_of_one_ends_the_other_while_it_waits():
    for failing in range(2):
        part = f"""
process_allgather(np.array(0))
if process == {failing}:
    raise ValueError("the disk is full")
process_allgather(np.array(0))
"""
        begun = time.monotonic()
        found = ends(start_parts(part))
        assert time.monotonic() - begun < TIMEOUT_S
        assert [code for code, _ in found] == [1, 1]
        assert "error: the disk is full" in found[failing][1]
        other = found[1 - failing][1]
        assert f"error: process {failing} ended this run: the disk is full" in other


def test_a_checkpoint_that_cannot_be_written_ends_both(tmp_path):
    folder = tmp_path / "checkpoints"
    part = f"""
from contextlib import closing
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.state import TrainState
everywhere = NamedSharding(jax.make_mesh((2,), "x"), PartitionSpec())
array = jax.jit(lambda: jnp.zeros(4), out_shardings=everywhere)()
folder = Path({str(folder)!r})
with closing(Checkpoints(folder, keep=2)) as saved, processes.announcing():
    saved.save(TrainState(array, array, array), {{}}, step=1)
    saved.wait()
    process_allgather(np.array(0))
    if process == 0:
        folder.rename(folder.with_name("gone"))
        folder.touch()
    process_allgather(np.array(0))
    saved.save(TrainState(array, array, array), {{}}, step=2)
    saved.wait()
"""
    for code, error in ends(start_parts(part)):
        assert code == 1
        assert f"{folder}: writing a checkpoint failed" in error.splitlines()[-1]
    assert sorted(path.name for path in (tmp_path / "gone").iterdir()) == ["1"]


def test_an_error_that_nobody_expects_shows_where_it_arose():
    part = """
if process == 1:
    raise KeyError("odd")
process_allgather(np.array(0))
"""
    first, second = ends(start_parts(part))
    assert (first[0], second[0]) == (1, 1)
    assert "process 1 ended this run: 'odd'" in first[1]
    assert "Traceback" in second[1]


@pytest.mark.parametrize(
    ("killed", "number"),
    [(0, signal.SIGKILL), (1, signal.SIGKILL), (1, signal.SIGSTOP)],
    ids=["first_killed", "second_killed", "second_frozen"],
)
def test_a_process_that_is_gone_without_a_word_ends_the_other(tmp_path, killed, number):
    ready = tmp_path / "ready"
    part = f"""
process_allgather(np.array(0))
Path({str(ready)!r}).touch()
if process == {killed}:
    time.sleep(100)
process_allgather(np.array(0))
"""
    started = start_parts(part)
    while not ready.exists() and all(p.poll() is None for p in started):
        time.sleep(0.05)
    started[killed].send_signal(number)
    try:
        started[1 - killed].communicate(timeout=TIMEOUT_S)
    finally:
        for process in started:
            process.kill()
            process.communicate()
    assert started[1 - killed].returncode not in (0, None)


# ---- the command ----


@pytest.fixture
def place(tmp_path):
    write_dataset(tmp_path / "dataset", n_train=80, n_validation=10)
    (tmp_path / "tiny.py").write_text(CONFIG)
    return tmp_path


def pretrain_two(place, *arguments):
    """Run the command in two processes, each with arguments of its own."""
    join = ["-m", "cloud_jax.pretrain", "--config=tiny.py", "--distributed=manual",
            "--coordinator=127.0.0.1:PORT", "--num-processes=2"]  # fmt: skip
    commands = [
        [*join, f"--process-id={i}", *words] for i, words in enumerate(arguments)
    ]
    return ends(start_two(commands, place))


@pytest.mark.parametrize(
    ("argument", "difference"),
    [
        ("--config.optimizer.learning_rate=0.03", "learning_rate: 0.003 -> 0.03"),
        ("--config.checkpoint.every_steps=5", "checkpoint.every_steps: 4 -> 5"),
        ("--config.data.path=larger", "data.dataset: "),
    ],
)
def test_the_command_refuses_processes_that_differ(place, argument, difference):
    write_dataset(place / "larger", n_train=90)
    for code, error in pretrain_two(
        place, ["--workdir=run"], ["--workdir=run", argument]
    ):
        assert code == 1
        assert difference in error
        assert "Traceback" not in error
    assert not (place / "run").exists()


def test_the_command_refuses_a_workdir_that_is_not_shared(place):
    (place / "two" / "checkpoints").mkdir(parents=True)
    for code, error in pretrain_two(place, ["--workdir=one"], ["--workdir=two"]):
        assert code == 1
        assert "the workdir is not shared. process 1: " in error
        assert f"{place}/two" in error
    assert not list((place / "one" / "checkpoints").glob("*"))
    assert not list((place / "one").glob(".shared-*"))


def test_what_the_first_process_is_refused_ends_the_others(place):
    (place / "run" / "checkpoints" / "4").mkdir(parents=True)
    (place / "run" / "config.json").write_text('{"seed": 5}')
    first, second = pretrain_two(place, ["--workdir=run"], ["--workdir=run"])
    assert (first[0], second[0]) == (1, 1)
    assert "error: run holds a run with other settings" in first[1]
    assert "error: process 0 ended this run: run holds a run with other" in second[1]


def test_a_data_set_that_one_process_does_not_see_is_named(place):
    first, second = pretrain_two(
        place, ["--workdir=run"], ["--workdir=run", "--config.data.path=elsewhere"]
    )
    assert (first[0], second[0]) == (1, 1)
    assert "there is no elsewhere/manifest.json here" in second[1]
    assert "process 1 ended this run: there is no elsewhere" in first[1]
