"""The results file of MatBench's leaderboard: written, checked and merged.

The format is that of `MatbenchBenchmark.to_file` of matbench 0.6 (bench.py, task.py,
data_ops.py and util.py in github.com/materialsproject/matbench), which the leaderboard
takes gzipped as `results.json.gz`; `MatbenchBenchmark.from_file` loads it unpacked.
matbench itself cannot be installed beside this package: it pins older versions of the
same libraries.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.metrics import max_error, mean_absolute_error, root_mean_squared_error

from cloud_jax.evaluation.metrics import over_folds
from cloud_jax.files import atomic_write

VERSION = "0.6"  # of matbench, whose format this is
FOLDS = tuple(f"fold_{i}" for i in range(5))
_MIN_TARGET = 1e-5  # a smaller one has no relative error (matbench, data_ops.py)
_MAX_NAMED = 3  # ids in a message

# The content of a file. A dictionary must have exactly these keys; a type is the type
# of the value; anything else is the value itself. The key `str` stands for any keys.
_FOLD = {
    "data": {str: float},
    "parameters": dict,
    "scores": dict.fromkeys(("mae", "rmse", "mape", "max_error"), float),
    "uncertainty": (type(None), dict),
}
SCHEMA = {
    "@module": "matbench.bench",
    "@class": "MatbenchBenchmark",
    "version": str,
    "tasks": {
        str: {
            "@module": "matbench.task",
            "@class": "MatbenchTask",
            "benchmark_name": "matbench_v0.1",
            "dataset_name": str,
            "results": dict.fromkeys(FOLDS, _FOLD),
        }
    },
    "user_metadata": dict,
    "benchmark_name": "matbench_v0.1",
    "datestamp": str,
    "hash": str,
}


class LeaderboardError(ValueError):
    """Say why MatBench would not take these predictions or this file."""


def regression_scores(
    prediction: Float[np.ndarray, " N"], target: Float[np.ndarray, " N"]
) -> dict[str, float]:
    """Compute MatBench's scores of a regression task on one fold.

    Args:
        prediction: in the units of the target.
        target: of the same rows.

    Returns:
        `mae`, `rmse` and `max_error` in the units of the target; `mape`, the mean
        relative error as a fraction, over rows whose target is above 1e-5 in size.
    """
    target, prediction = (np.asarray(x, dtype=float) for x in (target, prediction))
    large = np.abs(target) > _MIN_TARGET
    relative = (prediction[large] - target[large]) / target[large]
    return {
        "mae": float(mean_absolute_error(target, prediction)),
        "rmse": float(root_mean_squared_error(target, prediction)),
        "mape": float(np.abs(relative).mean()),
        "max_error": float(max_error(target, prediction)),
    }


def write_matbench(
    path: Path,
    task: str,
    predictions: Mapping[str, Mapping[str, float]],
    true: Mapping[str, float],
    official: Mapping[str, Sequence[str]],
    *,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the predictions of one task, scored, as `results.json.gz`.

    Args:
        path: the file; gzipped.
        task: `matbench_phonons` and so on.
        predictions: {fold: {id: prediction}}, in the unit of the task.
        true: {id: target} of all predicted rows.
        official: {fold: ids of its test rows} of the five folds, in official order.
        parameters: {fold: description of its model}; JSON values.
        metadata: description of the method; JSON values.

    Raises:
        LeaderboardError: a fold or a row is missing, unexpected, or not finite. A part
            of a task is never written as if it were the whole.
        OSError: the file cannot be written.
    """
    refuse_incomplete(task, predictions, official)
    results = {}
    for fold in FOLDS:
        found = {name: float(predictions[fold][name]) for name in official[fold]}
        results[fold] = {
            "data": found,
            "parameters": dict((parameters or {}).get(fold, {})),
            "scores": regression_scores(
                np.array(list(found.values())),
                np.array([true[name] for name in found], dtype=float),
            ),
            # MatBench would take the spread of the ensemble as a normal distribution,
            # which is narrower than the errors are.
            "uncertainty": None,
        }
    entry = SCHEMA["tasks"][str] | {"dataset_name": task, "results": results}
    save(path, {task: entry}, metadata or {})


def refuse_incomplete(
    task: str,
    predictions: Mapping[str, Mapping[str, float]],
    official: Mapping[str, Sequence[str]],
) -> None:
    """Raise LeaderboardError unless each official test row has one finite prediction.

    Args:
        task: its name, for the message.
        predictions: {fold: {id: prediction}}.
        official: {fold: ids of its test rows}.
    """
    wrong = []
    if unknown := predictions.keys() - official.keys():
        wrong.append(f"not folds of the task: {', '.join(sorted(unknown))}")
    for fold, ids in official.items():
        found = predictions.get(fold, {})
        if not found:
            wrong.append(f"{fold}: no predictions")
            continue
        parts = {
            f"of {len(ids):,} official test rows have no prediction": [
                name for name in ids if name not in found
            ],
            "predictions are not of official test rows": sorted(
                found.keys() - set(ids)
            ),
            "predictions are not finite numbers": [
                name for name, value in found.items() if not np.isfinite(value)
            ],
        }
        for what, names in parts.items():
            if names:
                more = ", ..." if len(names) > _MAX_NAMED else ""
                named = ", ".join(names[:_MAX_NAMED]) + more
                wrong.append(f"{fold}: {len(names):,} {what} ({named})")
    if wrong:
        raise LeaderboardError(
            f"{task}: MatBench takes a task whole, all test rows of its five folds: "
            + "; ".join(wrong)
        )


def save(path: Path, tasks: Mapping[str, dict], metadata: Mapping[str, Any]) -> None:
    """Write checked tasks as one file, with the date and the hash."""
    content = SCHEMA | {
        "version": VERSION,
        "tasks": _sorted(tasks),
        "user_metadata": _sorted(metadata),
        "datestamp": datetime.now(UTC).strftime("%Y.%m.%d %H:%M.%S"),
    }
    del content["hash"]
    content["hash"] = content_hash(content)
    atomic_write(path, gzip.compress(json.dumps(content).encode(), mtime=0))


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the hash of everything but `hash`, in any order of the keys."""
    return hashlib.sha256(json.dumps(_sorted(content)).encode()).hexdigest()


def _sorted(content: Mapping[str, Any]) -> dict[str, Any]:
    """Sort the keys; not within lists, where matbench does not sort either."""
    return {
        key: _sorted(value) if isinstance(value, Mapping) else value
        for key, value in sorted(content.items())
    }


def check_matbench(
    path: Path, official: Mapping[str, Mapping[str, Sequence[str]]] | None = None
) -> dict[str, Any]:
    """Read a results file and check all that `MatbenchBenchmark.from_file` checks.

    Args:
        path: the file; gzipped if its name ends in `.gz`.
        official: {task: {fold: ids of test rows}} of the tasks that may be in it;
            without it the rows are not compared.

    Returns:
        The content.

    Raises:
        LeaderboardError: the file is not in the format; with every field that differs.
        OSError: it cannot be read.
    """
    try:
        data = path.read_bytes()
        content = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise LeaderboardError(f"{path}: found no (gzipped) JSON: {error}") from error
    if wrong := _differences(content, SCHEMA, ""):
        raise LeaderboardError(f"{path}: {'; '.join(wrong)}")
    rest = {key: value for key, value in content.items() if key != "hash"}
    if (own := content_hash(rest)) != content["hash"]:
        raise LeaderboardError(
            f"{path}: hash: found {content['hash']}, but the content has {own}: it was "
            "changed after it was written"
        )
    for name, task in content["tasks"].items():
        if task["dataset_name"] != name:
            raise LeaderboardError(
                f"{path}: tasks.{name}.dataset_name: found {task['dataset_name']}"
            )
        if official is None:
            continue
        if name not in official:
            raise LeaderboardError(
                f"{path}: tasks.{name}: expected one of {', '.join(sorted(official))}"
            )
        predictions = {fold: part["data"] for fold, part in task["results"].items()}
        refuse_incomplete(f"{path}: {name}", predictions, official[name])
    return content


def _differences(found: Any, expected: Any, place: str) -> list[str]:
    """List the differences between a value and the schema, with their places."""
    here = place or "the file"
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{here}: found {type(found).__name__}, expected an object"]
        if str in expected:
            expected = dict.fromkeys(found, expected[str])
        wrong = [f"{here}: missing key {key!r}" for key in expected if key not in found]
        wrong += [
            f"{here}: unexpected key {key!r}" for key in found if key not in expected
        ]
        for key in found.keys() & expected.keys():
            inner = f"{place}.{key}" if place else key
            wrong += _differences(found[key], expected[key], inner)
        return sorted(wrong)
    if isinstance(expected, type | tuple):
        if isinstance(found, expected):
            return []
        kinds = expected if isinstance(expected, tuple) else (expected,)
        names = " or ".join(kind.__name__ for kind in kinds)
        return [f"{here}: found {type(found).__name__} {found!r:.40}, expected {names}"]
    return [] if found == expected else [f"{here}: found {found!r}, not {expected!r}"]


def merge_matbench(
    path: Path,
    files: Iterable[Path],
    official: Mapping[str, Mapping[str, Sequence[str]]],
) -> dict[str, Any]:
    """Merge the tasks of several files into one.

    Args:
        path: the file to write; gzipped.
        files: results files of different tasks; the metadata of each is kept under
            the names of its tasks.
        official: see `check_matbench`.

    Returns:
        {task: {score: {"mean", "max", "min", "std"}}} over the folds, as on MatBench's
        leaderboard.

    Raises:
        LeaderboardError: one is not a whole results file, or two have the same task.
        OSError: one cannot be read or written.
    """
    tasks, metadata, origin = {}, {}, {}
    for file in files:
        content = check_matbench(file, official)
        if twice := tasks.keys() & content["tasks"].keys():
            name = min(twice)
            raise LeaderboardError(f"{file}: {name} is in {origin[name]} too: give one")
        tasks |= content["tasks"]
        origin |= dict.fromkeys(content["tasks"], file)
        metadata |= dict.fromkeys(content["tasks"], content["user_metadata"])
    save(path, tasks, metadata)
    return {
        name: over_folds(
            [tasks[name]["results"][fold]["scores"] for fold in FOLDS], extremes=True
        )
        for name in sorted(tasks)
    }
