"""Lists of sources: words of the command line, or a TOML file with more settings.

    kind:TEXT       a source of this kind, see its class's `from_word`
    corpus.toml     [[source]] tables: kind, name, path and the fields of the source's
                    class (licence, citation, column, ...)

Paths in a TOML file are relative to it.
"""

import dataclasses
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_jax.arguments import nearest
from cloud_jax.datasets.discovery import DiscoverySource
from cloud_jax.datasets.embedded import EmbeddedSource
from cloud_jax.datasets.matbench import MatbenchSource
from cloud_jax.datasets.optimade.source import OptimadeSource
from cloud_jax.datasets.phonon import PhononSource
from cloud_jax.datasets.textbook import TextbookSource
from cloud_jax.datasets.thermal import ThermalSource
from cloud_jax.datasets.unconvbench import UnconvbenchSource
from cloud_jax.files import cause
from cloud_jax.structures.folder import CifSource
from cloud_jax.structures.source import Source, SourceError
from cloud_jax.structures.strings import StringsSource
from cloud_jax.structures.table import TableSource

KINDS: dict[str, type[Source]] = {
    "embedded": EmbeddedSource,
    "textbook": TextbookSource,
    "cif": CifSource,
    "strings": StringsSource,
    "table": TableSource,
    "optimade": OptimadeSource,
    "matbench": MatbenchSource,
    "discovery": DiscoverySource,
    "unconvbench": UnconvbenchSource,
    "phonon": PhononSource,
    "thermal": ThermalSource,
}


def read_sources(
    words: Sequence[str], data_dir: str = "data", *, without: Sequence[str] = ()
) -> list[Source]:
    """Return the sources that command line words name.

    Args:
        words: of the command line.
        data_dir: folder of public data sets.
        without: names of sources to leave out.

    Raises:
        SourceError: an unknown word, kind, field or name, or two sources of one name.
    """
    sources: list[Source] = []
    for word in words:
        kind, _, text = word.partition(":")
        if word.endswith(".toml"):
            sources += _read_corpus(Path(word), data_dir)
        elif kind in KINDS:
            sources.append(KINDS[kind].from_word(text, data_dir))
        else:
            raise SourceError(
                f"source {word!r}: {_meant(word, kind, text)}expected "
                f"{', '.join(KINDS)} (after the kind comes a colon and what is read, "
                "see `cloud-jax datasets`) or a corpus.toml"
            )
    names = [source.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"two sources are called {', '.join(twice)}; ids start with the name: give "
            "names in a corpus.toml"
        )
    if unknown := sorted(set(without) - set(names)):
        raise SourceError(
            f"--without: found {', '.join(unknown)}; expected some of "
            f"{', '.join(names)}"
        )
    return [source for source in sources if source.name not in without]


def _meant(word: str, kind: str, text: str) -> str:
    """Return a question for the source that a word without a known kind may mean."""
    if os.path.exists(word):
        tables = (".csv", ".json", ".jsonl", ".parquet", ".db", ".npz")
        near = "table" if Path(word).suffix.lower() in tables else "cif"
        return f"did you mean {near}:{word}? "
    near = nearest(kind, KINDS)
    return f"did you mean {near}{text and f':{text}'}? " if near else ""


def _read_corpus(path: Path, data_dir: str) -> list[Source]:
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"{path}: cannot be read as TOML ({cause(error)})") from error
    tables = data.pop("source", [])
    if data or not tables or not _is_list_of(dict, tables):
        raise SourceError(
            f"{path}: found {sorted(data) or 'no source'}, expected only [[source]]"
        )
    return [
        _build_source(table, f"{path}: source {number}", path.parent, data_dir)
        for number, table in enumerate(tables, 1)
    ]


def _build_source(
    table: dict[str, Any], where: str, folder: Path, data_dir: str
) -> Source:
    kind = table.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        found = "no kind" if kind is None else f"kind {kind!r}"
        raise SourceError(f"{where}: found {found}, expected {', '.join(KINDS)}")
    types = {field.name: field.type for field in dataclasses.fields(KINDS[kind])}
    if types.pop("data_dir", None):  # the command line says where that is
        table["data_dir"] = data_dir
    if "paths" in types:
        types["path"] = types.pop("paths")
    allowed = sorted(types)
    unknown = sorted(set(table) - {*allowed, "data_dir"})
    if unknown or "name" not in table or ("path" in allowed and "path" not in table):
        raise SourceError(
            f"{where}: found {', '.join(unknown or table)}; expected name"
            f"{' and path' if 'path' in allowed else ''}, and perhaps "
            f"{', '.join(allowed)}"
        )
    for key in types.keys() & table.keys():
        _check_value(table[key], types[key], f"{where}: {key}")
    if "path" in table:
        paths = _as_tuple(table.pop("path"))
        table["paths"] = tuple(str(folder / path) for path in paths)
    if "archive" in table:
        table["archive"] = str(folder / table["archive"])
    for key in {"splits", "hashes"} & table.keys():
        table[key] = _as_tuple(table[key])
    ids = table.get("exclude_ids", [])
    if isinstance(ids, str):  # a file, one id per line
        try:
            ids = (folder / ids).read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{where}: exclude_ids: {error}") from error
    table["exclude_ids"] = frozenset(i.strip() for i in ids if i.strip())
    return KINDS[kind](**table)


def _check_value(value: Any, kind: type, where: str) -> None:
    """Raise SourceError unless the value has the type of the field."""
    if kind is bool:
        expected, fits = "true or false", isinstance(value, bool)
    elif kind is str:
        expected, fits = "a string", isinstance(value, str)
    elif kind in (int, float):
        allowed = int if kind is int else int | float
        expected = "a whole number" if kind is int else "a number"
        fits = isinstance(value, allowed) and not isinstance(value, bool)
    else:
        expected = "a string or a list of strings"
        fits = isinstance(value, str) or _is_list_of(str, value)
    if not fits or (where.endswith((": name", ": path")) and not value):
        raise SourceError(f"{where}: found {value!r}, expected {expected}")


def _is_list_of(kind: type, value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, kind) for v in value)


def _as_tuple(value: str | list[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
