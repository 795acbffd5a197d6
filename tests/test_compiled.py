"""Compiled programs are kept for the next process, where that is possible."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

CODE = (
    "from cloud_jax.compiled import keep_compiled_programs\n"
    "keep_compiled_programs()\n"
    "import jax\n"
    "jax.jit(lambda x: x * 3 + 1)(2.0)\n"
    "print(jax.config.jax_compilation_cache_dir)\n"
)


def run(
    *, before: str = "", code: str = CODE, cwd=None, **environment: str
) -> subprocess.CompletedProcess:
    # jax has put a level of its own into this process's environment.
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "TF_"))}
    return subprocess.run(
        [sys.executable, "-c", before + code],
        cwd=cwd,
        env=kept | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_second_process_finds_the_programs_of_the_first(tmp_path):
    def programs() -> dict[str, int]:
        return {p.name: p.stat().st_mtime_ns for p in tmp_path.rglob("*-cache")}

    first = run(XDG_CACHE_HOME=str(tmp_path))
    assert first.stdout.startswith(str(tmp_path / "cloud-jax"))
    written = programs()
    assert written
    second = run(XDG_CACHE_HOME=str(tmp_path))
    assert programs() == written
    assert first.stderr == second.stderr == ""


def test_a_run_keeps_its_programs_in_its_folder_once_there_are_any(tmp_path):
    code = CODE.replace(
        "_programs()\n",
        "_programs(Path('run'))\nassert not Path('run').exists()\n",
    )
    code = f"from pathlib import Path\n{code}"
    found = run(code=code, XDG_CACHE_HOME=str(tmp_path / "mine"), cwd=tmp_path)
    assert found.stdout.startswith(f"{tmp_path}/run/compiled/xla-")
    assert list(tmp_path.rglob("run/compiled/*/*-cache"))
    assert not (tmp_path / "mine").exists()


def test_a_folder_that_jax_was_told_stands(tmp_path):
    told = run(JAX_COMPILATION_CACHE_DIR=str(tmp_path / "mine"), HOME=str(tmp_path))
    assert told.stdout.strip() == str(tmp_path / "mine")


def test_a_home_that_cannot_be_written_costs_nothing(tmp_path):
    (tmp_path / "file").touch()
    found = run(XDG_CACHE_HOME=str(tmp_path / "file"))
    assert (found.returncode, found.stdout.strip()) == (0, "None")


@pytest.mark.parametrize("told", ["", "relative"])
def test_an_empty_or_relative_folder_counts_as_none(told, tmp_path):
    found = run(XDG_CACHE_HOME=told, HOME=str(tmp_path), cwd=tmp_path)
    assert found.stdout.startswith(f"{tmp_path}/.cache/cloud-jax")
    assert [path.name for path in tmp_path.iterdir()] == [".cache"]


def test_a_user_without_a_home_has_no_cache(tmp_path):
    code = (
        "import pathlib\n"
        "def home(): raise RuntimeError('Could not determine home directory.')\n"
        "pathlib.Path.home = home\n"
    )
    found = run(before=code, XDG_CACHE_HOME="")
    assert (found.returncode, found.stdout.strip()) == (0, "None")


def test_damaged_programs_are_compiled_again_in_silence(tmp_path):
    run(XDG_CACHE_HOME=str(tmp_path))
    for path in tmp_path.rglob("*-cache"):
        path.write_bytes(path.read_bytes()[:100])
    found = run(XDG_CACHE_HOME=str(tmp_path))
    assert (found.returncode, found.stderr) == (0, "")
