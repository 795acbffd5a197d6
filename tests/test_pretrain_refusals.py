"""How a run is refused or stopped: a message, an exit code, nothing half-written."""

import json
import math
import re
import sys

import jax
import pytest
from synthetic_dataset import CONFIG, write_dataset

from cloud_jax import pretrain
from cloud_jax.cli import Exit


@pytest.fixture(scope="module", autouse=True)
def compile_quickly():
    """Skip optimisation: most programs of these tests run once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return the current directory, with a data set and a short configuration."""
    monkeypatch.chdir(tmp_path)
    write_dataset(tmp_path / "dataset", n_train=80, n_validation=10)
    text = CONFIG.replace("steps = 24", "steps = 2")
    (tmp_path / "tiny.py").write_text(text)
    return tmp_path


def command(*arguments):
    return pretrain.main(["--config", "tiny.py", "--workdir=run", *arguments])


def test_a_finished_run_says_so_and_what_does_not_fit_it_is_refused(place, capsys):
    assert command() == 0
    assert command("--config.log.every_steps=1") == 0  # this may differ
    assert "run has finished" in capsys.readouterr().out
    before = (place / "run" / "config.json").read_text()
    assert command("--config.optimizer.learning_rate=1e-2") == Exit.FAILED
    message = capsys.readouterr().err
    assert "optimizer.learning_rate: 0.003 -> 0.01" in message
    assert "another --workdir" in message
    write_dataset(place / "larger", n_train=90)
    assert command("--config.data.path=larger") == Exit.FAILED
    assert "hashes.dataset" in capsys.readouterr().err
    assert (place / "run" / "config.json").read_text() == before

    (place / "run" / "results.json").write_text("")
    assert command() == Exit.FAILED
    assert "results.json is empty or damaged" in capsys.readouterr().err
    (place / "run" / "results.json").unlink()
    (place / "run" / "checkpoints" / "2" / "progress" / "metadata").write_text("")
    assert command() == Exit.FAILED
    message = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"error: .*/checkpoints/2: .* Remove that folder", message)


def test_a_loss_that_is_not_finite_names_the_crystals(place, capsys):
    code = command("--config.optimizer.learning_rate=1e38", "--config.seed=3")
    assert code == Exit.DOUBTFUL
    found = json.loads((place / "run" / "nonfinite.json").read_text())
    assert found["step"] == 2  # warm-up is over after a step of rate 0
    assert len(found["record_ids"]) > 5
    assert all(name.startswith("made-") for name in found["record_ids"])
    assert found["record_ids"][0] in capsys.readouterr().err
    assert not (place / "run" / "results.json").exists()


def test_a_validation_loss_that_is_not_finite_is_never_saved(
    place, capsys, monkeypatch
):
    monkeypatch.setattr(
        "cloud_jax.training.run.evaluate", lambda *_, **__: {"loss": math.nan}
    )
    assert command() == Exit.DOUBTFUL
    assert "step 2: validation loss nan. No checkpoint" in capsys.readouterr().err
    assert json.loads((place / "run" / "nonfinite.json").read_text())["step"] == 2
    assert not list((place / "run" / "checkpoints").glob("*"))


@pytest.mark.parametrize(
    ("function", "code", "message"),
    [
        ("make_steps", Exit.STOPPED, "nothing was kept"),
        ("baseline_means", Exit.RESUMABLE, "run it again to resume"),
    ],
)
def test_ctrl_c_outside_the_loop_says_whether_something_is_kept(
    place, capsys, monkeypatch, function, code, message
):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"cloud_jax.training.run.{function}", stop)
    assert command() == code
    found = capsys.readouterr()
    assert message in found.out + found.err
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert command() == Exit.DONE


def test_an_empty_split_is_named_before_anything_is_written(place, capsys):
    write_dataset(place / "whole", n_train=80, n_validation=0)
    assert command("--config.data.path=whole") == Exit.FAILED
    message = capsys.readouterr().err
    assert "whole: the validation split holds no crystal" in message
    assert "--validation-fraction" in message
    assert not (place / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.optimizer.learning_rat=1"], "did you mean"),
        (["--config.data.path=nowhere"], "there is no data set at nowhere"),
        (["--config.data.dialect=paper"], "is in the canonical dialect"),
        (["--config.data.row_length=16"], "give --config.data.row_length=32"),
        (["--config.log.every_steps=0"], "config.log.every_steps is 0, it must be"),
        (["--config.mesh.fsdp=3"], "does not fit 8 devices"),
        (["--config.mesh.tensor=2"], "does not divide the model's 1"),
        (["--config.model.preset=bert99"], "unknown model preset 'bert99'"),
        (["--workdir=gs://bucket/run"], "mount the bucket"),
        (["--distributed=manual"], "needs --coordinator"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_what_to_correct_is_said_before_anything_is_written(
    place, capsys, arguments, message
):
    assert command(*arguments) == Exit.FAILED
    assert message in capsys.readouterr().err
    assert not (place / "run").exists()


def test_a_missing_data_set_is_built_by_another_process(place, capfd, monkeypatch):
    builder = place / "builder"  # stands in for the interpreter
    builder.write_text("#!/bin/sh\nfor last; do :; done\nmv dataset $last\n")
    builder.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(builder))
    text = (place / "tiny.py").read_text()
    new = '"new"\n    c.data.build = ("embedded", "{path}")'
    (place / "tiny.py").write_text(text.replace('"dataset"', new))
    assert command("--config.mesh.fsdp=3") == Exit.FAILED  # built, then stopped
    out, _ = capfd.readouterr()
    assert "building new: cloud-jax preprocess embedded new" in out
    assert (place / "new" / "manifest.json").exists()


def test_a_full_disk_stops_with_a_message(place, capsys, monkeypatch):
    monkeypatch.setattr(
        "cloud_jax.training.metrics_log.truncate_after",
        lambda path, _: path.symlink_to("/dev/full"),
    )
    assert command() == Exit.FAILED
    assert "No space left on device" in capsys.readouterr().err
