"""What a configuration needs of a run or a file that is not there, and what makes it.

A configuration file says in its docstring which commands make its files, and with what
else the run may begin; a run of another configuration beside it is made by that one.
Importing this module loads neither jax nor anything that needs it.
"""

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloud_jax.config import ConfigError, split_task

PACKAGED = "textbook"  # the task that needs no file but those of the package
_STARTS = {"": "begin from scratch", "encoder": "begin with the encoder of the package"}
_START = re.compile(r"--config\.model\.checkpoint=(\w*)")
_STAND_IN = (
    "; without its files, `cloud-jax pretrain --config=configs/quickstart.py` learns "
    "from the 1,369 crystals in the installed packages"
)


def refuse_missing(path: str, config: Any) -> None:
    """Refuse a configuration whose data or first parameters are not there.

    Args:
        path: of the configuration file, or `FILE:TASK`.
        config: that it gave, with overrides.

    Raises:
        ConfigError: in one line: the key, what is missing, the command that makes it
            and what may stand in.
    """
    file, task = split_task(path)
    if "targets" in config:
        _refuse_missing_start(file, task, config.model.checkpoint)
        _refuse_missing_data(file, "table", config.data.table)
    elif not config.data.build:
        _refuse_missing_data(file, "path", config.data.path, _STAND_IN)


def _refuse_missing_start(file: Path, task: str, checkpoint: str) -> None:
    """Raise ConfigError where the run that another configuration makes is missing."""
    maker = next((run for run in _runs(file) if run[0] == checkpoint), None)
    if maker is None or os.path.exists(checkpoint):
        return  # what is no such run is a model by its name, or none
    _, command, other = maker
    others = [
        f"{_STARTS[name]}: --config.model.checkpoint={name}"
        for name in dict.fromkeys(_START.findall(_docstring(file)))
        if name in _STARTS
    ]
    if PACKAGED in _tasks(ast.parse(file.read_text())):
        others.append(f"learn the table in the package: --config={file}:{PACKAGED}")
    asked = f"{file}:{task}" if task else str(file)
    raise ConfigError(
        f"config.model.checkpoint: no run {checkpoint}, with which the published "
        f"figure of {asked} begins; make it with `{command}` (its cost is in {other})"
        + "".join(f", or {other}" for other in others)
        + (": other figures then" if others else "")
    )


def _refuse_missing_data(file: Path, key: str, name: str, instead: str = "") -> None:
    """Raise ConfigError for a missing file that the docstring says how to make."""
    commands = re.findall(
        r"^ {4}(\S.*)$|`((?:cloud-jax|python) [^`]+)`", _docstring(file), re.MULTILINE
    )
    for command in (" ".join("".join(found).split()) for found in commands):
        # The last word is what a command writes, unless it is a setting.
        if command.endswith(f" {name}") and not os.path.exists(name):
            raise ConfigError(
                f"config.data.{key}: no {name}; make it with `{command}`{instead}"
            )


def _runs(beside: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield work directory, command and file of each configuration in a folder."""
    for file in sorted(beside.parent.glob("*.py")):
        try:
            module = ast.parse(text := file.read_text())
        except (OSError, SyntaxError, UnicodeDecodeError):
            continue  # not one that could be run
        kind = "finetune" if re.search(r"\bfinetuning\(|\bbenchmark\(", text) else ""
        if not kind and "pretraining(" in text:
            kind = "pretrain"
        for task in _tasks(module) or [""] if kind else []:
            name = f"{file}:{task}" if task else str(file)
            run = f"runs/{file.stem}" + (f"_{task}" if task else "")
            yield run, f"cloud-jax {kind} --config={name}", file


def _tasks(module: ast.Module) -> list[str]:
    """Return the keys of `TASKS = {...}` of a configuration file."""
    return [
        key.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id == "TASKS"
        for key in node.value.keys
        if isinstance(key, ast.Constant)
    ]


def _docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text())) or ""
