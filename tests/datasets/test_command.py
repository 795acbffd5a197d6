"""`cloud-jax datasets` lists what there is, and says what is here."""

import json

import pytest
from configurations import configurations

from cloud_jax.config import finetuning, load_config, pretraining, split_task
from cloud_jax.datasets.command import main
from cloud_jax.datasets.matbench import TASKS


def test_every_data_set_has_a_licence_and_says_whether_it_is_here(tmp_path, capsys):
    assert main(["--json", "--data-dir", str(tmp_path)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    words = [row["word"] for row in rows]
    assert {"embedded", "matbench:phonons", "optimade:mp", "phonon", "thermal"} <= set(
        words
    )
    assert len(words) == len(set(words))
    assert all(row["licence"] and row["citation"] for row in rows)
    assert [row["word"] for row in rows if row["here"]] == ["embedded", "textbook"]


def test_one_data_set_in_words_for_people(tmp_path, capsys):
    (tmp_path / "matbench_phonons.json.gz").touch()
    assert main(["matbench:phonons", "--data-dir", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("matbench:phonons  [")
    assert "not here" not in text
    lines = text.splitlines()
    assert len(lines) == 5
    sha256 = TASKS["phonons"].sha256
    assert lines[3].startswith("  matbench_phonons.json.gz: https://")
    assert lines[3].endswith(f"with SHA256 {sha256}")
    assert lines[4] == "  used by configs/matbench.py:phonons"


def test_data_sets_name_the_configurations_that_read_them(capsys):
    """And every table of a configuration that is no file of a run is listed."""
    assert main(["--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    listed = {(row["word"], name) for row in rows for name in row["configurations"]}
    read = set()
    for name in configurations():
        path, task = split_task(name)
        if "config.pretraining()" in path.read_text():
            build = load_config(name, [], kind=pretraining).data.build
            words = build[:1]
        else:
            table = load_config(name, [], kind=finetuning).data.table
            kind, _, parts = table.partition(":")
            words = [table] if "/" not in table else []
            if kind == "discovery":
                words = [f"{kind}:{part}" for part in parts.split("+")]
            elif kind == "thermal":
                words = [kind]
        shown = f"configs/{path.name}" + (
            f":{task}" if path.stem in ("matbench", "unconvbench") else ""
        )
        if task == "textbook":
            shown += ":textbook"
        read |= {(word, shown) for word in words}
    assert listed == read


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["matbench:phonon"], "set 'matbench:phonon': did you mean matbench:phonons?"),
        (["--download"], "name the data sets to download"),
    ],
)
def test_wrong_usage(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_downloading_what_is_here_asks_no_server(tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("no request is needed")

    monkeypatch.setattr("requests.Session.request", fail)
    assert main(["embedded", "--download", "--data-dir", str(tmp_path)]) == 0
    assert "1,369 structures" in capsys.readouterr().out
