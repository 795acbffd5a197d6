"""A run on a task of MatBench: its own results file, and what error figures need."""

import csv
import gzip
import hashlib
import json

import jax
import numpy as np
import pytest
from crystal_table import CONFIG, crystals

from cloud_jax import finetune
from cloud_jax.datasets import matbench
from cloud_jax.evaluation.leaderboard_file import check_matbench

N = 40


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return the command, beside a small file in the format of the phonons task."""
    rows = [[structure, 100.0 + 7 * i] for i, (_, structure) in enumerate(crystals(N))]
    columns = ["structure", "last phdos peak"]
    content = {"index": list(range(N)), "columns": columns, "data": rows}
    packed = gzip.compress(json.dumps(content).encode(), mtime=0)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "matbench_phonons.json.gz").write_bytes(packed)
    small = matbench.TASKS["phonons"]._replace(
        rows=N, sha256=hashlib.sha256(packed).hexdigest()
    )
    monkeypatch.setitem(matbench.TASKS, "phonons", small)
    (tmp_path / "tiny.py").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    jax.config.update("jax_disable_most_optimizations", True)  # compiles in half
    settings = {
        "data.table": "matbench:phonons",
        "data.scope_column": "",
        "data.structure_column": "structure",
        "targets.columns": ("last phdos peak",),
        "folds.column": "fold",
        "folds.validation_fraction": 0.25,
        "members": 1,
        "optimizer.epochs": 1,
    }
    arguments = [f"--config.{key}={value}" for key, value in settings.items()]
    yield lambda *more: finetune.main(["--config", "tiny.py", *arguments, *more])
    jax.config.update("jax_disable_most_optimizations", False)


def test_all_folds_leave_the_leaderboards_file(command, tmp_path):
    assert command("--workdir=run") == 0
    source = matbench.MatbenchSource.from_word("phonons", "data")
    tested = {}
    for name, fold in zip(source.ids(), source.folds(), strict=True):
        tested.setdefault(fold, []).append(name)
    path = tmp_path / "run" / "matbench_results.json.gz"
    found = check_matbench(path, {"matbench_phonons": tested})
    folds = found["tasks"]["matbench_phonons"]["results"]
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    maes = [fold["ensemble"]["last phdos peak"]["mae"] for fold in results["folds"]]
    scores = [folds[f"fold_{i}"]["scores"]["mae"] for i in range(5)]
    np.testing.assert_allclose(scores, maes, rtol=1e-7)  # of nine digits
    seconds = json.loads((tmp_path / "run" / "timing.json").read_text())
    assert seconds["training_seconds"] > 0
    assert 0 <= seconds["waiting_seconds"] <= seconds["training_seconds"]
    assert 0 < seconds["compile_seconds"] < seconds["startup_seconds"]
    path.unlink()  # as of a run that finished before there was such a file
    assert command("--workdir=run") == 0
    check_matbench(path)


def test_one_fold_leaves_none_and_predictions_say_which_cell(command, tmp_path, capsys):
    assert command("--workdir=run", "--config.folds.only=('fold_0',)") == 0
    assert not (tmp_path / "run" / "matbench_results.json.gz").exists()
    assert "no matbench_results.json.gz: " in capsys.readouterr().out
    with open(tmp_path / "run" / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N // 5
    for row in rows:
        record, _ = crystals(N)[int(row["id"].rpartition("-")[2]) - 1]
        assert int(row["space_group"]) == record.space_group
        volume = record.n_atoms * record.volume_per_atom
        np.testing.assert_allclose(float(row["volume_a3"]), volume, rtol=1e-5)
