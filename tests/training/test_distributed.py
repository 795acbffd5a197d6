import jax
import pytest

from cloud_jax.training import distributed

MANUAL = {"coordinator": "127.0.0.1:1234", "num_processes": 2, "process_id": 0}


@pytest.fixture
def calls(monkeypatch):
    """Arguments of `jax.distributed.initialize`, which is not run."""
    found = []
    monkeypatch.setattr(
        jax.distributed, "initialize", lambda *a, **k: found.append((a, k))
    )
    for name in ("SLURM_NNODES", "SLURM_STEP_NUM_NODES", "SLURM_PROCID",
                 "SLURM_NTASKS", "TPU_WORKER_HOSTNAMES"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    return found


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


def test_manual_passes_its_three_values(calls):
    distributed.initialize("manual", timeout_s=5, **MANUAL)
    assert calls[0][0] == ("127.0.0.1:1234", 2, 0)


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
        ("auto", MANUAL, "go with --distributed=manual"),
    ],
)
def test_contradictions_are_refused(calls, mode, values, message):
    with pytest.raises(ValueError, match=message):
        distributed.initialize(mode, timeout_s=5, **values)


def test_a_missed_meeting_names_the_address_and_the_time(calls, monkeypatch):
    def late(*_, **__):
        raise RuntimeError("DEADLINE_EXCEEDED")

    monkeypatch.setattr(jax.distributed, "initialize", late)
    with pytest.raises(TimeoutError, match=r"127\.0\.0\.1:1234 within 5 s"):
        distributed.initialize("manual", timeout_s=5, **MANUAL)
