"""The list of sources: positional words, or a TOML file that says more.

    embedded                  the crystals inside pymatgen and jarvis-tools
    cif:PATH                  file, folder, pattern, zip or tar
    strings:PATH              CSV with paper-dialect strings
    table:PATH                CSV, JSON, JSON lines or npz
    corpus.toml               [[source]] tables: kind, name, path and the fields of
                              the source's class (licence, citation, column, ...)

Paths in a TOML file are relative to it.
"""

import dataclasses
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_jax.preprocess.sources.cif import CifSource
from cloud_jax.preprocess.sources.embedded import EmbeddedSource
from cloud_jax.preprocess.sources.source import Source, SourceError
from cloud_jax.preprocess.sources.strings import StringsSource
from cloud_jax.preprocess.sources.table import TableSource

KINDS: dict[str, type[Source]] = {
    "embedded": EmbeddedSource,
    "cif": CifSource,
    "strings": StringsSource,
    "table": TableSource,
}


def read_sources(words: Sequence[str]) -> list[Source]:
    """Turn command line words into sources.

    Raises:
        SourceError: an unknown word, kind or field, or two sources of one name.
    """
    sources: list[Source] = []
    for word in words:
        kind, colon, path = word.partition(":")
        if word.endswith(".toml"):
            sources += _read_corpus(Path(word))
        elif word == "embedded":
            sources.append(EmbeddedSource(name="embedded"))
        elif colon and path and kind in KINDS and kind != "embedded":
            name = Path(path.rstrip("/")).name.split(".")[0].replace("*", "") or kind
            sources.append(KINDS[kind](name=name, paths=(path,)))
        else:
            raise SourceError(
                f"source {word!r}: expected embedded, cif:PATH, strings:PATH, "
                "table:PATH or a corpus.toml"
            )
    names = [source.name for source in sources]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(
            f"two sources are called {', '.join(twice)}; ids start with the name: give "
            "names in a corpus.toml"
        )
    return sources


def _read_corpus(path: Path) -> list[Source]:
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SourceError(f"{path}: cannot be read as TOML ({error})") from error
    tables = data.pop("source", [])
    if data or not isinstance(tables, list) or not tables:
        raise SourceError(
            f"{path}: found {sorted(data) or 'no source'}, expected only [[source]]"
        )
    return [
        _build_source(table, f"{path}: source {number}", path.parent)
        for number, table in enumerate(tables, 1)
    ]


def _build_source(table: dict[str, Any], where: str, folder: Path) -> Source:
    kind = table.pop("kind", None)
    if kind not in KINDS:
        raise SourceError(f"{where}: found kind {kind!r}, expected {', '.join(KINDS)}")
    fields = {field.name for field in dataclasses.fields(KINDS[kind])}
    allowed = sorted(fields - {"paths"} | ({"path"} if "paths" in fields else set()))
    unknown = sorted(set(table) - set(allowed))
    if unknown or "name" not in table or ("path" in allowed and "path" not in table):
        raise SourceError(
            f"{where}: found {', '.join(unknown or table)}; expected name"
            f"{' and path' if 'path' in allowed else ''}, and perhaps "
            f"{', '.join(allowed)}"
        )
    if "path" in table:
        paths = table.pop("path")
        paths = [paths] if isinstance(paths, str) else paths
        table["paths"] = tuple(str(folder / path) for path in paths)
    if "splits" in table:
        table["splits"] = tuple(table["splits"])
    ids = table.get("exclude_ids", [])
    if isinstance(ids, str):  # a file, one id a line
        try:
            ids = (folder / ids).read_text("utf-8").splitlines()
        except OSError as error:
            raise SourceError(f"{where}: exclude_ids: {error}") from error
    table["exclude_ids"] = frozenset(str(i).strip() for i in ids)
    return KINDS[kind](**table)
