"""Files that are whole or not there, and folders with one writer."""

import errno
import os
import signal
import subprocess
import sys

import filelock
import pytest

from cloud_jax.files import LockedError, atomic_open, atomic_write, lock


def test_text_and_bytes_arrive_and_nothing_else_stays(tmp_path):
    atomic_write(tmp_path / "a.txt", "thetä\n")
    atomic_write(tmp_path / "a.txt", b"1\r\n")
    with atomic_open(tmp_path / "b.csv", "w", newline="", encoding="utf-8") as file:
        file.write("ä\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"1\r\n"
    assert (tmp_path / "b.csv").read_bytes() == "ä\r\n".encode()
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.csv"]


def test_the_old_file_outlives_a_failure(tmp_path):
    atomic_write(tmp_path / "a.txt", "old")
    with (
        pytest.raises(TypeError),
        atomic_open(tmp_path / "a.txt") as file,
    ):
        file.writelines([b"new", None])
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_told_with_the_name(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.txt'$"):
        atomic_write(tmp_path / "a.txt", "new")
    assert not os.listdir(tmp_path)


def test_a_missing_folder_is_named_by_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        atomic_write(tmp_path / "none" / "a.txt", "x")
    assert error.value.filename == str(tmp_path / "none" / "a.txt")


HOLD = """
import pathlib, sys
from cloud_jax.files import lock
with lock(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(folder) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_folder_has_one_writer(tmp_path):
    with lock(tmp_path):
        output, errors = hold(tmp_path).communicate()
        assert not output
        assert "another run is writing it" in errors
        with pytest.raises(LockedError), lock(tmp_path):
            pass
    assert hold(tmp_path).communicate()[0] == "held\n"


def test_a_killed_writer_leaves_no_lock(tmp_path):
    with hold(tmp_path) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LockedError), lock(tmp_path):
            pass
        other.send_signal(signal.SIGKILL)
    with lock(tmp_path):
        pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_stops_nobody(tmp_path, monkeypatch, number):
    def refuse(*_, **__):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(filelock.FileLock, "_acquire", refuse)
    ran = []
    with lock(tmp_path):
        ran.append(True)
    assert ran


def test_other_failures_of_a_lock_are_told(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(filelock.FileLock, "_acquire", fail)
    with pytest.raises(OSError, match="broken disk"), lock(tmp_path):
        pass
