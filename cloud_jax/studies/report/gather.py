"""Finished runs in folders: found, read, and the reason where one cannot be shown."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from cloud_jax.evaluation.results import (
    KINDS,
    NAME,
    kind_of,
    read_object,
    short_names,
)
from cloud_jax.files import cause
from cloud_jax.studies.report.paths import as_typed, shorten, shorten_all
from cloud_jax.studies.report.records import Number, Results, Target, decode

_PNG = b"\x89PNG\r\n\x1a\n"
_PAGE_PIXELS = 0.65  # per pixel of a figure, which has 200 dots per inch
_BEGUN = ("config.json", "metrics.jsonl", "members", "checkpoints")


class Figure(NamedTuple):
    """A figure of a run: its caption and the content of a PNG file."""

    caption: str
    data: bytes

    @property
    def width(self) -> int:
        """Return the width on the page, in pixels: a journal column, enlarged."""
        return round(int.from_bytes(self.data[16:20]) * _PAGE_PIXELS)


class Problem(NamedTuple):
    """A folder or file that could not be shown, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Run:
    """One finished run.

    Attributes:
        name: path of its folder below the deepest folder that holds all runs.
        kind: one of `KINDS`.
        raw: results.json.
        config: config.json; empty if the run has none, like the next two.
        environment: environment.json.
        timing: timing.json.
        figures: those that could be read.
        anchor: of its section in the page.
    """

    name: str
    kind: str
    raw: dict[str, Any]
    config: dict[str, Any]
    environment: dict[str, Any]
    timing: dict[str, Any]
    figures: list[Figure]
    anchor: str = ""

    @cached_property
    def results(self) -> Results:
        """Return the keys of results.json that are shown, as dataclasses."""
        return decode(Results, self.raw)

    @cached_property
    def numbers(self) -> dict[str, Number]:
        """Return the numbers at the top of results.json and of timing.json."""
        return decode(dict[str, Number], self.raw | self.timing)

    @property
    def targets(self) -> list[Target]:
        """Return the targets with results, as far as the run describes them."""
        described = {target.name: target for target in self.results.targets}
        return [described.get(n) or Target(n) for n in self.results.ensemble]


def gather(workdirs: Sequence[Path]) -> tuple[list[Run], list[Problem]]:
    """Find and read the runs in and below `workdirs`; return both lists sorted.

    Raises:
        OSError: one of `workdirs` is not a folder.
    """
    folders: dict[Path, Path] = {}  # by what it resolves to, so that none comes twice
    empty = []
    for workdir in workdirs:
        if not workdir.is_dir():
            found = "found a file" if workdir.exists() else "there is no such folder"
            raise NotADirectoryError(f"{workdir}: {found}; give folders of runs")
        found = {folder.resolve(): folder for folder in _run_folders(workdir)}
        folders |= found
        empty += [] if found else [workdir]
    names = short_names([*folders.values(), *empty])
    reason = f"holds no run: no {NAME} in it or below"
    runs, problems = [], [Problem(names[folder], reason) for folder in empty]
    for folder in folders.values():
        reasons: list[str] = []
        root = folder.resolve().parents[len(PurePosixPath(names[folder]).parts) - 1]
        try:
            runs.append(_read_run(folder, names[folder], root, reasons))
        except ValueError as error:
            reasons.append(str(error))
        problems += [Problem(names[folder], shorten(text, root)) for text in reasons]
    runs.sort(key=lambda run: run.name)
    runs = [replace(run, anchor=f"run-{i}") for i, run in enumerate(runs, 1)]
    return runs, sorted(problems)


def _run_folders(workdir: Path) -> Iterator[Path]:
    """Yield folders of runs; below a run only what judges it, such as RUN/discovery."""
    linked: set[Path] = set()  # each is followed once, as links may lead in a circle
    for parent, folders, files in os.walk(workdir, followlinks=True):
        inside, folder = {*folders, *files}, Path(parent)
        if "points.csv" in inside and NAME not in inside:
            yield folder  # an unfinished grid; its cells are runs
        if NAME in inside or not inside.isdisjoint(_BEGUN):
            folders.clear()
            yield folder
            yield from filter(_judges, sorted(folder.iterdir()))
        links = {
            p: p.resolve() for p in map(folder.joinpath, folders) if p.is_symlink()
        }
        kept = (name for name in folders if links.get(folder / name) not in linked)
        folders[:] = sorted(kept)
        linked.update(links.values())


def _judges(folder: Path) -> bool:
    """Return whether a folder within a run has results that name a kind, or damaged."""
    try:
        return "kind" in read_object(folder / NAME)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError):
        return True


def _read_run(folder: Path, name: str, root: Path, reasons: list[str]) -> Run:
    """Return a run; append to `reasons` the parts of it that cannot be shown.

    Paths in its files are shortened: those below `root`, which holds all runs, are
    relative to it.

    Raises:
        ValueError: none of it can be shown.
    """
    if not (folder / NAME).exists():
        raise ValueError(f"unfinished: no {NAME}{_progress(folder)}")
    raw = _read_object(folder / NAME)
    kind = kind_of(raw)
    if kind not in KINDS:
        said = f"is of kind {kind!r}" if kind else "does not say its kind"
        raise ValueError(f"{NAME} {said}; known are {', '.join(KINDS)}")
    if missing := [key for key in KINDS[kind] if raw.get(key) is None]:
        raise ValueError(f"{NAME} of kind {kind} has no {', '.join(missing)}")
    beside: dict[str, dict[str, Any]] = {}
    for part in ("config", "environment", "timing"):
        beside[part], path = {}, folder / f"{part}.json"
        try:
            beside[part] = _read_object(path) if path.exists() else {}
        except ValueError as error:
            reasons.append(f"{error}; the run is shown without it")
    listed = decode(list[dict[str, str]], raw.get("figures"))
    if "figures" not in raw and (folder / "parity.png").exists():  # an older run
        listed = [{"file": "parity.png", "caption": "predicted against true"}]
    figures = []
    for entry in listed:
        file = entry.get("file", "")
        try:
            data = _read_png(folder, file)
            figures.append(Figure(entry.get("caption") or file, data))
        except OSError as error:
            reasons.append(f"figure {file}: {cause(error)}")
    environment = beside["environment"]
    if command := decode(list[str], environment.pop("command", None)):
        beside["environment"] = {"command": as_typed(command, root), **environment}
    beside = {part: shorten_all(found, root) for part, found in beside.items()}
    return Run(name, kind, shorten_all(raw, root), figures=figures, **beside)


def _progress(folder: Path) -> str:
    """Return how far an unfinished run came."""
    if (folder / "points.csv").exists():
        points = (folder / "points.csv").read_bytes().count(b"\n") - 1
        return f", {points} cells of a grid"
    patterns = ("checkpoints/*", "members/*/checkpoints/*")
    names = [path.name for pattern in patterns for path in folder.glob(pattern)]
    steps = [int(name) for name in names if name.isdecimal()]
    return f", last checkpoint at step {max(steps):,}" if steps else ", no checkpoint"


def _read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; errors name the file alone, as its folder stands beside."""
    try:
        return read_object(path)
    except OSError as error:
        raise ValueError(f"{path.name}: {cause(error)}") from None
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"{path.parent}{os.sep}")) from None


def _read_png(folder: Path, file: str) -> bytes:
    path = (folder / file).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise OSError("it is outside the folder")
    data = path.read_bytes()
    if not data.startswith(_PNG):
        raise OSError("not a PNG file")
    return data
