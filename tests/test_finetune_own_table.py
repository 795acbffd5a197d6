"""A table and its targets, nothing else: numbers and classes, and the same again."""

import csv
import json

import numpy as np
import pytest
from crystal_table import crystals, debye_temperature, write_encoder, write_table
from scipy.special import logit

import cloud_jax
from cloud_jax import finetune
from cloud_jax.cli import Exit
from cloud_jax.models.folder import load_model

pytestmark = pytest.mark.usefixtures("compile_quickly")
COMMAND = ["table.csv", "--target=y,hot", "--folds=2", "--unit=ln K"]
QUICK = [
    "--config.model.checkpoint=encoder", "--config.optimizer.epochs=6",
    "--config.optimizer.learning_rate=3e-3", "--config.optimizer.batch_crystals=64",
    "--config.members=1",
]  # fmt: skip


def is_hot(i, record):
    """Say whether a crystal is; two labels are missing."""
    return "" if i in (3, 4) else str(debye_temperature(record) > 440)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    write_table(
        folder / "table.csv", 60, hot=is_hot, y=lambda i, r: np.log(i + 1) if i else "x"
    )
    write_encoder(folder / "encoder")
    return folder


@pytest.fixture(scope="module")
def run(place):
    """Return the work directory and what was printed."""
    with pytest.MonkeyPatch.context() as patch, pytest.MonkeyPatch.context() as out:
        patch.chdir(place)
        lines = []
        out.setattr("builtins.print", lambda *words, **_: lines.append(" ".join(words)))
        assert finetune.main([*COMMAND, *QUICK]) == Exit.DONE
    return place / "runs" / "table_y_hot", "\n".join(lines)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_found_and_chosen_is_said(run):
    folder, said = run
    assert "crystals  column scope: sentences" in said
    assert "ids       column id" in said
    assert (
        "y: 59 labels, numbers from 0.693147 to 4.09434; 1 set aside, as 'x' in" in said
    )
    assert "hot: 58 labels, two classes" in said
    assert "rows of one reduced formula stay together" in said
    assert "the batch shrinks from 64 to " in said
    assert f"{folder.relative_to(folder.parents[1])}/config.py" in said
    assert "a random forest on the elements of the formula alone" in said
    assert "parity.png, classes.png" in said


def test_numbers_and_classes_of_one_run(run):
    folder, _ = run
    results = json.loads((folder / "results.json").read_text())
    (reject,) = read(folder / "rejects.csv")
    assert (reject["id"], reject["code"]) == ("x-0", "bad_target")
    assert results["labels"] == {"y": 59, "hot": 57}
    assert results["ensemble"]["hot"]["roc_auc"]["mean"] > 0.6  # the formula decides
    assert results["ensemble"]["y"]["mae"]["mean"] > 0
    assert results["baselines"]["mean"]["hot"]["roc_auc"]["mean"] == 0.5
    assert "validation_loss_over_baseline" in results
    assert [figure["file"] for figure in results["figures"]] == [
        "parity.png",
        "classes.png",
    ]
    rows = [r for r in read(folder / "predictions.csv") if r["target"] == "hot"]
    for row in rows:
        probability = float(row["probability"])
        assert row["predicted"] == ("true" if probability >= 0.5 else "false")
    assert [row["true"] for row in rows if row["id"] in ("x-3", "x-4")] == ["", ""]
    formulas = {
        f"x-{i}": record.canonical.rpartition("|")[2]
        for i, (record, _) in enumerate(crystals(60))
    }
    folds = {}
    for row in rows:
        folds.setdefault(formulas[row["id"]], set()).add(row["fold"])
    assert all(len(found) == 1 for found in folds.values())


def test_the_model_gives_the_probability_of_the_run(run):
    folder, _ = run
    description = load_model(folder).description
    assert description["version"] == 2
    assert description["head"]["kind"] == "regression"  # with a number among them
    hot = description["targets"][1]
    assert (hot["positive"], hot["classes"]) == ("true", ["false", "true"])
    assert description["calibration"]["temperatures"].keys() == {"hot"}
    rows = read(folder / "predictions.csv")
    rows = [r for r in rows if (r["target"], r["fold"]) == ("hot", "fold_0")]
    structures = [crystals(60)[int(row["id"][2:])][1] for row in rows]
    frame = cloud_jax.load(folder).predict(structures)
    frame = frame[frame.property == "probability of hot"]
    assert frame.lower.isna().all()
    # One of two members tested these rows, with the temperature of its fold: apart from
    # that factor its logits are those of the run.
    of_run = logit([float(row["probability"]) for row in rows])
    ends = [logit(frame.value + sign * frame.spread / 2**0.5) for sign in (-1, 1)]

    def agree(ratio):
        away = np.min([np.abs(end - ratio * of_run) for end in ends], axis=0)
        return (away < 1e-3).all()

    assert any(agree(end.iloc[0] / of_run[0]) for end in ends)


def test_the_written_file_repeats_the_run_to_the_bit(run, place, monkeypatch):
    folder, _ = run
    monkeypatch.chdir(place)
    arguments = ["--config", str(folder / "config.py"), "--workdir=again"]
    assert finetune.main(arguments) == Exit.DONE
    for name in ("predictions.csv", "results.json", "model/weights.safetensors"):
        assert (place / "again" / name).read_bytes() == (folder / name).read_bytes()
    before = (folder / "config.py").read_bytes()
    assert finetune.main([*COMMAND, *QUICK]) == Exit.DONE  # finished before
    assert (folder / "config.py").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give a table (my.csv --target band_gap) or a file of settings"),
        (["table.csv", "--config=c.py"], "give a table"),
        (["--config=c.py", "--target=y"], "--target: for a table, not for --config"),
        ([*COMMAND, "--unit=eV"], "--unit: found 2, expected one for each numeric"),
        (["table.csv", "--target=y", "--folds=1"], "found '1', expected 2 or more"),
    ],
)
def test_arguments_that_do_not_go_together(
    arguments, message, place, monkeypatch, capsys
):
    monkeypatch.chdir(place)
    with pytest.raises(SystemExit) as stopped:
        finetune.main(arguments)
    assert stopped.value.code == Exit.USAGE
    assert message in capsys.readouterr().err


def test_a_missing_column_leaves_no_folder(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert finetune.main(["table.csv", "--target=hott"]) == Exit.FAILED
    assert "no column 'hott'; did you mean hot?" in capsys.readouterr().err
    assert not (place / "runs" / "table_hott").exists()
