"""Settings of a run: their defaults, configuration files, command-line overrides.

A configuration is a locked `ml_collections.ConfigDict`; only entry points see it.
Importing this module loads neither jax nor anything that needs it.

`ml_collections.config_flags` has the types too, but its message for a misspelt key is a
bare AttributeError that does not look into other groups, and it checks no range.
"""

import ast
import importlib.util
import inspect
import re
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cloud_jax.arguments import command_line, nearest
from cloud_jax.config_rules import RULES
from cloud_jax.setting_names import nearest_key

_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    tuple: "several values in brackets",
}
_SETTING = re.compile(r"(?m)^    c\.([\w.]+) = (.*?)(?:  # (.*))?$")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says what to change."""


# The pretrained encoder in the package (configs/properties.py).
ENCODER = str(Path(__file__).parent / "weights" / "encoder")


def pretraining() -> ConfigDict:
    """Return the paper's pretraining settings (Table S1); configs/*.py change them."""
    c = ConfigDict()
    c.seed = 0
    c.workdir = ""  # empty: runs/FILE, or runs/FILE_TASK

    c.data = ConfigDict()
    c.data.path = "datasets/corpus"  # a folder that `cloud-jax preprocess` made
    c.data.dialect = "canonical"  # checked against the folder's: canonical or paper
    c.data.build = ()  # arguments of `cloud-jax preprocess` that make a missing one
    c.data.batch_crystals = 2048  # crystals per global batch, on average
    c.data.row_length = 128  # tokens per row of packed crystals

    c.model = ConfigDict()
    c.model.preset = "bert12"  # small, bert1, 3, 6 or 12, or LAYERSxWIDTH as in 2x96
    c.model.token_features = True  # add projected physical descriptors of the tokens
    c.model.dtype = "auto"  # compute: bfloat16 on GPU and TPU, float32 on CPU
    c.model.kernels = ""  # of models/kernels.py, or none; empty: the backend's
    c.model.dropout = 0.1
    c.model.attention_dropout = 0.1

    c.mask_fraction = 0.15  # share of the tokens to predict

    c.optimizer = ConfigDict()
    c.optimizer.learning_rate = 1e-4
    c.optimizer.warmup_fraction = 0.05  # then cosine to 0
    c.optimizer.weight_decay = 0.0
    c.optimizer.clip_norm = 1.0  # of the global gradient
    c.optimizer.epochs = 50
    c.optimizer.steps = 0  # above 0: replaces epochs

    c.mesh = ConfigDict()
    c.mesh.data = -1  # sizes multiply to the number of devices; -1: what remains
    c.mesh.fsdp = 1
    c.mesh.tensor = 1

    c.evaluate = ConfigDict()
    c.evaluate.every_steps = 500
    c.evaluate.max_batches = 0  # 0: the whole validation split
    c.evaluate.mask_seed = 0  # of the masks, the same at every evaluation

    c.checkpoint = ConfigDict()
    c.checkpoint.every_steps = 500  # and after every evaluation
    c.checkpoint.keep = 2  # number of the latest to keep, beside the best

    c.log = ConfigDict()
    c.log.every_steps = 50

    c.distributed = ConfigDict()
    c.distributed.timeout_s = 300  # seconds to wait for the other processes
    return c.lock()


def finetuning() -> ConfigDict:
    """Return our settings of fine-tuning; configs/*.py change them."""
    c = ConfigDict()
    c.benchmark = ""  # such as matbench_phonons, by which `study report` knows it
    c.note = ""  # for readers: how these rows differ from the benchmark's
    c.seed = 0
    c.workdir = ""  # empty: runs/FILE, or runs/FILE_TASK

    c.data = ConfigDict()
    c.data.table = ""  # CSV, Parquet, JSON: one row per crystal; or matbench:phonons
    c.data.folder = "data"  # of public data sets: searched first, downloaded to
    c.data.id_column = "id"  # empty: the line of the row, as in line-12
    c.data.structure_column = "structure"  # path, CIF or POSCAR text, or JSON
    c.data.scope_column = ""  # of ready sentences, instead of structures
    c.data.dataset = ""  # a folder of `cloud-jax preprocess` instead, joined by id
    c.data.n_atoms_column = ""  # of the primitive cell; empty: from the structure
    c.data.group_column = ""  # random folds do not separate the rows of a group
    c.data.dialect = "canonical"  # the checkpoint's, where there is one

    c.targets = ConfigDict()
    c.targets.columns = ()  # one entry per target, as in the four below
    c.targets.properties = ()  # physical properties; for a law, among its own
    c.targets.units = ()
    c.targets.bases = ()  # cell, atom, formula or gram; "" where none applies
    c.targets.temperatures_k = ()  # 0 where none applies
    c.targets.weights = ()  # of their errors in the loss; empty: 1 each
    c.targets.positives = ()  # of two classes the predicted one; "" for numbers
    c.targets.factors = ()  # ratio of the labels to what the law gives; empty: 1 each

    c.folds = ConfigDict()
    c.folds.column = ""  # holds train and test, or the fold that tests the row
    c.folds.file = ""  # instead of a column, JSON: {"fold_0": [test ids], ...}
    c.folds.random = 0  # instead of both, number of random folds
    c.folds.group = ""  # formula: random folds do not separate rows of one formula
    c.folds.seed = 0
    c.folds.only = ()  # names of the folds to run; empty: all
    c.folds.protocol = "strict"  # strict: validation rows leave the training rows
    c.folds.validation_fraction = 0.1  # of the training rows; the paper takes 0.25
    c.folds.exclude_twins = False  # no training row has the sentence of a held-out row
    c.members = 5  # of the ensemble per fold, each with its own seed
    c.members_at_once = 0  # side by side; 0: one per CPU core, all on GPU or TPU

    c.model = ConfigDict()
    c.model.checkpoint = ""  # pretrained or fine-tuned; empty: from scratch
    c.model.preset = "small"  # as in pretraining
    c.model.token_features = True
    c.model.max_tokens = 128  # longest sentence
    c.model.dtype = "auto"
    c.model.kernels = ""  # as in pretraining
    c.model.dropout = 0.1
    c.model.attention_dropout = 0.1

    c.head = ConfigDict()
    c.head.law = ""  # of physics.mixtures, or package.module:LAW; empty: regression
    c.head.layers = 1  # hidden layers: 1, 2 or 3

    c.optimizer = ConfigDict()
    c.optimizer.loss = "l1"  # l1 or l2
    c.optimizer.epochs = 100
    c.optimizer.batch_crystals = 32  # per member's batch, on average
    c.optimizer.learning_rate = 1e-4
    c.optimizer.warmup_fraction = 0.05  # then cosine to 0
    c.optimizer.weight_decay = 0.0
    c.optimizer.clip_norm = 1.0  # of the global gradient
    c.optimizer.layer_decay = 1.0  # ratio of a layer's rate to that of the layer above
    c.optimizer.frozen_epochs = 0  # at the start, in which only the head learns

    c.checkpoint = ConfigDict()
    c.checkpoint.every_epochs = 20
    c.confidence = 0.9  # coverage of the intervals
    c.baselines = False  # also score the mean, and a random forest on formulas
    return c.lock()


def benchmark(name: str, table: str, column: str, unit: str) -> ConfigDict:
    """Return fine-tuning on one target of a public benchmark, over all its folds.

    Args:
        name: such as `matbench_phonons`, by which `cloud-jax study report` knows it.
        table: a public data set, or a file with its columns `id`, `structure`, `fold`.
        column: of the target.
        unit: of the target; empty where it has none.
    """
    c = finetuning()
    c.benchmark = name
    c.data.table = table
    c.targets.columns = c.targets.properties = (column,)
    c.targets.units = (unit,)
    c.targets.bases = ("",)
    c.targets.temperatures_k = (0.0,)
    c.folds.column = "fold"
    c.model.checkpoint = ENCODER
    c.model.dropout = c.model.attention_dropout = 0.05
    c.members = 1
    return c


def load_config(
    path: str, overrides: Sequence[str], *, kind: Callable[[], ConfigDict]
) -> ConfigDict:
    """Run `get_config()` of a file and apply `--config.KEY=VALUE` arguments.

    Args:
        path: of the file; `FILE:TASK` where the file has `TASKS`, a dictionary whose
            keys `get_config(task)` takes.
        overrides: in the order in which they apply.
        kind: `pretraining` or `finetuning`, whose keys the file may change.

    Returns:
        The locked configuration; without a workdir of its own, `runs/FILE` or
        `runs/FILE_TASK` is filled in.

    Raises:
        ConfigError: no such file or task, a file that does not run, an unknown key,
            or a value of the wrong type or out of its range.
    """
    file, task = split_task(path)
    config = call_config_function(path, "get_config")
    if difference := _unlike(config, kind()):
        for command, other in {"pretrain": pretraining, "finetune": finetuning}.items():
            if not _unlike(config, other()):
                words = command_line(["cloud-jax", command, "--config", path])
                raise ConfigError(f"--config: {file} is for another command: {words}")
        raise ConfigError(
            f"--config: get_config() of {file} must return the ConfigDict of "
            f"cloud_jax.config.{kind.__name__}() with some values changed; "
            f"found {difference}"
        )
    if not config.workdir:
        config.workdir = f"runs/{file.stem}" + (f"_{task}" if task else "")
    return apply_overrides(config, overrides, str(file))


def apply_overrides(
    config: ConfigDict, overrides: Sequence[str], source: str
) -> ConfigDict:
    """Apply `--config.KEY=VALUE` arguments; return the configuration, locked.

    Args:
        config: to change.
        overrides: in the order in which they apply.
        source: of the configuration, for messages.

    Raises:
        ConfigError: an unknown key, or a value of the wrong type or out of its range.
    """
    config.lock()
    for argument in overrides:
        override(config, argument)
    for key, value in flatten(config).items():
        expected, holds = RULES.get(key, ("", lambda _: True))
        if not holds(value):
            raise ConfigError(
                f"config.{key} is {value!r}, it must be {expected}: "
                f"give --config.{key}=VALUE or correct {source}"
            )
    return config


def split_task(path: str) -> tuple[Path, str]:
    """Return the file and the task of `FILE.py:TASK`; without one, an empty task."""
    file, colon, task = path.rpartition(":")
    return (Path(file), task) if colon and file.endswith(".py") else (Path(path), "")


def call_config_function(path: str, name: str, example: str = "") -> Any:
    """Return what a function of a configuration file returns.

    Args:
        path: of the file, or `FILE:TASK`.
        name: of the function; it is called with the task if it takes an argument.
        example: of what it returns, for the message of a file that does not have it.

    Raises:
        ConfigError: no such file, task or function, or whatever else the file raises.
    """
    file, task = split_task(path)
    if not file.is_file():
        near = nearest(file.stem, (f.stem for f in file.parent.glob("*.py")), 0.45)
        hint = f"; did you mean {file.with_name(near)}.py?" if near else ""
        raise ConfigError(f"--config: no file {file}{hint}")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None:
        raise ConfigError(
            f"--config: {file}: found a file in {file.suffix or 'no suffix'}, expected "
            "a Python file (.py) that defines get_config(), such as those in configs/"
        )
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        if not hasattr(module, name):
            example = example and f", which returns for example {example}"
            raise ConfigError(f"--config: {file} does not define {name}(){example}")
        function, tasks = getattr(module, name), getattr(module, "TASKS", {})
        _check_task(file, task, list(tasks))
        return function(*([task] if inspect.signature(function).parameters else []))
    except ConfigError:
        raise
    except Exception as error:  # a configuration file may raise anything
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename) == file]
        where = f", line {lines[-1]}" if lines else ""
        raise ConfigError(
            f"--config: {file}{where}: {type(error).__name__}: {error}"
        ) from error


def _check_task(file: Path, task: str, tasks: list[str]) -> None:
    """Raise ConfigError, which lists the tasks, unless a file has the one asked for."""
    if task in tasks or not (task or tasks):
        return
    tasks = [name for name in tasks if name]
    if not tasks:
        raise ConfigError(f"--config: {file} has no tasks; found the task {task!r}")
    if near := nearest(task, tasks, 0.45):
        hint = f"did you mean --config={file}:{near}?"
    else:
        hint = f"give one as in --config={file}:{tasks[0]}."
    what = f"no task {task!r}" if task else "the task is missing"
    raise ConfigError(f"--config: {file}: {what}; {hint} Tasks: {', '.join(tasks)}")


def _unlike(config: Any, default: ConfigDict) -> str:
    """Describe how something differs from a configuration with the default's keys."""
    if not isinstance(config, ConfigDict):
        return f"a {type(config).__name__}"
    found, expected = flatten(config).keys(), flatten(default).keys()
    if found == expected:
        return ""
    missing, extra = sorted(expected - found), sorted(found - expected)
    return f"missing keys {missing} and unknown keys {extra}"


def near_setting(key: str, text: str) -> str:
    """Return the setting that a flag such as `--lr` means; empty if none.

    Args:
        key: without its dashes.
        text: of the help; its settings are known, or all where it has none.
    """
    known = re.findall(r"--config\.([a-z_.]+)=", text)
    return nearest_key(key, known or [*flatten(finetuning()), *flatten(pretraining())])


def override(config: ConfigDict, argument: str) -> None:
    """Apply one `--config.KEY=VALUE`.

    Raises:
        ConfigError: with the nearest key, or the type that is expected.
    """
    key, equals, text = argument.removeprefix("--config.").partition("=")
    known = flatten(config)
    if not equals or not argument.startswith("--config."):
        raise ConfigError(f"{argument}: an override has the form --config.seed=1")
    if key not in known:
        hint = "`--help` lists all settings"
        if near := nearest_key(key, known):
            comment = _comments().get(near)
            hint = f"did you mean --config.{near}?" + (comment and f" ({comment})")
        raise ConfigError(f"{argument}: there is no setting {key}; {hint}")
    default = known[key]
    value = text if isinstance(default, str) else _literal(text)
    if type(value) is int and isinstance(default, float):
        value = float(value)
    if type(value) is not type(default):
        example = ("first", "second") if default == () else default
        words = command_line([f"--config.{key}={example!r}"])
        expected = _KINDS[type(default)]
        raise ConfigError(f"{argument}: {key} takes {expected}, as in {words}")
    config.update_from_flattened_dict({key: value})


def _literal(text: str) -> Any:
    """Return the Python value that a text spells; the text itself if it spells none."""
    try:
        return ast.literal_eval({"true": "True", "false": "False"}.get(text, text))
    except (ValueError, SyntaxError):
        return text


def flatten(config: ConfigDict | dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values by dotted key, in order."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, ConfigDict | dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _comments() -> dict[str, str]:
    """Return the comments of all settings by key."""
    source = inspect.getsource(finetuning) + inspect.getsource(pretraining)
    return {key: comment for key, _, comment in _SETTING.findall(source)}


def settings_help(kind: Callable[[], ConfigDict]) -> str:
    """Return the settings of a kind of run with their comments, for `--help`."""
    lines = ["settings, with the defaults that configs/*.py change"]
    for key, value, comment in _SETTING.findall(inspect.getsource(kind)):
        if value != "ConfigDict()":
            lines.append(f"  --config.{key}={value}".ljust(44) + f"  {comment}")
    return "\n".join(line.rstrip() for line in [*lines, ""])
