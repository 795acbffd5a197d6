from ast import literal_eval
from pathlib import Path

import pytest
from configurations import configurations

from cloud_jax.config import (
    ENCODER,
    ConfigError,
    finetuning,
    flatten,
    load_config,
    override,
    pretraining,
    settings_help,
    split_task,
)
from cloud_jax.config_rules import RULES
from cloud_jax.datasets.matbench import MatbenchSource
from cloud_jax.datasets.unconvbench import UnconvbenchSource
from cloud_jax.finetuning.rows import open_table
from cloud_jax.setting_names import ALIASES, nearest_key

ROOT = Path(__file__).resolve().parents[1]
CONFIG = str(ROOT / "configs/bert12.py")


@pytest.mark.parametrize("name", configurations(), ids=lambda name: Path(name).name)
def test_every_config_loads_and_keeps_the_default_keys(name):
    path, task = split_task(name)
    pretrains = "config.pretraining()" in path.read_text()
    kind = pretraining if pretrains else finetuning
    config = load_config(name, [], kind=kind)
    assert flatten(config).keys() == flatten(kind()).keys()
    assert config.is_locked
    assert config.workdir == f"runs/{path.stem}" + (f"_{task}" if task else "")


def test_each_task_of_the_benchmarks_has_its_configuration():
    listed = {
        f"{listing.word}"
        for source in (MatbenchSource, UnconvbenchSource)
        for listing in source.listings("nowhere")
    }
    for name in configurations():
        path, task = split_task(name)
        if path.stem not in ("matbench", "unconvbench"):
            continue
        config = load_config(name, [], kind=finetuning)
        source = open_table(config.data.table).source
        assert [*config.targets.columns] == [t.column for t in source.targets]
        assert [*config.targets.units] == [t.unit for t in source.targets]
        assert config.benchmark == f"{path.stem}_{task}"
        listed.remove(config.data.table)
    assert not listed


def test_a_configuration_begins_with_what_another_one_writes():
    written = {
        load_config(name, [], kind=kind).workdir
        for name in configurations()
        for kind in (pretraining, finetuning)
        if f"config.{kind.__name__}()" in split_task(name)[0].read_text()
    }
    for name in configurations():
        text = split_task(name)[0].read_text()
        if "config.finetuning()" in text:
            start = load_config(name, [], kind=finetuning).model.checkpoint
            assert start in ("", ENCODER) or start in written


def test_presets_are_the_papers():
    config = load_config(str(ROOT / "configs/bert12.py"), [], kind=pretraining)
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
        ("--config.model.token_features=false", "model.token_features", False),
        ("--config.data.path=some/where=odd", "data.path", "some/where=odd"),
        ("--config.mesh.fsdp=-1", "mesh.fsdp", -1),
    ],
)
def test_overrides_take_the_type_of_the_default(argument, key, value):
    config = pretraining()
    override(config, argument)
    found = flatten(config)[key]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.optimizer.learning_rat=1", "mean --config.optimizer.learning_rate"),
        ("--config.learning_rate=1", "did you mean --config.optimizer.learning_rate"),
        ("--config.nothing_like_it=1", "`--help` lists all settings"),
        ("--config.optimizer=1", "there is no setting optimizer;"),
        ("--config.seed=one", "seed takes a whole number, as in --config.seed=0"),
        ("--config.seed=1.5", "seed takes a whole number"),
        ("--config.model.token_features=1", "takes True or False"),
        ("--config.seed", "an override has the form"),
        (
            "--config.data.build=embedded",
            r"brackets, as in .*\('first', 'second'\)",
        ),
        ("--config.data.build=['embedded']", "takes several values in brackets"),
        ("--config.lr=1", r"did you mean --config.optimizer.learning_rate\?"),
        (
            "--config.batch_size=1",
            r"mean --config.data.batch_crystals\? \(crystals per",
        ),
        ("--config.epoch=1", r"did you mean --config.optimizer.epochs\?"),
        ("--config.layers=2", r"mean --config.model.preset\? \(.*LAYERSxWIDTH"),
        ("--config.gpus=2", r"did you mean --config.mesh.data\?"),
        ("--config.optimiser.epochs=2", r"did you mean --config.optimizer.epochs\?"),
        ("--config.model.learning_rate=2", "mean --config.optimizer.learning_rate"),
    ],
)
def test_wrong_overrides_say_what_is_right(argument, message):
    with pytest.raises(ConfigError, match=message):
        override(pretraining(), argument)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("batch_size", "optimizer.batch_crystals"),
        ("target", "targets.columns"),
        ("folds", "folds.random"),
        ("ensemble", "members"),
        ("csv", "data.table"),
        ("gpus", "members_at_once"),
        ("nothing_like_it", ""),
    ],
)
def test_usual_names_lead_to_the_settings_of_the_kind(key, meant):
    assert nearest_key(key, flatten(finetuning())) == meant


def test_every_usual_name_means_settings_that_exist():
    known = flatten(pretraining()).keys() | flatten(finetuning()).keys()
    assert {key for keys in ALIASES.values() for key in keys} <= known
    assert not ALIASES.keys() & known


def test_a_file_that_is_not_python_is_named(tmp_path):
    (tmp_path / "t.csv").write_text("id\n")
    with pytest.raises(ConfigError, match=r"t\.csv: found a file in \.csv"):
        load_config(str(tmp_path / "t.csv"), [], kind=pretraining)


def test_a_configuration_of_another_command_is_named():
    with pytest.raises(ConfigError, match="other command: cloud-jax finetune --c"):
        load_config(str(ROOT / "configs/thermal.py"), [], kind=pretraining)
    with pytest.raises(ConfigError, match="other command: cloud-jax pretrain --c"):
        load_config(CONFIG, [], kind=finetuning)


def test_a_misspelt_file_is_hinted_at():
    with pytest.raises(ConfigError, match=r"did you mean .*quickstart\.py"):
        load_config(str(ROOT / "configs/quikstart.py"), [], kind=pretraining)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("seed=-1", "a whole number from 0 below"),
        ("seed=4294967296", "a whole number from 0 below"),
        ("log.every_steps=0", "a whole number from 1"),
        ("model.dtype=float17", "one of auto, float32, bfloat16, float16"),
        ("model.dropout=1.5", "a number from 0 and below 1"),
        ("optimizer.epochs=-1", "a whole number from 1"),
        ("optimizer.clip_norm=0", "a finite number above 0"),
        ("optimizer.learning_rate=1e999", "a finite number above 0"),
        ("optimizer.weight_decay=-0.1", "a finite number from 0"),
        ("mask_fraction=0.0", "a number above 0 and below 1"),
        ("mask_fraction=1.5", "a number above 0 and below 1"),
        ("data.build=('embedded', 3)", "a tuple of texts"),
        ("data.build=(None,)", "a tuple of texts"),
        ("data.build=('a', ('b',))", "a tuple of texts"),
        ("data.build=('--output={pth}',)", "no placeholders but {path} and {dialect}"),
        ("data.build=('--output={}',)", "no placeholders but"),
        ("data.build=('--output={0}',)", "no placeholders but"),
        ("data.build=('--output={path.name}',)", "no placeholders but"),
        ("data.build=('--output={path:d}',)", "no placeholders but"),
        ("data.build=('--output={path',)", "no placeholders but"),
    ],
)
def test_values_out_of_range_name_key_found_and_expected(argument, expected):
    key, _, value = argument.partition("=")
    with pytest.raises(ConfigError, match=rf"config\.{key} is .*{expected}"):
        load_config(CONFIG, [f"--config.{key}={value}"], kind=pretraining)


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("folds.only=(0,)", "a tuple of texts"),
        ("targets.columns=(1,)", "a tuple of texts"),
        ("targets.units=('eV', None)", "a tuple of texts"),
        ("targets.bases=(b'atom',)", "a tuple of texts"),
        ("targets.properties=(('cv',),)", "a tuple of texts"),
        ("targets.temperatures_k=('300',)", "a tuple of finite numbers"),
        ("targets.temperatures_k=(True,)", "a tuple of finite numbers"),
        ("targets.temperatures_k=(1e999,)", "a tuple of finite numbers"),
    ],
)
def test_tuples_of_another_type_name_key_found_and_expected(argument, expected):
    key, _, value = argument.partition("=")
    file = str(ROOT / "configs/thermal.py")
    with pytest.raises(ConfigError, match=rf"config\.{key} is .*{expected}"):
        load_config(file, [f"--config.{key}={value}"], kind=finetuning)


@pytest.mark.parametrize("kind", [pretraining, finetuning])
def test_every_number_has_a_range(kind):
    defaults = flatten(kind())
    numbers = {k for k, v in defaults.items() if type(v) in (int, float)}
    assert numbers - {"mesh.data", "mesh.fsdp", "mesh.tensor"} <= RULES.keys()


@pytest.mark.parametrize("kind", [pretraining, finetuning])
def test_help_lists_every_setting_with_its_default(kind):
    words = settings_help(kind).split()
    for key, value in flatten(kind()).items():
        shown = [word for word in words if word.startswith(f"--config.{key}=")]
        assert [literal_eval(word.partition("=")[2]) for word in shown] == [value]


def test_every_rule_has_a_key():
    assert RULES.keys() <= flatten(pretraining()).keys() | flatten(finetuning()).keys()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", r"mine\.py.*SyntaxError"),
        ("\nimport nothing_like_it", r"mine\.py, line 2: ModuleNotFoundError"),
        ("x = 1", r"mine\.py does not define get_config"),
        (
            "def get_config():\n    return 3",
            "must return the ConfigDict .* found a int",
        ),
        (
            "import ml_collections\n"
            "def get_config():\n"
            "    return ml_collections.ConfigDict({'sead': 1})",
            r"missing keys .*'seed'.* unknown keys \['sead'\]",
        ),
        (
            "from cloud_jax import config\n"
            "def get_config():\n"
            "    c = config.pretraining()\n"
            "    c.sead = 1\n",
            r"mine\.py, line 4: AttributeError.*sead",
        ),
    ],
    ids=["syntax", "import", "nothing", "number", "keys", "misspelt"],
)
def test_a_file_that_returns_no_configuration_is_named(tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        load_config(str(tmp_path / "mine.py"), [], kind=pretraining)


TASKS = """
from cloud_jax import config

TASKS = {"phonons": 60, "dielectric": 40}

def get_config(task):
    c = config.finetuning()
    c.optimizer.epochs = TASKS[task]
    return c
"""


@pytest.fixture
def tasks(tmp_path):
    """A configuration file with two tasks."""
    (tmp_path / "matbench.py").write_text(TASKS)
    return str(tmp_path / "matbench.py")


def test_a_task_is_chosen_after_a_colon(tasks):
    config = load_config(f"{tasks}:phonons", [], kind=finetuning)
    assert config.optimizer.epochs == 60
    assert config.workdir == "runs/matbench_phonons"
    override = "--config.optimizer.epochs=3"
    config = load_config(f"{tasks}:dielectric", [override], kind=finetuning)
    assert config.optimizer.epochs == 3


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("", r"the task is missing; give one as in --config=.*matbench\.py:phonons"),
        (":", r"the task is missing; give one as in --config=.*matbench\.py:phonons"),
        (
            ":phonon",
            r"no task 'phonon'; did you mean .*matbench\.py:phonons\?",
        ),
        (":xyz", r"no task 'xyz'; give one .* Tasks: phonons, dielectric"),
    ],
)
def test_a_missing_or_unknown_task_is_answered_with_the_tasks(tasks, task, message):
    with pytest.raises(ConfigError, match=message):
        load_config(tasks + task, [], kind=finetuning)


def test_a_task_of_a_file_without_tasks_is_refused():
    with pytest.raises(ConfigError, match="has no tasks; found the task 'phonons'"):
        load_config(f"{CONFIG}:phonons", [], kind=pretraining)
