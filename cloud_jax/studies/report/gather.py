"""Finished runs, found in folders and read; what is none, and why."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cloud_jax.evaluation.results import KINDS, kind_of

_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
_PAGE_PIXELS = 0.65  # for each pixel of a figure of 200 dots an inch
_HUGE = 1e300  # a whole number beyond this is no float
_BEGUN = ("config.json", "metrics.jsonl", "members", "checkpoints")


class Figure(NamedTuple):
    """A figure of a run.

    Attributes:
        caption: what it shows.
        media_type: such as image/png.
        data: the file.
    """

    caption: str
    media_type: str
    data: bytes

    @property
    def width(self) -> int | None:
        """Pixels of the page to show a PNG on: a column of a journal, enlarged."""
        if self.media_type != "image/png":
            return None
        return round(int.from_bytes(self.data[16:20]) * _PAGE_PIXELS)


class Run(NamedTuple):
    """One finished run.

    Attributes:
        name: of its folder, below what all runs share.
        folder: where it is.
        kind: finetune, pretrain, discovery, phonon, scaling or attention.
        results: results.json.
        config: config.json; empty where there is none.
        environment: environment.json; likewise.
        timing: timing.json; likewise.
        figures: that could be read.
    """

    name: str
    folder: Path
    kind: str
    results: dict[str, Any]
    config: dict[str, Any]
    environment: dict[str, Any]
    timing: dict[str, Any]
    figures: list[Figure]


class Problem(NamedTuple):
    """A folder or file that could not be shown, and why."""

    name: str
    reason: str


def dig(value: Any, *keys: str | int) -> Any:
    """What lies below `keys`; None where one of them is missing."""
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def many(value: Any, *keys: str | int) -> list:
    """The list below `keys`; empty where there is none."""
    found = dig(value, *keys)
    return found if isinstance(found, list) else []


def fields(value: Any, *keys: str | int) -> dict:
    """The object below `keys`; empty where there is none."""
    found = dig(value, *keys)
    return found if isinstance(found, dict) else {}


def number(value: Any, *keys: str | int) -> float | None:
    """The number below `keys`; None where there is none."""
    found = dig(value, *keys)
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return found if abs(found) < _HUGE else math.inf  # so is NaN


def gather(workdirs: Sequence[Path]) -> tuple[list[Run], list[Problem]]:
    """Find and read the runs in folders and below them.

    Args:
        workdirs: folders of runs, or folders of such.

    Raises:
        OSError: one of them is no folder.
    """
    folders, problems = {}, []
    for workdir in workdirs:
        if not workdir.is_dir():
            raise NotADirectoryError(f"{workdir}: there is no such folder of a run")
        found = list(_run_folders(workdir))
        if not found:
            problems.append((workdir, "holds no run: no results.json in it or below"))
        folders |= {folder.resolve(): folder for folder in found}
    name = _names([*folders.values(), *(path for path, _ in problems)])
    runs, listed = [], [Problem(name[path], reason) for path, reason in problems]
    for folder in folders.values():
        run, reasons = _read_run(folder, name[folder])
        listed += [Problem(name[folder], reason) for reason in reasons]
        runs += [run] if run else []
    return sorted(runs, key=lambda run: run.name), sorted(listed)


def _run_folders(workdir: Path) -> Iterator[Path]:
    """Folders of runs; below one of them only what judges it, as RUN/discovery."""
    linked: set[Path] = set()  # each is followed once, as links may lead in a circle
    for parent, folders, files in os.walk(workdir, followlinks=True):
        inside, folder = {*folders, *files}, Path(parent)
        if "points.csv" in inside and "results.json" not in inside:
            yield folder  # an unfinished grid; its cells are runs
        if "results.json" in inside or not inside.isdisjoint(_BEGUN):
            folders.clear()
            yield folder
            yield from filter(_judges, sorted(folder.iterdir()))
        folders.sort()
        links = {name: Path(parent, name).resolve() for name in folders}
        links = {k: path for k, path in links.items() if Path(parent, k).is_symlink()}
        folders[:] = [name for name in folders if links.get(name) not in linked]
        linked |= {*links.values()}


def _judges(folder: Path) -> bool:
    """Whether a folder within a run holds results of a kind, or damaged ones."""
    if not (folder / "results.json").exists():
        return False
    results, reason = _read_object(folder / "results.json")
    return bool(reason) or "kind" in results


def _names(folders: Sequence[Path]) -> dict[Path, str]:
    """Short names: the path below what all have in common."""
    full = {folder: folder.resolve() for folder in folders}
    parents = [str(path.parent) for path in full.values()]
    common = os.path.commonpath(parents) if parents else ""
    return {
        folder: path.relative_to(common).as_posix() for folder, path in full.items()
    }


def _read_run(folder: Path, name: str) -> tuple[Run | None, list[str]]:
    """A run, or None, and what is wrong with it."""
    path = folder / "results.json"
    if not path.exists():
        return None, [f"unfinished: no results.json{_progress(folder)}"]
    results, reason = _read_object(path)
    if reason:
        return None, [reason]
    kind = kind_of(results)
    if kind not in KINDS:
        known = ", ".join(KINDS)
        said = f"is of kind {kind!r}" if kind else "does not say its kind"
        return None, [f"results.json {said}; known are {known}"]
    if missing := [key for key in KINDS[kind] if dig(results, key) is None]:
        return None, [f"results.json of kind {kind} has no {', '.join(missing)}"]
    beside, reasons = {}, []
    for what in ("config", "environment", "timing"):
        beside[what], reason = {}, ""
        if (folder / f"{what}.json").exists():
            beside[what], reason = _read_object(folder / f"{what}.json")
        reasons += [f"{reason}; the run is shown without it"] if reason else []
    figures, missing = _read_figures(folder, results)
    return Run(name, folder, kind, results, figures=figures, **beside), (
        reasons + missing
    )


def _progress(folder: Path) -> str:
    """How far an unfinished run came."""
    steps = [
        int(path.name)
        for pattern in ("checkpoints/*", "members/*/checkpoints/*")
        for path in folder.glob(pattern)
        if path.name.isdecimal()
    ]
    if (folder / "points.csv").exists():
        points = (folder / "points.csv").read_bytes().count(b"\n") - 1
        return f", {points} cells of a grid"
    return f", last checkpoint at step {max(steps):,}" if steps else ", no checkpoint"


def _read_object(path: Path) -> tuple[dict[str, Any], str]:
    """The object of a JSON file, and what is wrong with the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, f"{path.name} is empty or damaged ({error})"
    if not isinstance(found, dict):
        return {}, f"{path.name} holds a {type(found).__name__}, not an object"
    return found, ""


def _read_figures(
    folder: Path, results: dict[str, Any]
) -> tuple[list[Figure], list[str]]:
    """The figures of a run, and why others could not be read."""
    listed = many(results, "figures")
    if "figures" not in results and (folder / "parity.png").exists():  # an older run
        listed = [{"file": "parity.png", "caption": "predicted against true"}]
    figures, reasons = [], []
    for entry in listed:
        file = str(dig(entry, "file"))
        try:
            path = (folder / file).resolve()
            if not path.is_relative_to(folder.resolve()):
                raise OSError("it is outside the folder")
            data = path.read_bytes()
            media_type = next(v for k, v in _SIGNATURES.items() if data.startswith(k))
        except OSError as error:
            reasons.append(f"figure {file}: {error.strerror or error}")
        except StopIteration:
            reasons.append(f"figure {file}: is no PNG or JPEG")
        else:
            figures.append(Figure(str(dig(entry, "caption") or file), media_type, data))
    return figures, reasons
