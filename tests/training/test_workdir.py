import json

import pytest

from cloud_jax.config import finetuning, pretraining
from cloud_jax.files import lock
from cloud_jax.training.errors import RunMismatchError
from cloud_jax.training.workdir import claim, differences


def enter(folder, *, active=True, **config):
    with claim(folder, config, active=active):
        return json.loads((folder / "config.json").read_text())


def test_settings_are_bound_to_a_folder_only_once_a_state_is_saved(tmp_path, capsys):
    folder = tmp_path / "run"
    assert enter(folder, seed=1) == {"seed": 1}
    (folder / "metrics.jsonl").write_text("{}\n")
    (folder / "nonfinite.json").write_text("{}")
    (folder / "tensorboard").mkdir()
    (folder / "checkpoints" / "5.orbax-checkpoint-tmp").mkdir(parents=True)
    assert enter(folder, seed=2) == {"seed": 2}
    assert "holds no checkpoint: the run begins at step 0" in capsys.readouterr().out
    names = {path.name for path in folder.iterdir()}
    assert names == {".lock", "config.json", "checkpoints"}
    (folder / "checkpoints" / "5").mkdir()
    (folder / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(RunMismatchError, match="seed: 2 -> 3"):
        enter(folder, seed=3)
    assert enter(folder, seed=2) == {"seed": 2}
    assert (folder / "metrics.jsonl").exists()


def test_other_processes_than_the_first_write_nothing(tmp_path):
    enter(tmp_path, seed=1)
    assert enter(tmp_path, active=False, seed=2) == {"seed": 1}


def test_a_damaged_config_is_named_once_there_is_something_to_lose(tmp_path):
    (tmp_path / "config.json").touch()
    assert enter(tmp_path, seed=1) == {"seed": 1}
    (tmp_path / "checkpoints" / "5").mkdir(parents=True)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(
        OSError, match=r"config\.json is empty or damaged .*; remove it"
    ):
        enter(tmp_path, seed=1)
    (tmp_path / "config.json").unlink()
    assert enter(tmp_path, seed=1) == {"seed": 1}


def test_nothing_is_changed_while_another_process_writes(tmp_path):
    enter(tmp_path, seed=1)
    with lock(tmp_path), pytest.raises(OSError, match="another run is writing it"):
        enter(tmp_path, seed=2)
    assert enter(tmp_path, active=False) == {"seed": 1}


def test_differences_name_keys_that_matter_and_only_those():
    old, new = pretraining().to_dict(), pretraining()
    new.log.every_steps = 7
    new.workdir = "elsewhere"
    new.mesh.fsdp = 8
    assert differences(old, new.to_dict()) == []
    new.optimizer.learning_rate = 1.0
    assert differences(old, new.to_dict()) == ["optimizer.learning_rate: 0.0001 -> 1.0"]


def test_a_run_of_an_earlier_version_resumes_without_the_settings_that_it_lacks():
    text = json.dumps(finetuning().to_dict())
    old, new = json.loads(text), json.loads(text)
    del old["targets"]["weights"], old["targets"]["factors"]
    del old["folds"]["exclude_twins"]
    assert differences(old, new) == []
    new["targets"]["factors"], new["folds"]["exclude_twins"] = [1.08], True
    assert differences(old, new) == [
        "folds.exclude_twins: absent -> True",
        "targets.factors: absent -> [1.08]",
    ]
    assert differences({"seed": 0}, {}) == ["seed: 0 -> absent"]


@pytest.mark.parametrize("stacked", [False, True])
def test_a_run_of_a_version_that_could_stack_layers_resumes_if_it_did_not(stacked):
    old, new = pretraining().to_dict(), pretraining().to_dict()
    old["model"]["scan_layers"] = stacked
    lines = ["model.scan_layers: True -> absent"] if stacked else []
    assert differences(old, new) == lines
