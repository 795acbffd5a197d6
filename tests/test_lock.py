import errno
import fcntl
import subprocess
import sys

import pytest

from cloud_jax.files import LockedError, lock


def test_a_folder_has_one_writer_and_a_dead_one_does_not_count(tmp_path):
    code = "import sys, pathlib; from cloud_jax.files import lock\n"
    code += "lock(pathlib.Path(sys.argv[1])); print('ok')"

    def other() -> subprocess.CompletedProcess:
        command = [sys.executable, "-W", "ignore", "-c", code, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True)

    with lock(tmp_path):
        assert "another run is writing it" in other().stderr
        with pytest.raises(LockedError):
            lock(tmp_path)
    assert other().stdout == "ok\n"
    lock(tmp_path).close()


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_stops_nobody(tmp_path, monkeypatch, number):
    def refuse(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock(tmp_path).close()


def test_other_failures_of_a_lock_are_told(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="broken disk"):
        lock(tmp_path)
