"""Files and Python objects, read and parsed to records in the order given."""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from cloud_jax.arguments import nearest
from cloud_jax.files import reason
from cloud_jax.inference.objects import (
    cell_of,
    is_missing,
    named_structures,
    refusal,
    without_arrays,
)
from cloud_jax.scope import Rejection
from cloud_jax.scope.pipeline import Options, Record, Reject, process
from cloud_jax.structures.columns import value_item
from cloud_jax.structures.folder import CifSource, matching
from cloud_jax.structures.source import Piece, RawItem, Source, SourceError

# Silences spglib's notes that it fell back on another of its own algorithms.
os.environ.setdefault("SPGLIB_WARNING", "OFF")

POOL_FROM = 128  # items; fewer are parsed before a worker has imported its packages
TIME_LIMIT_S = 60.0  # per crystal, in a worker

# Files whose rows have columns beside the structures.
_TABLES = (".csv", ".tsv", ".parquet", ".xlsx")
_TABLE = (
    "found a table, expected structure files: in Python, predict(frame[COLUMN]) of "
    "cloud_jax.load() takes a column of structures"
)


def path_items(paths: Iterable[str]) -> Iterator[RawItem]:
    """Yield the crystals in files, folders, patterns and archives.

    The id is the path as given, extended by the name inside a folder, an archive or a
    CIF of several crystals. A path that does not exist or cannot be opened is a reject.

    Args:
        paths: see `CifSource`.
    """
    for path in paths:
        matches = _matches(path)
        if not matches:
            yield RawItem(_text(path), ("not_found", _not_found(path)), "reject")
        for match in matches:
            if match.lower().endswith(_TABLES):
                yield RawItem(_text(match), ("unreadable", _TABLE), "reject")
                continue
            try:
                for item in CifSource("input", paths=(match,)).items():
                    yield item._replace(id=_text(os.path.join(_folder(match), item.id)))
            except (SourceError, OSError) as error:
                yield RawItem(_text(match), ("unreadable", reason(error)), "reject")


def skipped_files(paths: Iterable[str]) -> list[str]:
    """Return the files in folders and archives that `path_items` does not read."""
    names = []
    for match in (match for path in paths for match in _matches(path)):
        with suppress(SourceError, OSError):  # `path_items` makes it a reject
            source = CifSource("input", paths=(match,))
            names += [os.path.join(_folder(match), name) for name in source.skipped()]
    return names


def _matches(path: str) -> list[str]:
    """Return the paths that a path or pattern means."""
    return [path] if os.path.lexists(path) else matching(path)


def _not_found(path: str) -> str:
    """Say that a path leads to nothing, and which name in its folder is like it."""
    folder, name = os.path.split(path)
    names = []
    with suppress(OSError):
        names = os.listdir(folder or ".")
    if near := nearest(name, names):
        return f"no such file or folder; did you mean {os.path.join(folder, near)}?"
    return "no such file or folder, and nothing matches it as a pattern"


def _folder(path: str) -> str:
    """Return the folder that the ids of a path's crystals are relative to."""
    return path if os.path.isdir(path) else os.path.dirname(path)


def count_paths(paths: Sequence[str]) -> int | None:
    """Return how many crystals `path_items` yields, None if only reading can tell."""
    try:
        return CifSource("input", paths=tuple(paths)).count()
    except SourceError:  # a path does not exist: `path_items` makes it a reject
        return None


def _text(path: str) -> str:
    """Return a path as valid UTF-8; other bytes become replacement characters."""
    return os.fsencode(path).decode("utf-8", "replace")


def object_items(structures: Any, ids: Sequence[str] | None = None) -> list[RawItem]:
    """Return Python objects as items; what cannot be read is a reject in its place.

    Args:
        structures: one, or several in a list, array, generator, Series or DataFrame, of
            pymatgen `Structure`, ASE or JARVIS `Atoms`, `Cell`, dictionaries of these,
            structure text, and paths as in `path_items`.
        ids: one per crystal; by default the path, the label or id of a Series or
            DataFrame, or the index in `structures`.

    Raises:
        TypeError: no object is of such a type.
        ValueError: the number of ids is not that of the crystals, or a DataFrame has no
            column of structures.
    """
    items: list[RawItem] = []
    refused: list[str] = []
    for name, value in named_structures(structures):
        found = _items_of(value, name)
        if found is None:
            refused.append(refusal(name, value))
            found = [RawItem(name, ("unknown_type", refused[-1]), "reject")]
        items += found
    if refused and len(refused) == len(items):
        raise TypeError(refused[0])
    if ids is None:
        return items
    if isinstance(ids, str):
        raise ValueError(f"ids: found the text {ids!r}, expected a list of them")
    ids = [str(name) for name in ids]
    if len(ids) != len(items):
        raise ValueError(f"ids: found {len(ids)} for {len(items)} structures")
    return [item._replace(id=name) for item, name in zip(items, ids, strict=True)]


def row_items(structures: Any) -> list[RawItem]:
    """Return Python objects as one item each; what is not one crystal is a reject.

    Args:
        structures: see `object_items`.

    Raises:
        TypeError: neither a structure nor anything that can be iterated.
        ValueError: a DataFrame has no column of structures.
    """
    items = []
    for name, value in named_structures(structures):
        found = _items_of(value, name)
        if found is None:
            found = [RawItem(name, ("unknown_type", refusal(name, value)), "reject")]
        if len(found) != 1:
            problem = f"found {len(found)} crystals in one row, expected one"
            found = [RawItem(name, ("not_one_crystal", problem), "reject")]
        items.append(found[0]._replace(id=name))
    return items


def _items_of(value: Any, name: str) -> list[RawItem] | None:
    """Return the items of one object, None if it is of an unknown type."""
    if is_missing(value):
        problem = f"found {value!r}, expected a structure"
        return [RawItem(name, ("missing_structure", problem), "reject")]
    if isinstance(value, str) and not _is_content(value):
        if value.count("|") == 2 and not os.path.lexists(value):
            problem = (
                f"found the sentence {value[:80]!r}, expected a structure: an object, "
                "the text of a file or its path"
            )
            return [RawItem(name, ("unreadable", problem), "reject")]
        return list(path_items([value]))
    if isinstance(value, str | bytes | dict):
        return [value_item(name, without_arrays(value))]
    if isinstance(value, os.PathLike):
        return list(path_items([os.fspath(value)]))
    try:
        cell = cell_of(value)
    except Rejection as rejection:
        return [RawItem(name, (rejection.code, rejection.message), "reject")]
    return None if cell is None else [RawItem(name, cell, "cell")]


def _is_content(text: str) -> bool:
    """Return whether text is that of a structure file, not a path or a sentence."""
    return "\n" in text or text.lstrip().startswith(("{", "[{"))


@dataclass(frozen=True)
class _Items(Source):
    """A source of items that are already in memory."""

    name: str = ""
    crystals: Iterable[RawItem] = ()

    def pieces(self) -> list[Piece]:
        return [Piece("", Path())]

    def read(self, piece: Piece) -> Iterator[RawItem]:
        yield from self.crystals


def parse(
    items: Iterable[RawItem],
    options: Options,
    *,
    workers: int,
    progress: Callable[[int, bool], None] = lambda n, before: None,
) -> list[Record | Reject]:
    """Parse every item, in order.

    With one worker, or fewer than `POOL_FROM` items, parsing happens in this process.
    Otherwise the pool of preprocessing does it: a crystal that hangs or crashes its
    process becomes a reject and the rest are still parsed.

    Args:
        items: see `path_items` and `object_items`.
        options: dialect, tolerances and limits of the model.
        workers: number of processes.
        progress: called with the number of items just done, and False.

    Raises:
        EngineError: the workers cannot start or keep failing.
        OSError: no disk space for their results.
    """
    items = iter(items)
    first = list(islice(items, POOL_FROM)) if workers > 1 else []
    if len(first) < POOL_FROM:
        results = []
        for item in chain(first, items):
            results.append(_named(process(item, "", options)))
            progress(1, False)
        return results
    from cloud_jax.scope.chunks import chunks, read_results
    from cloud_jax.scope.pool import Limits, Pool

    with (
        tempfile.TemporaryDirectory(prefix="cloud_jax-") as folder,
        Pool(
            workers,
            directory=Path(folder),
            source_names=("",),
            options=options,
            limits=Limits(TIME_LIMIT_S),
        ) as pool,
    ):
        parts = pool.run(chunks([_Items(crystals=chain(first, items))], ""), progress)
        return [_named(result) for part in parts for result in read_results(part)]


def _named(result: Record | Reject) -> Record | Reject:
    """Drop the slash that follows the empty name of the source."""
    return replace(result, id=result.id[1:])
