import subprocess
import sys

import pytest

from cloud_jax.lock import LockedError, lock


def test_a_folder_has_one_writer_and_a_dead_one_does_not_count(tmp_path):
    code = "import sys, pathlib; from cloud_jax.lock import lock\n"
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
