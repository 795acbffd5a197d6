"""What Windows and macOS lack is not needed: it is hidden from every process here."""

import os
import subprocess
import sys

import pytest
from crystals import rock_salt

# Python runs this file at the start of each process, workers included. Only our own
# modules are kept from `fcntl` and `resource`: asyncio of this system imports them.
HIDE = """
import builtins, io, os, signal
from multiprocessing import popen_fork

def import_(name, globals=None, *rest, original=builtins.__import__, **options):
    if name in ("fcntl", "resource", "pwd", "grp"):
        if (globals or {}).get("__name__", "").startswith("cloud_jax"):
            raise ImportError(f"no module {name} here")
    return original(name, globals, *rest, **options)

def open_(file, *rest, original=io.open, **options):
    if isinstance(file, (str, os.PathLike)) and os.fspath(file).startswith("/proc/"):
        raise FileNotFoundError(2, "no /proc here", file)
    return original(file, *rest, **options)

builtins.__import__ = import_
io.open = open_
popen_fork.Popen.kill = popen_fork.Popen.terminate  # as on Windows
for module, names in (
    (os, ("sched_getaffinity", "process_cpu_count", "fork", "getuid", "killpg")),
    (signal, ("SIGKILL", "SIGALRM", "SIGUSR1", "SIGHUP", "SIGQUIT")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
os.environ["CLOUD_JAX_HIDDEN"] = "yes"
"""


@pytest.fixture
def cif(tmp_path):
    path = tmp_path / "salt.cif"
    path.write_text(rock_salt())
    return path


def python(tmp_path, *words) -> str:
    """Run Python without what is hidden; return what it prints."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(HIDE)
    path = os.pathsep.join([str(folder), *filter(None, sys.path)])
    result = subprocess.run(
        [sys.executable, *map(str, words)],
        env=os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_a_name_is_hidden_from_our_modules(tmp_path):
    code = """
import os, signal
assert not hasattr(os, "sched_getaffinity") and not hasattr(signal, "SIGKILL")
try:
    exec("import fcntl", {"__name__": "cloud_jax.example"})
except ImportError as error:
    print(error)
"""
    assert python(tmp_path, "-c", code) == "no module fcntl here\n"


def test_a_sentence_is_printed(tmp_path, cif):
    assert "4b" in python(tmp_path, "-m", "cloud_jax.scope", cif)


def test_crystals_become_shards(tmp_path, cif):
    words = ("--output", tmp_path / "out", f"cif:{cif}")
    python(tmp_path, "-m", "cloud_jax.preprocess", *words)
    assert (tmp_path / "out" / "manifest.json").is_file()


def test_properties_are_predicted(tmp_path, cif):
    words = (cif, "--temperature", "300")
    assert "salt" in python(tmp_path, "-m", "cloud_jax.predict", *words)


@pytest.mark.parametrize("module", ["finetuning.run", "training.run"])
def test_training_imports_and_locks_its_folder(tmp_path, module):
    code = f"""
import pathlib
import cloud_jax.{module}
from cloud_jax.cores import usable_cores
from cloud_jax.files import LockedError, lock
folder = pathlib.Path({str(tmp_path)!r})
with lock(folder):
    try:
        with lock(folder):
            print("two writers")
    except LockedError:
        print(usable_cores() > 0)
"""
    assert python(tmp_path, "-c", code) == "True\n"
