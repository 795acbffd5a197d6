import errno
import os

import pytest

from cloud_jax.files import atomic_open, atomic_write


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
