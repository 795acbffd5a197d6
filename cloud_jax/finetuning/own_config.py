"""The configuration of a run on a table of one's own: chosen by size, and written down.

Every choice comes with its reason, which is printed and stands in the file, so that
the file shows what may be changed.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from cloud_jax.config import ENCODER, apply_overrides, finetuning, flatten
from cloud_jax.files import atomic_open
from cloud_jax.finetuning.own_table import SENTENCE, Asked, Labels, OwnTable

NAME = "config.py"  # in the work directory
_FOLDS = 5
_ONE_FOLD = 20_000  # rows from which one of five folds is enough


class Size(NamedTuple):
    """Settings for tables of up to some number of labels.

    Attributes:
        up_to: number of labels.
        epochs: of the training rows.
        batch: crystals.
        members: per fold.
        validation: share of the training rows.
        rate: of learning.
    """

    up_to: float
    epochs: int
    batch: int
    members: int
    validation: float
    rate: float


# Up to 2,000 labels: best or cheapest of what was tried on 40, 200 and 600 rows of
# MatBench's jdft2d, phonons and dielectric that its fold_0 does not test (RESULTS.md);
# beyond: configs/matbench.py.
_SIZES = (
    Size(150, 20, 8, 2, 0.15, 3e-4),
    Size(400, 25, 16, 2, 0.15, 3e-4),
    Size(2_000, 12, 16, 1, 0.1, 3e-4),
    Size(_ONE_FOLD, 10, 32, 1, 0.1, 4e-4),
    Size(float("inf"), 6, 64, 1, 0.05, 4e-4),
)


class Choice(NamedTuple):
    """One setting, and why it is what it is; no reason where it needs none."""

    key: str
    value: Any
    reason: str = ""


def default_workdir(path: str, targets: Sequence[str]) -> str:
    """Return `runs/STEM_TARGET`."""
    stem = Path(path.rpartition(":")[2]).name.partition(".")[0]
    return "runs/" + re.sub(r"\W+", "_", "_".join([stem, *targets])).strip("_")


def choose(found: OwnTable, asked: Asked) -> list[Choice]:
    """Return the settings of a run on a table, with their reasons."""
    return [*_data(found), *_targets(found.targets, asked), *_training(found, asked)]


def _data(found: OwnTable) -> list[Choice]:
    column, is_ready = found.crystals, found.crystals.look == SENTENCE
    return [
        Choice("data.table", found.path),
        Choice("data.id_column", found.id_column),
        Choice("data.structure_column", "" if is_ready else column.name),
        Choice("data.scope_column", column.name if is_ready else ""),
        Choice("data.group_column", found.group_column),
    ]


def _targets(targets: Sequence[Labels], asked: Asked) -> list[Choice]:
    n = len(targets)
    units = [""] * n
    if asked.units:
        numbers = [i for i, target in enumerate(targets) if not target.positive]
        for i, unit in zip(numbers, asked.units, strict=True):
            units[i] = unit
    names = tuple(target.name for target in targets)
    positives = tuple(target.positive for target in targets)
    return [
        Choice("targets.columns", names),
        Choice(
            "targets.properties",
            tuple("" if target.positive else target.name for target in targets),
        ),
        Choice("targets.units", tuple(units)),
        Choice("targets.bases", ("",) * n),
        Choice("targets.temperatures_k", (0.0,) * n),
        Choice("targets.positives", positives if any(positives) else ()),
    ]


def _training(found: OwnTable, asked: Asked) -> list[Choice]:
    n = max(target.n for target in found.targets)
    size = next(size for size in _SIZES if n <= size.up_to)
    is_large = n > _ONE_FOLD
    folds = asked.folds or _FOLDS
    if found.fold_column:
        choices = [
            Choice(
                "folds.column",
                found.fold_column,
                "the table's own folds; --folds 5 makes random ones",
            )
        ]
    else:
        kept = found.group_column or "one reduced formula"
        together = f"group of column {kept}" if found.group_column else kept
        choices = [
            Choice(
                "folds.random",
                folds,
                f"every row is tested once; rows of {together} stay together",
            ),
            Choice("folds.group", "" if found.group_column else "formula"),
        ]
        if is_large:
            reason = f"with {n:,} labels one fold of {folds} is test enough"
            choices.append(Choice("folds.only", ("fold_0",), reason))
    return [
        *choices,
        Choice(
            "folds.validation_fraction",
            size.validation,
            "of the training rows: they choose the best epoch and the intervals",
        ),
        Choice("members", size.members, _members_reason(size.members)),
        Choice("model.checkpoint", ENCODER, "the pretrained encoder of the package"),
        Choice("model.dropout", 0.05),
        Choice("model.attention_dropout", 0.05),
        Choice("optimizer.epochs", size.epochs, f"for {n:,} labels"),
        Choice("optimizer.batch_crystals", size.batch),
        Choice("optimizer.learning_rate", size.rate),
        Choice("checkpoint.every_epochs", max(1, size.epochs // 5)),
        Choice("baselines", True, "a result means something beside simpler ones"),
    ]


def _members_reason(members: int) -> str:
    if members == 1:
        return "per fold: with so many rows the folds say how much results vary"
    return "per fold: they differ in seed and validation rows, and their mean errs less"


def configure(
    choices: Sequence[Choice], workdir: str, overrides: Sequence[str]
) -> ConfigDict:
    """Return the configuration of some choices, with a user's overrides.

    Raises:
        ConfigError: an override that cannot be used.
    """
    config = finetuning()
    values = {choice.key: choice.value for choice in choices}
    config.update_from_flattened_dict(values | {"workdir": workdir})
    return apply_overrides(config, overrides, "the command line")


def explain(found: OwnTable, choices: Sequence[Choice], config: ConfigDict) -> str:
    """Return lines that say what was found and chosen, and why."""
    crystals = f"column {found.crystals.name}: {found.crystals.look}"
    ids = f"column {found.id_column}" if found.id_column else "the line of each row"
    values = flatten(config)
    lines = [
        f"{found.path}: {found.n_rows:,} rows",
        f"  crystals  {crystals}",
        f"  ids       {ids}",
        *(f"  target    {t.name}: {t.n:,} labels, {t.said}" for t in found.targets),
        *(f"  note      {note}" for note in found.notes),
        "settings",
    ]
    for key, value, reason in choices:
        if reason or key.startswith("optimizer."):
            given = "" if values[key] == value else "given on the command line"
            shown = "the package's" if values[key] == ENCODER else values[key]
            reason = given or reason
            lines.append(f"  {key:26}{shown!s:14}{reason}".rstrip())
    lines.append(f"all of them are in {config.workdir}/{NAME}; give it to --config")
    return "\n".join(lines)


def write_config(
    path: Path, config: ConfigDict, choices: Sequence[Choice], command: str
) -> None:
    """Write a configuration file that gives the same run, readable by people.

    Args:
        path: of the file.
        config: of the run.
        choices: that it was made from, with their reasons.
        command: that made them.
    """
    defaults, values = flatten(finetuning()), flatten(config)
    reasons = {choice.key: choice.reason for choice in choices}
    keys = dict.fromkeys([choice.key for choice in choices] + list(values))
    lines = []
    for key in keys:
        if values[key] == defaults[key]:
            continue
        if reason := reasons.get(key):
            reason = " ".join(reason.split())  # columns may have names of two lines
            lines.append(f"    # {reason[0].upper()}{reason[1:]}.")
        code = "config.ENCODER" if values[key] == ENCODER else repr(values[key])
        lines.append(f"    c.{key} = {code}")
    text = "\n".join(lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_open(path, "w", encoding="utf-8") as file:
        file.write(
            _FILE.format(
                command=_in_docstring(command),
                path=_in_docstring(str(path)),
                settings=text,
            )
        )


def _in_docstring(text: str) -> str:
    """Return a text so that a docstring holds it: no backslash escapes."""
    return text.replace("\\", r"\\").replace('"', r"\"")


_FILE = '''"""Settings that `cloud-jax finetune` chose for a table.

    {command}

The same run: cloud-jax finetune --config {path}
Another: change what you like, or give --config.KEY=VALUE, and another --workdir.
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.finetuning()
{settings}
    return c.lock()
'''
