"""Preprocessing answers every damaged file with a record or a reason, in 3 GB."""

import csv
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from damage import DAMAGES, HARMLESS
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
MEMORY_GB = 3.0  # of all processes together


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One damaged CIF per kind, the sound one, and those of installed packages."""
    folder = tmp_path_factory.mktemp("cifs")
    sound = str(CifWriter(SALT, symprec=0.01))
    (folder / "sound.cif").write_text(sound)
    for kind, damage in DAMAGES.items():
        (folder / f"{kind}.cif").write_bytes(damage(sound))
    packages = [Path(path) for path in sys.path if path.endswith("site-packages")]
    found = [file for root in packages for file in sorted(root.rglob("*.cif"))]
    for number, file in enumerate(found):
        (folder / f"package_{number}_{file.name}").write_bytes(file.read_bytes())
    return folder


def memory_gb(pid):
    """Return what a process and all below it hold; what ends meanwhile holds 0."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            total += process.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total / 1e9


def outcomes(output):
    """Return the outcomes of each file: (code or `record`, message or sentence)."""
    table = pq.read_table(output / "records.parquet", columns=["id", "canonical"])
    rows = [(row["id"], "record", row["canonical"]) for row in table.to_pylist()]
    with (output / "rejects.csv").open(newline="") as file:
        rows += [(x["id"], x["code"], x["message"]) for x in csv.DictReader(file)]
    found = defaultdict(set)
    for name, code, text in rows:
        found[name.partition("/")[2].partition("#")[0]].add((code, text))
    return found


@pytest.mark.parametrize("disorder", ["majority", "reject"])
def test_every_file_becomes_a_record_or_a_reject_with_a_reason(
    files, disorder, tmp_path
):
    words = [f"cif:{files}", "--output", tmp_path / "out", "--disorder", disorder]
    words += ["--deduplicate=none", "--max-reject-fraction=0.99", "--time-limit=30"]
    command = [sys.executable, "-m", "cloud_jax.preprocess", *map(str, words)]
    most = 0.0
    with subprocess.Popen(command) as run:
        while run.poll() is None:
            most = max(most, memory_gb(run.pid))
            time.sleep(0.1)
    assert run.returncode == 0
    assert most < MEMORY_GB
    found = outcomes(tmp_path / "out")
    assert found.keys() == {file.name for file in files.iterdir()}
    bugs = {"unexpected", "crashed", "timeout"}
    assert not [pair for pairs in found.values() for pair in pairs if pair[0] in bugs]
    sound = found["sound.cif"]
    assert {code for code, _ in sound} == {"record"}
    assert [kind for kind in HARMLESS if found[f"{kind}.cif"] != sound] == []
