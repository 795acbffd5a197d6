"""How a run is refused or stopped: a message, an exit code, nothing half-written."""

import json
import math
import re
import sys

import jax
import jax.numpy as jnp
import pytest
from synthetic_dataset import CONFIG, write_dataset

from cloud_jax import pretrain
from cloud_jax.cli import Exit
from cloud_jax.training import optim

pytestmark = pytest.mark.usefixtures("compile_quickly")


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
    message = capsys.readouterr().err
    assert "step 2: validation loss nan. Run the same command with a lower" in message
    assert "Nothing is saved" in message
    log = (place / "run" / "metrics.jsonl").read_text()
    assert "NaN" not in log
    assert json.loads((place / "run" / "nonfinite.json").read_text())["step"] == 2
    assert not list((place / "run" / "checkpoints").glob("*"))


@pytest.fixture
def broken_rate(monkeypatch):
    """Return a function that makes the learning rate NaN from an update on."""
    schedule = optim.schedule

    def break_at(step):
        monkeypatch.setattr(
            "cloud_jax.training.optim.schedule",
            lambda **options: (
                lambda n: jnp.where(n >= step, jnp.nan, schedule(**options)(n))
            ),
        )

    return break_at


def test_after_a_state_that_is_not_finite_a_lower_rate_resumes(
    place, capsys, broken_rate, monkeypatch
):
    often = ("--config.optimizer.steps=8", "--config.checkpoint.every_steps=2")
    lower = "--config.optimizer.learning_rate=1e-3"
    with monkeypatch.context():
        # The update that makes the parameters NaN has a finite loss.
        broken_rate(5)
        assert command(*often) == Exit.DOUBTFUL
    message = capsys.readouterr().err
    assert "error: step 6: the update made the state infinite or NaN" in message
    assert "resumes from step 4, which is finite" in message
    assert "remove run/checkpoints/4 to resume from step 2" in message
    saved = place / "run" / "checkpoints"
    assert sorted(path.name for path in saved.iterdir()) == ["2", "4"]
    monkeypatch.undo()
    monkeypatch.chdir(place)

    # Only that setting, and only downwards.
    assert command(*often, lower, "--config.seed=1") == Exit.FAILED
    assert command(*often, "--config.optimizer.learning_rate=1") == Exit.FAILED
    assert "learning_rate: 0.003 -> 1.0" in capsys.readouterr().err
    assert command(*often, lower) == Exit.DONE
    assert "learning rate 0.001 instead of 0.003" in capsys.readouterr().out
    report = json.loads((place / "run" / "nonfinite-6.json").read_text())
    assert (report["learning_rate"], report["lowered_to"]) == (0.003, 0.001)
    config = json.loads((place / "run" / "config.json").read_text())
    assert config["optimizer"]["learning_rate"] == 0.001
    lines = (place / "run" / "metrics.jsonl").read_text().splitlines()
    rates = {e["step"]: e["learning_rate"] for e in map(json.loads, lines)
             if e["split"] == "train"}  # fmt: skip
    assert rates[4] > 0.001 > rates[6]

    # Once it has resumed, the rate is bound again, whatever report is left.
    (place / "run" / "nonfinite.json").write_text('{"step": 6}')
    assert command(*often, "--config.optimizer.learning_rate=1e-4") == Exit.FAILED
    assert "learning_rate: 0.001 -> 0.0001" in capsys.readouterr().err


def test_a_run_that_memory_does_not_hold_says_what_to_lower(place, capsys, monkeypatch):
    def exhaust(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: 9 GiB\nand where")

    monkeypatch.setattr("cloud_jax.training.loop.Trainer.run", exhaust)
    assert command() == Exit.FAILED
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert re.match(
        r"error: memory does not hold this run: lower config.data.batch_crystals.*"
        r"config.mesh.fsdp \(RESOURCE_EXHAUSTED: 9 GiB\)",
        line,
    )


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
