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
from crystal_table import CONFIG, PHYSICS, crystals, write_encoder, write_table
from jax.experimental.compilation_cache import compilation_cache

import cloud_jax
from cloud_jax import finetune
from cloud_jax.models.folder import load_model
from cloud_jax.training.logging import TIMING_KEYS

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 240


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
    """A folder with a table, a configuration and a pretrained encoder."""
    folder = tmp_path_factory.mktemp("finetune")
    write_table(folder / "table.csv")
    (folder / "tiny.py").write_text(CONFIG)
    write_encoder(folder / "encoder", dtype=jnp.bfloat16)
    return folder


@pytest.fixture
def command(place, monkeypatch):
    monkeypatch.chdir(place)
    return lambda *arguments: finetune.main(["--config", "tiny.py", *arguments])


@pytest.fixture(scope="module")
def whole(place):
    """The uninterrupted run."""
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
    assert results["law"] is results["checkpoint"] is None
    assert (results["rows_used"], results["rows_rejected"]) == (40, 0)
    (fold,) = results["folds"]
    sizes = fold["fold"], fold["n_train"], fold["n_validation"], fold["n_test"]
    assert sizes == ("split", 29, 3, 8)
    for found in (fold["ensemble"]["y"], fold["members"][1]["test"]["y"]):
        assert found["n"] == 8
        assert found["mae"] <= found["rmse"]
        assert found["mae_over_mad_train_mean"] > 0
    assert results["hashes"].keys() == {"table", "vocabulary"}
    for name in ("config.json", "environment.json", "rejects.csv", "parity.png"):
        assert (whole / name).stat().st_size > 0


def test_predictions_keep_ids_and_order(place, whole):
    table = {row["id"]: row for row in read(place / "table.csv")}
    rows = read(whole / "predictions.csv")
    tested = [name for name, row in table.items() if row["split"] == "test"]
    assert [row["id"] for row in rows] == tested
    for row in rows:
        assert (row["target"], row["unit"]) == ("y", "ln K")
        true = float(table[row["id"]]["y"])
        assert float(row["true"]) == pytest.approx(true, rel=1e-8)
        assert float(row["std"]) > 0
    errors = [abs(float(row["true"]) - float(row["predicted"])) for row in rows]
    found = json.loads((whole / "results.json").read_text())["ensemble"]["y"]["mae"]
    assert found["mean"] == pytest.approx(np.mean(errors), rel=1e-6)


def test_the_model_folder_predicts_what_the_run_predicted(whole):
    rows = read(whole / "predictions.csv")
    structures = [crystals(40)[int(row["id"][2:])][1] for row in rows]
    frame = cloud_jax.load(whole).predict(structures)
    for column, name, rtol in (("value", "predicted", 1e-5), ("std", "std", 1e-3)):
        expected = [float(row[name]) for row in rows]
        np.testing.assert_allclose(frame[column], expected, rtol=rtol)
    assert set(frame.unit) == {"ln K"}
    half_width = frame.upper - frame.value
    np.testing.assert_allclose(half_width, half_width[0])


def test_a_law_on_random_folds_from_a_checkpoint(command, place):
    """The encoder is stored in bfloat16 and waits for an epoch."""
    code = command(
        "--workdir=law",
        *PHYSICS,
        "--config.folds.column=",
        "--config.folds.random=2",
        "--config.members=1",
        "--config.model.checkpoint=encoder",
        "--config.optimizer.epochs=2",
        "--config.optimizer.frozen_epochs=1",
        "--config.optimizer.weight_decay=0.01",
    )
    assert code == 0
    results = json.loads((place / "law" / "results.json").read_text())
    assert [fold["fold"] for fold in results["folds"]] == ["fold_0", "fold_1"]
    sizes = [(f["n_train"], f["n_validation"]) for f in results["folds"]]
    assert sizes == [(18, 2)] * 2
    assert results["hashes"].keys() == {"table", "vocabulary", "checkpoint"}
    rows = read(place / "law" / "predictions.csv")
    assert sorted({row["id"] for row in rows}) == sorted(f"x-{i}" for i in range(40))
    assert [row["target"] for row in rows[:2]] == ["cv", "u"]
    assert {row["std"] for row in rows} == {"nan"}

    model = load_model(place / "law")
    assert model.description["calibration"]["targets"].keys() == {"cv", "u"}
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(model.params))
    structures = [structure for _, structure in crystals(40)[:6]]
    frame = cloud_jax.load(place / "law").predict(structures, temperature_k=300.0)
    for property, target, factor in (
        ("heat_capacity", "cv", 1),
        ("internal_energy", "u", 1000),
    ):
        found = frame[frame.property == property]
        assert (found.lower <= found.value).all()
        assert (found.value <= found.upper).all()
        for i, row in enumerate(found.itertuples()):
            # Of two members one had the row in training, the other predicted it: it
            # lies a standard deviation / sqrt(2) from their mean.
            unseen = factor * next(
                float(r["predicted"])
                for r in rows
                if (r["id"], r["target"]) == (f"x-{i}", target)
            )
            away = abs(row.value - unseen)
            assert away == pytest.approx(row.std / 2**0.5, rel=1e-2, abs=1e-5 * unseen)


def test_a_finished_run_says_so_and_other_settings_are_refused(command, whole, capsys):
    before = (whole / "config.json").read_text()
    assert command("--workdir=whole") == 0
    assert "this run has finished" in capsys.readouterr().out
    code = command("--workdir=whole", "--config.optimizer.learning_rate=1e-4")
    assert code == finetune.EXIT_FAILED
    assert "optimizer.learning_rate: 0.003 -> 0.0001" in capsys.readouterr().err
    assert (whole / "config.json").read_text() == before


def test_a_terminated_run_refuses_other_settings_and_resumes_to_the_bit(
    command, place, whole, capsys, monkeypatch
):
    from cloud_jax.training import finetuning

    scores, n = finetuning.validation_scores, []

    def stop_in_epoch_three(*arguments):
        if len(n) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        n.append(1)
        return scores(*arguments)

    monkeypatch.setattr(finetuning, "validation_scores", stop_in_epoch_three)
    assert command("--workdir=broken") == finetune.EXIT_INTERRUPTED
    assert "run it again to resume" in capsys.readouterr().out
    assert not (place / "broken" / "results.json").exists()

    assert command("--workdir=broken", "--config.seed=1") == finetune.EXIT_FAILED
    assert "seed: 0 -> 1" in capsys.readouterr().err
    code = command("--workdir=broken", "--config.members_at_once=1")
    assert code == finetune.EXIT_FAILED
    assert command("--workdir=broken") == 0
    assert len(n) == 4  # one more epoch, not four
    assert_equal_to_the_bit(place / "broken", whole)


def start(place, *arguments, program=("-m", "cloud_jax.finetune")):
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(place / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",  # its notes would fill the pipe
    }
    return subprocess.Popen(
        [sys.executable, *program, "--config=tiny.py", *arguments],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_killed_run_resumes_to_the_bit(command, place, whole):
    process = start(place, "--workdir=killed")
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
    assert command("--workdir=killed") == 0
    assert_equal_to_the_bit(place / "killed", whole)


def test_groups_of_another_size_are_refused_and_say_their_size(
    command, place, whole, capsys
):
    shutil.copytree(whole, place / "other")
    (place / "other" / "results.json").unlink()
    settings = json.loads((place / "other" / "config.json").read_text())
    settings["members_at_once"] = 1
    (place / "other" / "config.json").write_text(json.dumps(settings))
    code = command("--workdir=other", "--config.members_at_once=1")
    assert code == finetune.EXIT_FAILED
    assert "give --config.members_at_once=2" in capsys.readouterr().err


def test_structures_are_read_once_and_folds_come_from_a_file(
    command, place, capsys, monkeypatch
):
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
    arguments = (
        "--workdir=read",
        "--config.data.table=structures.csv",
        "--config.data.scope_column=",
        "--config.data.structure_column=structure",
        "--config.folds.column=",
        "--config.folds.file=folds.json",
        "--config.folds.validation_fraction=0.2",
        "--config.members=1",
        "--config.model.checkpoint=encoder",
        "--config.folds.protocol=paper",
        "--config.optimizer.epochs=1",
    )
    assert command(*arguments, "--config.folds.only=('third',)") == 1
    assert "no fold third; found first/one, second" in capsys.readouterr().err

    def refuse(*_):
        raise AssertionError("the structures were read again")

    monkeypatch.setattr("cloud_jax.preprocess.crystals._encode", refuse)
    assert command(*arguments) == 0
    out = capsys.readouterr().out
    assert "22 of 24 rows are used" in out
    assert "1 duplicate_id, as line" in out
    assert "1 infinite_target, as line" in out
    rejects = read(place / "read" / "rejects.csv")
    assert [row["code"] for row in rejects] == ["duplicate_id", "infinite_target"]
    results = json.loads((place / "read" / "results.json").read_text())
    assert [fold["fold"] for fold in results["folds"]] == ["first/one", "second"]
    assert results["protocol"] == "paper"
    sizes = [(fold["n_train"], fold["n_validation"]) for fold in results["folds"]]
    assert sizes == [(18, 4), (18, 4)]
    # Validation rows were trained on: nothing is left to calibrate with.
    assert load_model(place / "read").description["calibration"] == {}


# Runs the command where nothing can parse a structure, as on a bare machine.
BARE = """
import sys
for name in ("pymatgen", "spglib", "gemmi", "jarvis", "tensorflow"):
    sys.modules[name] = None
from cloud_jax.finetune import main
sys.exit(main(sys.argv[1:]))
"""


def test_ready_sentences_and_a_checkpoint_need_no_package_of_structures(place):
    arguments = (
        "--config.model.checkpoint=encoder",
        "--config.optimizer.epochs=1",
        "--config.members=1",
    )
    process = start(place, "--workdir=bare", *arguments, program=("-c", BARE))
    _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, err
    assert (place / "bare" / "model" / "model.json").exists()


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
