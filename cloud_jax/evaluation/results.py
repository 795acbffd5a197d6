"""results.json of a finished run, and how the folders of runs are told apart."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

NAME = "results.json"
# {kind of results: the keys that they always have}
KINDS = {
    "finetune": ("ensemble", "folds"),
    "pretrain": ("validation_loss",),
    "discovery": (),
    "phonon": (),
    "scaling": (),
    "attention": (),
}
_TRAINING = ("finetune", "pretrain")


def read_object(path: Path) -> dict[str, Any]:
    """Read the object of a JSON file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is empty, damaged or not an object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is empty or damaged ({error})") from error
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise ValueError(f"{path}: found a {kind}, expected an object")
    return found


def read_results(folder: Path) -> dict[str, Any]:
    """Read the results of a finished run.

    Raises:
        OSError: the run has not finished, or its results cannot be read.
        ValueError: they are damaged.
    """
    try:
        return read_object(folder / NAME)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{folder}: found no {NAME}, expected the folder of a finished run: give "
            "its command again to finish it"
        ) from None


def kind_of(results: dict[str, Any]) -> str:
    """Return the kind of results; of older runs, which do not name it, by their keys.

    Returns:
        One of `KINDS`, or the kind that the results name; empty where unknown.
    """
    if "kind" in results:
        return str(results["kind"])
    return next(
        (kind for kind, keys in KINDS.items() if keys and {*keys} <= {*results}), ""
    )


def refuse_other_results(folder: Path, kind: str) -> None:
    """Refuse an output folder that holds the results of another command.

    Args:
        folder: output folder of the command; it need not exist.
        kind: kind of the results that the command writes.

    Raises:
        ValueError: the folder holds results of another kind or damaged ones, or is the
            work directory of a training run, finished or not, or a data set.
        OSError: its results cannot be read.
    """
    path, found = folder / NAME, ""
    if path.exists():
        found = kind_of(read_object(path)) or "unknown"
    elif (folder / "config.json").exists() and kind not in _TRAINING:
        found = "unfinished training"
    elif (folder / "manifest.json").exists():
        found = "dataset"
    if found and found != kind:
        raise ValueError(
            f"{folder}: is the folder of something else (kind {found}), expected "
            f"results of {kind} or none: give another folder"
        )


def short_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Return the path of each folder below the deepest folder that holds all."""
    full = {folder: folder.resolve() for folder in folders}
    common = os.path.commonpath([path.parent for path in full.values()])
    return {
        folder: path.relative_to(common).as_posix() for folder, path in full.items()
    }
