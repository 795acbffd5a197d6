import errno
import os

import pytest

from cloud_jax.whole_file import whole_file, write_whole


def test_text_and_bytes_arrive_and_nothing_else_stays(tmp_path):
    write_whole(tmp_path / "a.txt", "thetä\n")
    write_whole(tmp_path / "a.txt", b"1\r\n")
    with whole_file(tmp_path / "b.csv", "w", newline="", encoding="utf-8") as file:
        file.write("ä\r\n")
    assert (tmp_path / "a.txt").read_bytes() == b"1\r\n"
    assert (tmp_path / "b.csv").read_bytes() == "ä\r\n".encode()
    assert sorted(os.listdir(tmp_path)) == ["a.txt", "b.csv"]


def test_the_old_file_outlives_a_failure(tmp_path):
    write_whole(tmp_path / "a.txt", "old")
    with (
        pytest.raises(TypeError),
        whole_file(tmp_path / "a.txt") as file,
    ):
        file.writelines([b"new", None])
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_told_with_the_name(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/a\.txt'$"):
        write_whole(tmp_path / "a.txt", "new")
    assert not os.listdir(tmp_path)


def test_a_missing_folder_is_named_by_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as error:
        write_whole(tmp_path / "none" / "a.txt", "x")
    assert error.value.filename == str(tmp_path / "none" / "a.txt")
