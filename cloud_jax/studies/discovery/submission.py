"""The submission to MatBench Discovery's leaderboard.

As its contributing.md and tests/model-schema.yml ask for in 2026: predictions in
`models/FAMILY/KEY/DATE-discovery.csv.gz` with the columns `material_id` and
`e_form_per_atom`, and `models/FAMILY/KEY.yml`, which describes the model. The
predictions are uploaded elsewhere, to figshare for instance; the maintainers compute
the metrics from them.
"""

import datetime
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from cloud_jax import __version__
from cloud_jax.files import atomic_open, atomic_write
from cloud_jax.studies.discovery.metrics import FULL, UNIQUE

REPOSITORY = "https://github.com/janosh/matbench-discovery"
_SETS = {FULL: "full_test_set", UNIQUE: "unique_prototypes"}
_METRICS = {
    "f1": "F1", "daf": "DAF", "precision": "Precision", "recall": "Recall",
    "accuracy": "Accuracy", "tp": "TP", "fp": "FP", "tn": "TN", "fn": "FN",
    "mae": "MAE", "rmse": "RMSE", "r2": "R2", "missing": "missing_preds",
}  # fmt: skip
_PACKAGES = ("jax", "flax", "numpy", "pymatgen", "spglib")
# {required field of the schema: whether null is allowed}
_REQUIRED = {
    "model_name": False, "model_key": False, "model_version": True, "dates": False,
    "lifecycle": False, "authors": False, "repo": True, "doi": True, "paper": True,
    "pr_url": True, "checkpoint_url": True, "license": False, "environment": False,
    "openness": False, "architecture_types": False, "train_task": False,
    "test_task": False, "targets": False, "training_sets": False,
    "model_params": False,
}  # fmt: skip
_OPTIONAL = (
    "superseded_by", "trained_by", "docs", "pypi", "size", "fine_tune", "hyperparams",
    "notes", "n_estimators", "training_cost", "metrics",
)  # fmt: skip
# Types of the fields; the others are text.
_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("authors", "trained_by"), (list,)),
    **dict.fromkeys(("architecture_types", "training_sets"), (list,)),
    **dict.fromkeys(("dates", "license", "environment", "size"), (dict,)),
    **dict.fromkeys(("fine_tune", "hyperparams", "notes", "metrics"), (dict,)),
    **dict.fromkeys(("model_params", "n_estimators"), (int, float)),
    "training_cost": (dict, str),
}
_NAMES = {list: "a list", dict: "fields", int: "a number", float: "a number"}
_KEY = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")


def read_fields(path: Path | None, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the model's YAML file, without metrics.

    Args:
        path: YAML of fields that the user gives, or None.
        origin: results of the fine-tuning run; empty where there is none.

    Raises:
        ValueError: the file is not YAML, or the leaderboard's schema has no such field
            or forbids its value.
        OSError: the file cannot be read.
    """
    user = {}
    if path:
        try:
            user = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: not valid YAML ({error})") from error
        if not isinstance(user, dict):
            raise ValueError(f"{path}: expected fields such as `authors: [...]`")
    fields = _default_fields(origin) | user
    try:
        _check_fields(user, fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return fields


def _default_fields(origin: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the package and the run know."""
    trained_on_mp = str(origin.get("table")).startswith("discovery:mp")
    members, note = origin.get("members_a_fold"), str(origin.get("note") or "")
    packages = [f"{name}=={metadata.version(name)}" for name in _PACKAGES]
    python = ".".join(platform.python_version_tuple()[:2])
    fields: dict[str, Any] = {
        "model_name": "cloud_jax",
        "model_key": "cloud-jax",
        "model_version": __version__,
        "dates": {"benchmark_added": _today(), "paper_published": None},
        "lifecycle": "active",
        "authors": [],
        "repo": None,
        "doi": None,
        "paper": None,
        "pr_url": None,
        "checkpoint_url": None,
        "license": {"code": "MIT", "checkpoint": "unreleased"},
        "environment": {"dependencies": packages, "python_version": python},
        "openness": "OSOD",
        "architecture_types": ["transformer"],
        "train_task": "RS2RE",
        "test_task": "IS2RE",
        "targets": "E",
        "training_sets": ["MP 2022"] if trained_on_mp else [],
        "model_params": origin.get("parameters_of_a_member"),
    }
    if members and members > 1:
        fields["n_estimators"] = members
    if note:
        fields["notes"] = {"description": note}
    return fields


def _today() -> str:
    return datetime.date.today().isoformat()


def _check_fields(user: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
    """Raise ValueError where the schema has no such field, or forbids a value."""
    if unknown := sorted(fields.keys() - {*_REQUIRED, *_OPTIONAL}):
        raise ValueError(
            f"found the field {unknown[0]}, which the leaderboard's schema does not "
            f"have; expected {', '.join([*_REQUIRED, *_OPTIONAL])}"
        )
    for name, value in user.items():
        _check_type(name, value)
    if not _KEY.fullmatch(str(fields["model_key"])):
        raise ValueError(
            f"found model_key {fields['model_key']!r}; expected lower-case letters and "
            "digits with single hyphens or dots between them"
        )


def _check_type(name: str, value: Any) -> None:
    """Raise ValueError for a type that the schema forbids, or people without a name."""
    types = _TYPES.get(name, (str,))
    right = isinstance(value, types) and not isinstance(value, bool)
    expected = " or ".join(dict.fromkeys(_NAMES.get(t, "text") for t in types))
    if name in ("authors", "trained_by"):
        right = right and all(
            isinstance(one, dict) and one.get("name") for one in value
        )
        expected = "people such as - name: Jane Doe"
    if not (right or (value is None and _REQUIRED.get(name))):
        raise ValueError(f"{name}: found {value!r}, expected {expected}")


def missing_fields(fields: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """List the empty fields.

    Returns:
        Names of those that must be filled in, each with a hint; names of the others.
    """
    hints = {
        "authors": "name each, and an email for the first",
        "training_sets": "keys of the leaderboard's data/datasets.yml, such as MP 2022",
        "model_params": "number of parameters of one member",
    }
    empty = [name for name in _REQUIRED if not fields[name]]
    needed = [name for name in empty if not _REQUIRED[name]]
    first = next(iter(fields["authors"] or []), {})
    if fields["authors"] and not {"name", "email"} <= first.keys():
        needed.append("authors")
    needed = [f"{name} ({hints.get(name, 'required')})" for name in needed]
    return needed, [name for name in empty if _REQUIRED[name]]


def write_submission(
    output: Path,
    energy: pd.Series,
    fields: Mapping[str, Any],
    *,
    metrics: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Write the predictions and the YAML file in the leaderboard's folders.

    Args:
        output: folder of the study; `submission` in it stands for the root of the
            leaderboard's repository.
        energy: predicted formation energy by id, eV/atom.
        fields: from `read_fields`.
        metrics: from `metrics.stability` against the published hull; None against any
            other, because the leaderboard would not find the same.

    Returns:
        `files` below the output folder, `to_fill_in` and `null` fields.
    """
    folder = output / "submission"
    key = str(fields["model_key"])
    family = folder / "models" / re.sub(r"[.-]", "_", key)
    table = family / key / f"{_today()}-discovery.csv.gz"
    table.parent.mkdir(parents=True, exist_ok=True)
    for old in table.parent.glob("*-discovery.csv.gz"):  # from another day
        old.unlink()
    rows = energy.dropna().rename_axis("material_id").rename("e_form_per_atom")
    packing = {"method": "gzip", "mtime": 1}  # equal predictions give equal files
    with atomic_open(table) as file:
        rows.to_csv(file, compression=packing, float_format="%.6f")
    discovery: dict[str, Any] = {
        "pred_file": {"name": table.relative_to(folder).as_posix()}
    }
    for name, theirs in _SETS.items() if metrics else ():
        if name in metrics:
            found = {_METRICS[k]: _rounded(metrics[name][k]) for k in _METRICS}
            discovery[theirs] = found
    document = dict(fields) | {"metrics": {"discovery": discovery}}
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    path = family / f"{key}.yml"
    atomic_write(path, _comments(fields) + text)
    needed, empty = missing_fields(fields)
    return {
        "files": [str(file.relative_to(output)) for file in (table, path)],
        "to_fill_in": needed,
        "null": empty,
    }


def _rounded(value: float | int | None) -> float | int | None:
    return round(value, 3) if isinstance(value, float) else value


def _comments(fields: Mapping[str, Any]) -> str:
    """Return what the user has to do, as comments for the top of the file."""
    needed, empty = missing_fields(fields)
    lines = [f"to fill in: {line}" for line in needed]
    lines += [f"null until you know it: {', '.join(empty)}"] if empty else []
    lines.append("upload the predictions and add metrics.discovery.pred_file.url")
    return "".join(f"# {line}\n" for line in lines)
