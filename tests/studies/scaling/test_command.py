"""The real command: a tiny grid, killed and resumed; points of others."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from synthetic_dataset import CONFIG, write_dataset

from cloud_jax.studies.paper import read_paper
from cloud_jax.studies.scaling import command as scaling
from cloud_jax.studies.scaling import run as scaling_run
from cloud_jax.studies.scaling.grid import load_grid
from cloud_jax.studies.scaling.law import CONSTANTS, Law
from cloud_jax.training.errors import InterruptedRunError

PAPER = Law(*(read_paper()["scaling"][name] for name in CONSTANTS))
ROOT = Path(__file__).resolve().parents[3]
# Six cells, the fewest that can be fitted: three sizes, three numbers of tokens.
GRID = """
def get_grid():
    cells = [("1x8", 1500), ("1x12", 1500), ("1x16", 1500)]
    cells += [("1x8", 3000), ("1x12", 3000), ("1x8", 6000)]
    return [{"tokens": tokens, "model.preset": size} for size, tokens in cells]
"""
TIMEOUT_S = 240
COMMAND = ("run", "--config", "tiny.py", "--workdir", "grid")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(CONFIG + GRID)
    return tmp_path


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_killed_grid_resumes(place, monkeypatch, capsys):
    text = (place / "tiny.py").read_text()  # the first two cells compile alike
    text = text.replace('cells += [("1x8", 3000), ', "cells += [")
    (place / "tiny.py").write_text(
        text.replace('("1x12", 1500)', '("1x8", 3000), ("1x12", 1500)')
    )
    write_dataset(place / "dataset")
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "XLA_FLAGS": "",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "JAX_COMPILATION_CACHE_DIR": str(place / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",  # its notes on those would fill the pipe
    }
    command = [sys.executable, "-m", "cloud_jax.scaling", *COMMAND]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=place, env=environment, **pipes) as process:
        second, deadline = place / "grid" / "1x8_3000", time.monotonic() + TIMEOUT_S
        while not second.exists() and process.poll() is None:
            assert time.monotonic() < deadline, "the second cell did not begin"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    results = place / "grid" / "1x8_1500" / "results.json"
    first = results.stat().st_mtime_ns
    assert len(rows(place / "grid" / "points.csv")) == 1
    real = scaling_run.train

    def train(path, overrides, cell, folder):
        if cell["model.preset"] == "1x8" and cell["tokens"] < 6000:
            return real(path, overrides, cell, folder)
        return made_up(cell, folder)

    monkeypatch.setattr(scaling_run, "train", train)
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        assert scaling.main([*COMMAND]) == 0
    finally:
        jax.config.update("jax_disable_most_optimizations", False)
    printed = capsys.readouterr().out
    assert results.stat().st_mtime_ns == first
    assert "2 of 6, 1x8_3000: loss" in printed
    assert "Next" not in printed  # what each pretraining says
    points = rows(place / "grid" / "points.csv")
    assert len(points) == 6
    for row, tokens in zip(points[:2], (1500, 3000), strict=True):
        assert int(row["tokens"]) == pytest.approx(tokens, rel=0.2)  # whole steps
        ran = json.loads((place / "grid" / row["cell"] / "results.json").read_text())
        assert int(row["parameters"]) == ran["parameters_non_embedding"]
        assert float(row["loss"]) == ran["validation_loss"]
        assert int(row["flops"]) == 6 * int(row["parameters"]) * int(row["tokens"])
    assert (place / "grid" / "environment.json").exists()


def made_up(cell, folder):
    """The point of a cell without training."""
    layers, width = map(int, cell["model.preset"].split("x"))
    parameters, tokens = 12 * layers * width**2, cell["tokens"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text('{"hashes": {"dataset": "ab"}}')
    loss = float(PAPER.loss(parameters, tokens))
    point = {"parameters": parameters, "tokens": tokens, "loss": loss}
    point |= {"layers": layers, "width": width}
    return point | {"seconds": 1.0, "tokens_unique": min(tokens, 5000)}


@pytest.fixture
def trained(monkeypatch):
    """Cells without training; `trained[cell]` is how one ends: diverged or an error."""
    ends = {}

    def train(path, overrides, cell, folder):
        end = ends.get(folder.name)
        if isinstance(end, Exception):
            raise end
        return None if end == "diverged" else made_up(cell, folder)

    monkeypatch.setattr(scaling_run, "train", train)
    return ends


def test_a_cell_that_diverged_is_listed_and_the_rest_is_fitted(place, trained, capsys):
    text = (place / "tiny.py").read_text()
    (place / "tiny.py").write_text(
        text.replace('("1x8", 6', '("1x16", 6000), ("1x8", 6')
    )
    trained["1x12_1500"] = "diverged"
    assert scaling.main([*COMMAND]) == 0
    assert "2 of 7, 1x12_1500: diverged" in capsys.readouterr().out
    found = json.loads((place / "grid" / "results.json").read_text())
    assert found["points"] == 6
    assert found["kind"] == "scaling"
    assert {"dataset", "points"} <= found["hashes"].keys()
    (figure,) = found["figures"]
    assert (place / "grid" / figure["file"]).stat().st_size > 10_000
    assert found["note"].startswith("Diverged and left out: 1x12_1500. ")
    assert "at most 5,000 of them unique" in found["note"]
    assert "Layers: 1 in all; width: 8 to 16." in found["note"]
    assert found["ranges"]["layers"] == [1, 1]
    assert "1x12_1500" not in (place / "grid" / "points.csv").read_text()


def test_an_interruption_or_a_wrong_setting_ends_the_grid(place, trained, capsys):
    for end, code in ((InterruptedRunError(9), 75), (ValueError("no such data"), 1)):
        trained["1x8_3000"] = end
        assert scaling.main([*COMMAND]) == code
        printed = capsys.readouterr()
        words = "run it again to resume" if code == 75 else "error: no such data"
        assert words in printed.out + printed.err
        assert len(rows(place / "grid" / "points.csv")) == 3
        assert not (place / "grid" / "results.json").exists()


def test_a_resumed_grid_keeps_the_points_it_has(place, trained, capsys):
    assert scaling.main([*COMMAND]) == 0
    before = (place / "grid" / "points.csv").read_text()
    trained["1x8_3000"] = InterruptedRunError(9)
    assert scaling.main([*COMMAND]) == 75
    assert (place / "grid" / "points.csv").read_text() == before


@pytest.mark.parametrize(
    ("old", "new", "words", "message"),
    [
        ("", "", ["--budget", "-1"], "budget -1: expected"),
        (', ("1x8", 6000)', "", [], "5 points cannot hold five constants"),
        ("6000", "3010", [], "2 different values of tokens"),
        ('"1x16", 1500', '"1x8", 700', [], "2 different values of parameters"),
    ],
)
def test_what_cannot_be_fitted_is_not_trained(
    place, trained, capsys, old, new, words, message
):
    text = (place / "tiny.py").read_text()
    (place / "tiny.py").write_text(text.replace(old, new) if old else text)
    assert scaling.main([*COMMAND, *words]) == 1
    assert message in capsys.readouterr().err
    assert not (place / "grid").exists()


def test_the_folder_of_another_run_is_refused(place, trained, points, capsys):
    (place / "grid").mkdir()
    (place / "grid" / "results.json").write_text('{"kind": "phonon"}')
    for words in (COMMAND, ("fit", str(points), "--output", "grid")):
        assert scaling.main([*words]) == 1
        assert "give another folder" in capsys.readouterr().err


def test_fit_that_is_stopped_has_written_nothing(place, points, monkeypatch, capsys):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(scaling_run, "fit", stop)
    assert scaling.main(["fit", str(points), "--output", "out"]) == 130
    assert capsys.readouterr().err == "stopped: nothing was kept\n"
    assert not Path("out").exists()


def test_a_grid_that_is_stopped_between_steps_can_be_resumed(
    place, monkeypatch, capsys
):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(scaling_run, "train", stop)
    assert scaling.main([*COMMAND]) == 75
    assert "run it again to resume" in capsys.readouterr().out


def test_nothing_but_divergence(place, trained, capsys):
    trained |= dict.fromkeys(load_grid("tiny.py", []), "diverged")
    assert scaling.main([*COMMAND]) == 1
    assert "all 6 cells diverged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("[]", "must return a list of cells"),
        ("{}", "must return a list of cells"),
        ("[3]", r"cell 1: expected a dictionary with `tokens`"),
        ('[{"model.preset": "1x8"}]', r"cell 1: expected a dictionary with `tokens`"),
        ('[{"tokens": 0}]', "`tokens`, a whole number from 1"),
        ('[{"tokens": 9, "model.pre": "1x8"}]', "did you mean --config.model.preset"),
        ('[{"tokens": 9}, {"tokens": 9}]', "cell 2: there is already one called bert1"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_grid_is_checked_before_the_first_cell(place, capsys, grid, message):
    (place / "tiny.py").write_text(f"{CONFIG}\ndef get_grid():\n    return {grid}\n")
    assert scaling.main([*COMMAND]) == 1
    assert message in capsys.readouterr().err
    assert not (place / "grid").exists()


def test_a_configuration_without_a_grid(place, capsys):
    (place / "tiny.py").write_text(CONFIG)
    assert scaling.main([*COMMAND]) == 1
    assert "does not define get_grid()" in capsys.readouterr().err


@pytest.fixture
def points(tmp_path):
    """The paper's law with noise; a column beside those that are needed."""
    n, d = np.meshgrid(np.geomspace(1e5, 1e8, 4), np.geomspace(1e6, 3e8, 4))
    noise = np.random.default_rng(0).normal(scale=0.005, size=n.shape)
    loss = PAPER.loss(n, d) * np.exp(noise)
    columns = zip(n.ravel(), d.ravel(), loss.ravel(), strict=True)
    path = tmp_path / "points.csv"
    lines = [f"{n},{d},{loss},x" for n, d, loss in columns]
    path.write_text("\n".join(["parameters,tokens,loss,name", *lines, ""]))
    return path


def test_fit_prints_json_and_nothing_else(points, capsys):
    assert scaling.main(["fit", str(points), "--json", "--budget", "1e15", "1e18"]) == 0
    found = json.loads(capsys.readouterr().out)
    low, high = found["intervals"]["alpha"]
    assert low < PAPER.alpha < high
    assert found["alpha"] == pytest.approx(PAPER.alpha, rel=0.1)
    assert [best["flops"] for best in found["optima"]] == [1e15, 1e18]
    assert [path.name for path in points.parent.iterdir()] == ["points.csv"]


def test_fit_writes_results_and_figure(points, tmp_path, capsys):
    assert scaling.main(["fit", str(points), "--output", str(tmp_path / "out")]) == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["results.json", "scaling.png"]
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["optima"][0]["flops"] == pytest.approx(6 * 1e8 * 3e8)
    assert "95% intervals" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("parameters,loss\n1,2\n", "no column 'tokens'"),
        ("", "no column 'parameters'"),
        ("parameters,tokens,loss\n1,2,diverged\n", "line 2: loss is 'diverged'"),
        ("parameters,tokens,loss\n1,2\n", "line 2: loss is None"),
        ("parameters,tokens,loss\n1,2,3\n", "points.csv: 1 points cannot hold five"),
        ("parameters,tokens,loss\n1,2,nan\n", "loss of point 1 is nan"),
        (None, "there is no such file"),
    ],
)
def test_points_that_cannot_be_used(tmp_path, capsys, text, message):
    if text is not None:
        (tmp_path / "points.csv").write_text(text)
    assert scaling.main(["fit", str(tmp_path / "points.csv"), "--json"]) == 1
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.out == ""


@pytest.mark.parametrize(
    "arguments", [[], ["fit"], ["run"], ["fit", "points.csv", "--config.seed=1"]]
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        scaling.main(arguments)
    assert stop.value.code == 2


@pytest.mark.parametrize("words", [["--quiet", "fit"], ["fit", "--quiet"]])
def test_quiet_may_stand_on_either_side_of_the_subcommand(points, words, monkeypatch):
    assert scaling.main([*words, str(points), "--json"]) == 0
    assert os.environ["CLOUD_JAX_QUIET"] == "1"
