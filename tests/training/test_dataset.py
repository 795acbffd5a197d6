"""A missing data set is built by another process; a stop there keeps its work."""

import subprocess
from types import SimpleNamespace

import pytest

from cloud_jax.cli import Exit, ResumableStop, run_command
from cloud_jax.training.dataset import DatasetError, ensure


def build(tmp_path):
    ensure(
        tmp_path / "data",
        build=("embedded", "--output={path}"),
        dialect="canonical",
        active=True,
    )


@pytest.mark.parametrize("by_code", [True, False])
def test_a_stop_while_it_is_built_can_be_resumed(
    tmp_path, monkeypatch, by_code, capsys
):
    def stopped(command):
        if by_code:
            return SimpleNamespace(returncode=Exit.RESUMABLE)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", stopped)
    with pytest.raises(ResumableStop):
        build(tmp_path)
    code = run_command("pretrain", lambda _: None, lambda _: build(tmp_path), [])
    assert code == Exit.RESUMABLE
    assert "nothing was kept" not in capsys.readouterr().err


def test_a_build_that_fails_is_an_error(tmp_path, monkeypatch):
    failed = SimpleNamespace(returncode=1)
    monkeypatch.setattr(subprocess, "run", lambda command: failed)
    with pytest.raises(DatasetError, match="failed, see above"):
        build(tmp_path)
