from pathlib import Path

import pytest

from cloud_jax import configuration
from cloud_jax.configuration import ConfigurationError, differences, load, override

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.py")), ids=str)
def test_every_config_loads_and_keeps_the_default_keys(path):
    config = load(str(path), [])
    assert (
        configuration.flatten(config).keys()
        == configuration.flatten(configuration.pretraining()).keys()
    )
    assert config.is_locked
    assert config.workdir == f"runs/{path.stem}"


def test_presets_are_the_papers():
    config = load(str(ROOT / "configs/bert12.py"), [])
    assert config.optimizer.to_dict() == {
        "learning_rate": 1e-4,
        "warmup_fraction": 0.05,
        "weight_decay": 0.0,
        "clip_norm": 1.0,
        "epochs": 50,
        "steps": 0,
    }
    assert config.data.batch_crystals == 2048


@pytest.mark.parametrize(
    ("argument", "key", "value"),
    [
        ("--config.seed=7", "seed", 7),
        ("--config.optimizer.learning_rate=1e-3", "optimizer.learning_rate", 1e-3),
        ("--config.optimizer.learning_rate=1", "optimizer.learning_rate", 1.0),
        ("--config.model.scan_layers=true", "model.scan_layers", True),
        ("--config.data.path=some/where=odd", "data.path", "some/where=odd"),
        ("--config.mesh.fsdp=-1", "mesh.fsdp", -1),
    ],
)
def test_overrides_take_the_type_of_the_default(argument, key, value):
    config = configuration.pretraining()
    override(config, argument)
    found = configuration.flatten(config)[key]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.optimizer.learning_rat=1", "mean --config.optimizer.learning_rate"),
        ("--config.learning_rate=1", "did you mean --config.optimizer.learning_rate"),
        ("--config.nothing_like_it=1", "see --help for all"),
        ("--config.optimizer=1", "there is no such key"),
        ("--config.seed=one", "seed takes a int"),
        ("--config.seed=1.5", "seed takes a int"),
        ("--config.model.scan_layers=1", "takes a bool"),
        ("--config.seed", "overrides look like"),
    ],
)
def test_wrong_overrides_say_what_is_right(argument, message):
    with pytest.raises(ConfigurationError, match=message):
        override(configuration.pretraining(), argument)


def test_a_misspelt_file_is_hinted_at():
    with pytest.raises(ConfigurationError, match=r"did you mean .*quickstart\.py"):
        load(str(ROOT / "configs/quikstart.py"), [])


def test_differences_name_keys_that_matter_and_only_those():
    old, new = configuration.pretraining().to_dict(), configuration.pretraining()
    new.log.every_steps = 7
    new.workdir = "elsewhere"
    new.mesh.fsdp = 8
    assert differences(old, new.to_dict()) == []
    new.optimizer.learning_rate = 1.0
    assert differences(old, new.to_dict()) == ["optimizer.learning_rate: 0.0001 -> 1.0"]
