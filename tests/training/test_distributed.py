import socket
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from cloud_jax.training import distributed

ROOT = Path(__file__).resolve().parents[2]
MANUAL = {"coordinator": "127.0.0.1:1234", "num_processes": 2, "process_id": 0}


@pytest.fixture
def calls(monkeypatch):
    """Collect the arguments of `jax.distributed.initialize`, which does not run."""
    found = []
    monkeypatch.setattr(
        jax.distributed, "initialize", lambda *a, **k: found.append((a, k))
    )
    for name in ("SLURM_NNODES", "SLURM_STEP_NUM_NODES", "SLURM_PROCID",
                 "SLURM_NTASKS", "TPU_WORKER_HOSTNAMES"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    return found


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_auto_on_one_machine_and_off_join_nothing(calls):
    distributed.initialize("auto", timeout_s=5)
    distributed.initialize("off", timeout_s=5)
    assert calls == []


def test_slurm_is_found(calls, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    distributed.initialize("auto", timeout_s=5)
    (arguments, options) = calls[0]
    assert arguments == (None, None, None)
    assert options["initialization_timeout"] == 5


def test_a_tpu_is_found(calls, monkeypatch):
    monkeypatch.setattr(distributed, "on_tpu", lambda: True)
    distributed.initialize("auto", timeout_s=5)
    assert len(calls) == 1


def test_manual_passes_its_three_values_and_says_what_it_waits_for(calls, capsys):
    address = f"127.0.0.1:{free_port()}"
    distributed.initialize("manual", timeout_s=5, **MANUAL | {"coordinator": address})
    assert calls[0][0] == (address, 2, 0)
    message = capsys.readouterr().err
    assert "waiting up to 5 s (config.distributed.timeout_s)" in message
    assert f"{address}; DEADLINE_EXCEEDED below would mean" in message


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "[::1]"])
@pytest.mark.parametrize(
    "hosts", [{"SLURM_NNODES": "2"}, {"TPU_WORKER_HOSTNAMES": "a,b"}], ids=str
)
def test_loopback_is_refused_when_there_are_several_hosts(
    calls, monkeypatch, host, hosts
):
    for name, value in hosts.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="loopback address, but this job has 2 hosts"):
        distributed.initialize(
            "manual", timeout_s=5, **(MANUAL | {"coordinator": f"{host}:1"})
        )
    assert calls == []


@pytest.mark.parametrize(
    ("mode", "values", "message"),
    [
        ("perhaps", {}, "choose one of auto, manual, off"),
        ("manual", {"coordinator": "10.0.0.1:1"}, "needs --coordinator"),
        ("manual", MANUAL | {"coordinator": "host"}, "must be HOST:PORT"),
        ("manual", MANUAL | {"process_id": 2}, "below --num-processes=2"),
        ("auto", MANUAL, "go with --distributed=manual"),
    ],
)
def test_contradictions_are_refused(calls, mode, values, message):
    with pytest.raises(ValueError, match=message):
        distributed.initialize(mode, timeout_s=5, **values)


def test_a_missing_process_0_is_named_with_the_timeout(tmp_path):
    """Runs the real command: jax would end the process where Python cannot catch it."""
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "cloud_jax.pretrain", "--config=configs/bert.py:1"]
    command += [f"--workdir={tmp_path}/run", "--config.distributed.timeout_s=1"]
    command += ["--distributed=manual", f"--coordinator={address}"]
    command += ["--num-processes=2", "--process-id=1"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 1
    (message,) = found.stderr.splitlines()
    assert f"no process 0 at {address} within 1 s" in message
    assert "config.distributed.timeout_s" in message
    assert not (tmp_path / "run").exists()


def test_a_port_in_use_is_named(calls):
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on port {port} \(Address"):
            distributed.initialize(
                "manual", timeout_s=5, **(MANUAL | {"coordinator": f"127.0.0.1:{port}"})
            )
    assert calls == []
