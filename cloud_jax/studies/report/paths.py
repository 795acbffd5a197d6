"""Command lines as they are typed, and paths without what tells of the host."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import Any

from cloud_jax.arguments import command_line

# A path of two names or more that begins a word; "eV/atom" and "https://" do not.
_PATH = re.compile(
    r"""(?<![\w./:~\\)\]])(?:/[^\s/'":,;=()]+(?:/[^\s/'":,;=()]+)+/?"""
    r"""|[A-Za-z]:\\[^\s'":,;=()]+)"""
)


def shorten(text: str, root: Path) -> str:
    """Return a text whose absolute paths are relative to `root`, or a name after `...`.

    A report is passed on, so it names neither users nor the folders of a machine.
    """
    if _PATH.match(text) and "\n" not in text and _whole(text):
        return _short(text, root)
    return _PATH.sub(lambda found: _short(found[0], root), text)


def _whole(text: str) -> bool:
    """Return whether a text that begins with a path is nothing else, blanks or not."""
    return not re.search(r"[:;,] | /", text)


def _short(path: str, root: Path) -> str:
    pure = PureWindowsPath(path) if "\\" in path else PurePosixPath(path)
    if packaged := _packaged(path):
        return packaged
    if pure.is_relative_to(root) and pure != root:
        return pure.relative_to(root).as_posix()
    return f".../{pure.name}"


def _packaged(path: str) -> str:
    """Return the path of a model of the package as it is below it; empty of others."""
    _, package, inside = path.rpartition("/cloud_jax/weights/")
    return f"cloud_jax/weights/{inside}" if package else ""


def shorten_all(value: Any, root: Path) -> Any:
    """Return a JSON value in which every text, keys too, is shortened."""
    if isinstance(value, str):
        return shorten(value, root)
    if isinstance(value, list):
        return [shorten_all(item, root) for item in value]
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = short = shorten(key, root)
        n = 1
        while name in found:  # two paths of the same name
            n += 1
            name = f"{short} ({n})"
        found[name] = shorten_all(item, root)
    return found


def as_typed(command: Sequence[str], root: Path | None = None) -> str:
    """Return a command line as a user types it.

    Args:
        command: its words as Python gives them, the path of a program first.
        root: folder to which paths are relative; without it they stay as they are.
    """
    program, *words = command
    path = PurePath(program)
    if path.name == "cloud-jax" or path.parts[-2:] == ("cloud_jax", "__main__.py"):
        program = "cloud-jax"
    elif path.parent.name == "cloud_jax" and path.suffix == ".py":
        program, words = "cloud-jax", [path.stem.replace("_", "-"), *words]
    if root:
        program, *words = (_short_word(word, root) for word in (program, *words))
    return command_line([program, *words])


def _short_word(word: str, root: Path) -> str:
    """Shorten the value of `--flag=VALUE`, or a word without a flag."""
    flag, equals, value = word.partition("=")
    if not (equals and flag.startswith("-")):
        return shorten(word, root)
    return flag + equals + shorten(value, root)
