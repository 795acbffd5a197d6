"""Devices of a CPU: one per core, or as many as divide a batch."""

import os

import pytest

from cloud_jax.training import backend
from cloud_jax.training.backend import DEVICE_WAIT_S, ROW_SHARES, use_all_cores


@pytest.mark.parametrize(
    ("cores", "numbers", "devices"),
    [
        (1, (), None),
        (1, ROW_SHARES, None),
        (2, ROW_SHARES, 2),
        (6, (), 6),
        (6, ROW_SHARES, 4),
        (64, ROW_SHARES, 8),
    ],
)
def test_cores_are_devices(monkeypatch, cores, numbers, devices):
    monkeypatch.setattr(backend, "usable_cores", lambda: cores)
    monkeypatch.setenv("XLA_FLAGS", "")  # restored afterwards
    monkeypatch.delenv("XLA_FLAGS")
    use_all_cores(numbers)
    expected = devices and (
        f"--xla_force_host_platform_device_count={devices} "
        f"--xla_cpu_collective_call_terminate_timeout_seconds={DEVICE_WAIT_S}"
    )
    assert os.environ.get("XLA_FLAGS") == expected


def test_flags_of_the_user_stay(monkeypatch):
    monkeypatch.setattr(backend, "usable_cores", lambda: 2)
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=here")
    use_all_cores()
    assert os.environ["XLA_FLAGS"] == "--xla_dump_to=here"
