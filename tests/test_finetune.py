"""The real command on real crystals: what it leaves, and how a kill changes nothing."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from crystal_table import (
    CONFIG,
    crystals,
    debye_temperature,
    write_encoder,
    write_table,
)
from jax.experimental.compilation_cache import compilation_cache

import cloud_jax
from cloud_jax import finetune
from cloud_jax.cli import Exit
from cloud_jax.config import finetuning, load_config
from cloud_jax.finetuning.groups import group_name
from cloud_jax.finetuning.job import prepare
from cloud_jax.models.folder import load_model
from cloud_jax.training.metrics_log import TIMING_KEYS

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 600  # a machine that trains beside the tests is slow


def label(i, record):
    """Return a label; that of the last row is infinite."""
    return "inf" if i == 40 else np.log(debye_temperature(record))


CORPUS = {"table": "corpus", "labels": {"masked tokens": 1234}}


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(place):
    """Most of the time of these tests is compilation, of the same few programs."""
    options = {
        "jax_disable_most_optimizations": (True, False),
        "jax_compilation_cache_dir": (str(place / "compiled"), None),
        "jax_persistent_cache_min_compile_time_secs": (0.0, 1.0),
    }
    for name, (here, _) in options.items():
        jax.config.update(name, here)
    compilation_cache.reset_cache()
    yield
    for name, (_, default) in options.items():
        jax.config.update(name, default)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a table, a configuration and a pretrained encoder."""
    folder = tmp_path_factory.mktemp("finetune")
    write_table(folder / "table.csv", 41, y=label)
    text = CONFIG.replace("return", 'c.model.checkpoint = "encoder"\n    return')
    (folder / "tiny.py").write_text(text)
    write_encoder(
        folder / "encoder", dtype=jnp.bfloat16, provenance={"learned": [CORPUS]}
    )
    return folder


@pytest.fixture
def command(place, monkeypatch):
    monkeypatch.chdir(place)
    return lambda *arguments: finetune.main(["--config", "tiny.py", *arguments])


@pytest.fixture(scope="module")
def whole(place):
    """Return the work directory of an uninterrupted run."""
    before = Path.cwd()
    os.chdir(place)
    try:
        assert finetune.main(["--config=tiny.py", "--workdir=whole"]) == 0
    finally:
        os.chdir(before)
    return place / "whole"


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def events(workdir):
    (path,) = workdir.glob("members/*/metrics.jsonl")
    lines = map(json.loads, path.read_text().splitlines())
    return [{k: v for k, v in e.items() if k not in TIMING_KEYS} for e in lines]


def assert_equal_to_the_bit(one, other):
    assert events(one) == events(other)
    for name in ("predictions.csv", "results.json", "model/weights.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes()


def test_what_a_run_leaves(place, whole):
    results = json.loads((whole / "results.json").read_text())
    assert results["protocol"] == "strict"
    assert results["law"] is None
    assert results["checkpoint"] == "encoder"
    assert results["checkpoint_learned"] == "corpus (1,234 masked tokens)"
    learned = load_model(whole).description["provenance"]["learned"]
    assert learned == [CORPUS, {"table": "table.csv", "labels": {"y": 32}}]
    assert (results["rows_used"], results["rows_rejected"]) == (40, 1)
    (reject,) = read(whole / "rejects.csv")
    assert (reject["line"], reject["id"]) == ("42", "x-40")
    assert reject["code"] == "infinite_target"
    (fold,) = results["folds"]
    sizes = fold["fold"], fold["n_train"], fold["n_validation"], fold["n_test"]
    assert sizes == ("split", 29, 3, 8)
    for found in (fold["ensemble"]["y"], fold["members"][1]["test"]["y"]):
        assert found["n"] == 8
        assert found["mae"] <= found["rmse"]
        assert found["mae_over_mad_train_mean"] > 0
    assert results["hashes"].keys() == {"table", "vocabulary", "checkpoint"}
    stored = jax.tree.leaves(load_model(place / "encoder").params)
    assert {leaf.dtype for leaf in stored} == {np.dtype(jnp.bfloat16)}
    trained = jax.tree.leaves(load_model(whole).params)
    assert {leaf.dtype for leaf in trained} == {np.dtype(np.float32)}
    for name in ("config.json", "environment.json", "rejects.csv", "parity.png"):
        assert (whole / name).stat().st_size > 0


def test_predictions_keep_ids_and_order(place, whole):
    table = {row["id"]: row for row in read(place / "table.csv")}
    rows = read(whole / "predictions.csv")
    tested = [name for name, row in table.items() if row["split"] == "test"]
    assert tested.pop() == "x-40"  # without a label
    assert [row["id"] for row in rows] == tested
    for row in rows:
        assert (row["target"], row["unit"]) == ("y", "ln K")
        true = float(table[row["id"]]["y"])
        assert float(row["true"]) == pytest.approx(true, rel=1e-8)
        assert float(row["spread"]) > 0
    errors = [abs(float(row["true"]) - float(row["predicted"])) for row in rows]
    found = json.loads((whole / "results.json").read_text())["ensemble"]["y"]["mae"]
    assert found["mean"] == pytest.approx(np.mean(errors), rel=1e-6)


def test_the_model_folder_predicts_what_the_run_predicted(whole):
    rows = read(whole / "predictions.csv")
    structures = [crystals(40)[int(row["id"][2:])][1] for row in rows]
    frame = cloud_jax.load(whole).predict(structures)
    for column, name, rtol in (
        ("value", "predicted", 1e-5),
        ("spread", "spread", 1e-3),
    ):
        expected = [float(row[name]) for row in rows]
        np.testing.assert_allclose(frame[column], expected, rtol=rtol)
    assert set(frame.unit) == {"ln K"}
    half_width = frame.upper - frame.value
    assert half_width[0] > 0
    np.testing.assert_allclose(half_width, half_width[0])


def test_a_law_on_random_folds_from_scratch(command, place):
    code = command(
        "--workdir=law",
        "--config.head.law=debye",
        "--config.data.n_atoms_column=n_atoms",
        "--config.targets.columns=('u',)",
        "--config.targets.properties=('internal_energy',)",
        "--config.targets.units=('kJ/mol',)",
        "--config.targets.bases=('cell',)",
        "--config.targets.temperatures_k=(300.0,)",
        "--config.folds.column=",
        "--config.folds.random=2",
        "--config.members=1",
        "--config.model.checkpoint=",
        "--config.optimizer.epochs=2",
        "--config.optimizer.frozen_epochs=1",
    )
    assert code == 0
    results = json.loads((place / "law" / "results.json").read_text())
    assert [fold["fold"] for fold in results["folds"]] == ["fold_0", "fold_1"]
    sizes = [(f["n_train"], f["n_validation"]) for f in results["folds"]]
    assert sizes == [(18, 2), (19, 2)]
    assert results["hashes"].keys() == {"table", "vocabulary"}
    rows = read(place / "law" / "predictions.csv")
    assert sorted({row["id"] for row in rows}) == sorted(f"x-{i}" for i in range(41))
    assert {row["spread"] for row in rows} == {"nan"}

    model = load_model(place / "law")
    assert model.description["calibration"]["targets"].keys() == {"u"}
    assert model.description["domain"]["sentences"].keys() == {"internal_energy"}
    structures = [structure for _, structure in crystals(40)[:6]]
    model = cloud_jax.load(place / "law")
    frame = model.predict(structures, temperature_k=300.0, basis="cell")
    found = frame[frame.property == "internal_energy"]
    assert (found.lower < found.value).all()
    assert (found.value < found.upper).all()
    predicted = {row["id"]: float(row["predicted"]) for row in rows}
    for i, row in enumerate(found.itertuples()):
        # Of two members one had the row in training and the other predicted it: it
        # lies a standard deviation / sqrt(2) from their mean.
        away = abs(row.value - predicted[f"x-{i}"])
        assert away == pytest.approx(row.spread / 2**0.5, abs=1e-5 * row.value)


def test_a_finished_run_says_so_and_other_settings_are_refused(command, whole, capsys):
    before = (whole / "config.json").read_text()
    assert command("--workdir=whole") == 0
    assert "this run has finished" in capsys.readouterr().out
    found = (whole / "results.json").read_text()
    assert command("--workdir=whole", "--config.note=half the rows") == 0
    assert json.loads((whole / "results.json").read_text())["note"] == "half the rows"
    assert command("--workdir=whole") == 0
    assert (whole / "results.json").read_text() == found
    code = command("--workdir=whole", "--config.optimizer.learning_rate=1e-4")
    assert code == Exit.FAILED
    assert "optimizer.learning_rate: 0.003 -> 0.0001" in capsys.readouterr().err
    assert (whole / "config.json").read_text() == before


def test_a_terminated_run_refuses_other_settings_and_resumes_to_the_bit(
    command, place, whole, capsys, monkeypatch
):
    from cloud_jax.finetuning import loop as finetuning

    scores, n = finetuning.validation_scores, []

    def stop_in_epoch_three(*arguments):
        if len(n) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        n.append(1)
        return scores(*arguments)

    monkeypatch.setattr(finetuning, "validation_scores", stop_in_epoch_three)
    assert command("--workdir=broken") == Exit.RESUMABLE
    assert "run it again to resume" in capsys.readouterr().out
    assert not (place / "broken" / "results.json").exists()

    assert command("--workdir=broken", "--config.seed=1") == Exit.FAILED
    assert "seed: 0 -> 1" in capsys.readouterr().err
    code = command("--workdir=broken", "--config.members_at_once=1")
    assert code == Exit.FAILED
    assert command("--workdir=broken") == 0
    assert len(n) == 4  # one more epoch, not four
    assert_equal_to_the_bit(place / "broken", whole)


def test_a_loss_that_is_not_finite_has_its_own_exit_code(
    command, place, capsys, monkeypatch
):
    def diverge(group, params):
        return np.array([0.5, np.nan], np.float32)

    monkeypatch.setattr("cloud_jax.finetuning.loop.validation_scores", diverge)
    assert command("--workdir=diverged") == Exit.DOUBTFUL
    assert "error: member split.1, epoch 1: loss" in capsys.readouterr().err
    assert not list((place / "diverged").glob("members/*/checkpoints/1"))


# Runs the command where nothing can parse a structure, as on a bare machine.
BARE = """
import sys
for name in ("pymatgen", "spglib", "gemmi", "jarvis", "tensorflow"):
    sys.modules[name] = None
from cloud_jax.finetune import main
sys.exit(main(sys.argv[1:]))
"""


def start_bare(place, *arguments):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(place / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",  # its notes would fill the pipe
    }
    return subprocess.Popen(
        [sys.executable, "-c", BARE, "--config=tiny.py", *arguments],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_run_resumes_to_the_bit_without_packages_of_structures(place, whole):
    process = start_bare(place, "--workdir=killed")
    try:
        deadline = time.monotonic() + TIMEOUT_S
        lines = []
        while process.poll() is None and len(lines) < 3:
            assert time.monotonic() < deadline, "no epoch was logged"
            time.sleep(0.01)
            lines = [
                line
                for path in (place / "killed").glob("members/*/metrics.jsonl")
                for line in path.read_text().splitlines()
            ]
    finally:
        process.kill()
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert lines, err
    process = start_bare(place, "--workdir=killed")
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    assert_equal_to_the_bit(place / "killed", whole)


def test_groups_of_another_size_are_refused_and_say_their_size(
    command, place, whole, capsys
):
    shutil.copytree(whole, place / "other")
    (place / "other" / "results.json").unlink()
    code = command("--workdir=other", "--config.members_at_once=1")
    assert code == Exit.FAILED
    assert "give --config.members_at_once=2" in capsys.readouterr().err
    assert command("--workdir=other", "--config.members_at_once=2") == 0


def test_ctrl_c_while_results_are_written_keeps_the_members(
    command, place, whole, capsys, monkeypatch
):
    def stop(*_):
        raise KeyboardInterrupt

    shutil.copytree(whole, place / "late")
    (place / "late" / "results.json").unlink()
    monkeypatch.setattr("cloud_jax.finetuning.outputs.write_predictions", stop)
    assert command("--workdir=late") == Exit.RESUMABLE
    assert "run it again to resume" in capsys.readouterr().out
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert command("--workdir=late") == 0
    assert_equal_to_the_bit(place / "late", whole)


def test_structures_are_read_once_and_folds_come_from_a_file(place, monkeypatch):
    monkeypatch.chdir(place)
    write_table(
        place / "structures.csv",
        24,
        structures=True,
        id=lambda i, _: f"x-{6 if i == 7 else i}",
        y=lambda i, _: "inf" if i == 9 else i % 5,
    )
    names = [f"x-{i}" for i in range(24)]
    folds = {"first/one": names[:4], "second": {"test": names[12:16]}}
    (place / "folds.json").write_text(json.dumps(folds))
    arguments = [
        "--config.workdir=read",
        "--config.data.table=structures.csv",
        "--config.data.scope_column=",
        "--config.data.structure_column=structure",
        "--config.folds.column=",
        "--config.folds.file=folds.json",
        "--config.folds.validation_fraction=0.25",
        "--config.folds.protocol=paper",
    ]
    config = load_config("tiny.py", arguments, kind=finetuning)
    job = prepare(config)
    codes = [reject.code for reject in job.table.rejects]
    assert codes == ["duplicate_id", "infinite_target"]
    expected = [crystals(24)[i][0].canonical for i in job.table.rows]
    assert job.table.sentences == expected
    assert [len(fold.test) for fold in job.folds] == [4, 4]
    # Of 18 rows a quarter selects the checkpoint, and is trained on all the same.
    assert [(len(m.train), len(m.validation)) for m in job.members] == [(18, 4)] * 4
    assert group_name(job.members) == "first%2Fone.0-second.1"

    def refuse(*_):
        raise AssertionError("the structures were read again")

    monkeypatch.setattr("cloud_jax.finetuning.crystals.read_structures", refuse)
    again = prepare(config)
    assert again.table.tokens == job.table.tokens
    assert again.table.rejects == job.table.rejects
    config.data.structure_column = "scope"
    with pytest.raises(AssertionError, match="read again"):
        prepare(config)


def test_help_is_quick_and_useful():
    code = (
        "import sys, cloud_jax.finetune as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'jax', 'numpy', 'pymatgen', 'pandas'} & set(sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    for word in ("configs/thermal.py", "--config.members=", "75"):
        assert word in found.stdout
