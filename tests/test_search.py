"""The real command with few trials; what a trial sees; kills and failures."""

import csv
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from crystal_table import CONFIG, write_table

from cloud_jax import search
from cloud_jax.cli import COMMANDS
from cloud_jax.finetuning import search as trials
from cloud_jax.finetuning.run import train
from cloud_jax.finetuning.space import load_space

SPACE = """
from cloud_jax.finetuning.space import Range


def get_search_space():
    return {
        "optimizer.learning_rate": Range(1e-4, 1e-2, log=True),
        "optimizer.batch_crystals": Range(8, 16),
        "head.layers": [1, 2],
        "optimizer.loss": ["l1", "l2"],
    }
"""
COMMAND = ("--config", "tiny.py", "--workdir", "study")


def test_the_example_of_the_help_has_something_to_search():
    words = COMMANDS["search"].example.split()
    name = words[words.index("--config") + 1]
    assert len(load_space(str(Path(__file__).parents[1] / name), [])) > 1


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "table.csv")
    (tmp_path / "tiny.py").write_text(CONFIG + SPACE)
    return tmp_path


@pytest.fixture
def scores(monkeypatch):
    """Trials without training: their score is their learning rate."""
    seen = []

    def validation_error(config, reader):
        rate = config.optimizer.learning_rate
        if seen and seen[-1] == "diverge":
            raise trials.FailedTrialError("the loss is nan")
        if seen and seen[-1] == "interrupt":
            seen.append("interrupted")
            raise KeyboardInterrupt
        seen.append((rate, config.workdir))
        return rate

    monkeypatch.setattr(trials, "validation_error", validation_error)
    monkeypatch.setattr("cloud_jax.evaluation.figures.search_plot", lambda *a, **k: 0)
    return seen


def rows(place):
    with (place / "study" / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("compile_quickly")
def test_a_trial_and_what_it_sees(place, monkeypatch, capsys):
    jobs, reads = [], []

    def keep(job):
        jobs.append(job)
        return train(job)

    def read(*arguments, read=trials.read):
        reads.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(trials, "train", keep)
    monkeypatch.setattr(trials, "read", read)
    small = ("--config.members=1", "--config.optimizer.epochs=1", "--trials=1")
    assert search.main([*COMMAND, *small]) == 0
    assert len(reads) == 1
    with (place / "table.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    (job,) = jobs
    assert [len(fold.test) for fold in job.folds] == [0]
    labels = job.table.targets[:, 0]
    true = np.array([float(row["y"]) for row in table])
    tested = np.array([row["split"] == "test" for row in table])
    assert np.array_equal(labels[~tested], true[~tested])
    assert np.isnan(labels[tested]).all()
    best = json.loads((place / "study" / "best.json").read_text())
    (row,) = rows(place)
    assert best["validation_mae_over_mad"] == float(row["validation_mae_over_mad"])
    assert (place / "study" / "search.png").stat().st_size > 10_000
    assert not list(place.glob("study/trials/*/members/*/checkpoints"))
    printed = capsys.readouterr().out.splitlines()[-1].split()
    assert printed[:3] == ["cloud-jax", "finetune", "--config"]
    assert printed[4:] == best["arguments"]
    assert best["arguments"][:2] == list(small[:2])


def test_the_first_trial_is_the_configuration_as_it_stands(place, scores):
    assert search.main([*COMMAND, "--trials=3", "--config.head.layers=1"]) == 0
    assert "head.layers" not in rows(place)[0]
    # 32 crystals are not in the space, so nothing stands for the configuration.
    assert float(rows(place)[0]["optimizer.learning_rate"]) != 3e-3
    batch = "--config.optimizer.batch_crystals=12"
    assert search.main(["--config=tiny.py", "--workdir=new", batch, "--trials=1"]) == 0
    assert scores[-1][0] == 3e-3


def test_an_interrupted_search_makes_the_same_trials(place, scores):
    assert search.main([*COMMAND, "--trials=6"]) == 0
    whole = rows(place)
    (place / "study").rename(place / "whole")
    assert search.main([*COMMAND, "--trials=4"]) == 0
    scores.append("interrupt")
    assert search.main([*COMMAND, "--trials=6"]) == 75
    assert search.main([*COMMAND, "--trials=6"]) == 0
    again = rows(place)
    keys = [key for key in whole[0] if key not in ("trial", "seconds")]
    assert [[row[k] for k in keys] for row in again[:5]] == [
        [row[k] for k in keys] for row in whole[:5]
    ]
    # The trial that was cut off went on in its own folder under another number.
    assert (again[4]["trial"], again[4]["folder"]) == ("5", "trials/0004")
    assert len(again) == 6
    assert search.main([*COMMAND, "--trials=6"]) == 0
    assert rows(place) == again


def test_a_trial_that_diverges_is_not_the_end(place, scores):
    assert search.main([*COMMAND, "--trials=2"]) == 0
    scores.append("diverge")
    assert search.main([*COMMAND, "--trials=3"]) == 0
    assert rows(place)[2]["error"] == "the loss is nan"
    best = json.loads((place / "study" / "best.json").read_text())
    assert (best["trials_finished"], best["trials_failed"]) == (2, 1)


def test_nothing_but_failures(place, scores, capsys):
    scores.append("diverge")
    assert search.main([*COMMAND, "--trials=2"]) == 3
    assert "none of 2 trials finished" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ('{"optimizer.lerning_rate": [1]}', "did you mean --config.optimizer.learning"),
        ('{"optimizer.learning_rate": [-1.0]}', "a finite number above 0"),
        ('{"optimizer.loss": ["l1", "l3"]}', "one of l1, l2"),
        ('{"head.layers": Range(1, 5)}', "1, 2 or 3"),
        ('{"head.layers": [1.5]}', "takes a whole number"),
        ('{"optimizer.loss": Range(0, 1)}', "not a number"),
        ('{"model.dropout": Range(0.0, 0.1, log=True)}', "0 < low < high"),
        ('{"model.dropout": Range(0.2, 0.1)}', "low < high"),
        ('{"model.dropout": []}', "a list of choices or a Range"),
        ('{"folds.validation_fraction": [0.1]}', "what trials are compared on"),
        ("[1]", "must return a dictionary"),
        ("{}", "nothing to vary"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_space_is_checked_before_the_first_trial(place, capsys, space, message):
    code = "from cloud_jax.finetuning.space import Range\ndef get_search_space():\n"
    (place / "tiny.py").write_text(f"{CONFIG}\n{code}    return {space}\n")
    assert search.main([*COMMAND]) == 1
    assert message in capsys.readouterr().err
    assert not (place / "study").exists()


@pytest.mark.parametrize("name", ["a?b", "50%41", "{x}", "a#b", "a b&c=d"])
def test_the_study_is_in_the_folder_whatever_its_name(place, scores, name):
    before = set(place.iterdir())
    for n_trials in (1, 2):
        command = ("--config=tiny.py", f"--workdir={name}", f"--trials={n_trials}")
        assert search.main(command) == 0
    assert set(place.iterdir()) - before == {place / name}
    assert (place / name / "study.db").is_file()
    assert len(scores) == 2


def damaged_pages(path):
    content = path.read_bytes()
    path.write_bytes(content[:5000] + b"\xff" * 20000 + content[25000:])


def later_optuna(path):
    with sqlite3.connect(path) as connection:
        connection.execute("update alembic_version set version_num = 'v99'")


def another_program(path):
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("create table studies (name)")


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("not a database"),
        lambda path: path.write_bytes(path.read_bytes()[:50_000]),
        damaged_pages,
        later_optuna,
        another_program,
        lambda path: path.unlink() or path.mkdir(),
    ],
    ids=["text", "half", "pages", "later", "another", "folder"],
)
def test_a_study_that_cannot_be_used_is_one_line(place, scores, capsys, damage):
    assert search.main([*COMMAND, "--trials=1"]) == 0
    damage(place / "study" / "study.db")
    capsys.readouterr()
    assert search.main([*COMMAND, "--trials=2"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: study/study.db: not a study that Optuna can use (")


def test_other_settings_are_another_search(place, scores, capsys):
    assert search.main([*COMMAND, "--trials=1"]) == 0
    assert search.main([*COMMAND, "--config.seed=3"]) == 1
    assert "seed: 0 -> 3" in capsys.readouterr().err
    (place / "tiny.py").write_text(CONFIG)
    assert search.main([*COMMAND]) == 1
    assert "does not define get_search_space()" in capsys.readouterr().err
