"""Folds from a file of test rows, such as MatBench publishes."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cloud_jax.files import cause
from cloud_jax.finetuning.folds import (
    Fold,
    FoldError,
    checked_folds,
    one_against_rest,
)


def folds_from_file(
    path: str | Path,
    ids: Sequence[str],
    *,
    rows: Sequence[int] | None = None,
    rejected: Sequence[str] = (),
) -> list[Fold]:
    """Return the folds of a JSON file: `{"fold_0": [test rows], ...}`.

    A fold may also be `{"train": [rows], "test": [rows]}`, as MatBench publishes
    them; without `train` all rows that are not tested are trained on. A row is an id
    (text) or a row number of the table's file counted from 0 (a number). A number that
    is also an id must mean the same row.

    Args:
        path: of the file.
        ids: of the table.
        rows: number of each row in the table's file; from 0 without gaps by default.
        rejected: ids of rows that were read and set aside; a fold may name them.

    Raises:
        FoldError: not such a file, a row that the table never had, a number that may
            be one row or another, a row both trained on and tested, or too few rows.
    """
    path = Path(path)
    places = {name: i for i, name in enumerate(ids)}
    numbers = range(len(ids)) if rows is None else map(int, rows)
    places |= {number: i for i, number in enumerate(numbers)}
    known = {*places, *rejected, *range(len(ids) + len(rejected))}

    def indices(names: list, what: str) -> np.ndarray:
        _refuse_rows(names, known, places, f"{path}: {what}")
        return np.array(sorted({places[n] for n in names if n in places}), dtype=int)

    folds = []
    for name, entry in _read_folds(path).items():
        sides = entry if isinstance(entry, dict) else {"test": entry}
        test = indices(sides["test"], f"{name}, test")
        fold = one_against_rest(np.isin(np.arange(len(ids)), test), name)
        if "train" in sides:
            fold = fold._replace(train=indices(sides["train"], f"{name}, train"))
        folds.append(fold)
    return checked_folds(folds)


def _refuse_rows(
    names: list[str | int],
    known: set[str | int],
    places: dict[str | int, int],
    where: str,
) -> None:
    """Raise FoldError for rows that the table never had, or that may be two.

    Args:
        names: ids and row numbers.
        known: all of the table, also of rows that were set aside.
        places: the index of each usable row.
        where: for the message.
    """
    if unknown := [name for name in names if name not in known]:
        example = next(name for name in places if isinstance(name, str))
        raise FoldError(
            f"{where}: {len(unknown)} of {len(names)} rows are not in the table: "
            f"{', '.join(map(repr, unknown[:5]))}; the table's ids are text like "
            f"{example!r}, and numbers count its rows from 0"
        )
    twofold = [
        name
        for name in names
        if str(name) in known and places.get(name) != places.get(str(name))
    ]
    if twofold:
        raise FoldError(
            f"{where}: {len(twofold)} of {len(names)} numbers are ambiguous: "
            f"{twofold[0]} is an id or the number of another row; write ids as text, "
            f'"{twofold[0]}", or give the table ids that are not numbers'
        )


def _read_folds(path: Path) -> dict:
    """Return {fold: [test rows] or {test, train}}."""
    try:
        content = json.loads(
            path.read_text(encoding="utf-8"), object_pairs_hook=_distinct
        )
    except FoldError as error:
        raise FoldError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:
        raise FoldError(f"{path}: cannot be read as JSON ({cause(error)})") from None
    usable = (
        isinstance(content, dict) and content and all(map(_is_fold, content.values()))
    )
    if not usable:
        raise FoldError(
            f"{path}: expected one JSON object that gives each fold its list of test "
            'rows, {"fold_0": ["mp-1", ...], ...}, or {"train": [...], "test": [...]}'
        )
    return content


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Return an object of JSON; raise FoldError for a name that is there twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for name, _ in pairs if [n for n, _ in pairs].count(name) > 1)
        raise FoldError(f"{twice!r} is there twice, expected once")
    return content


def _is_fold(entry: object) -> bool:
    sides = [entry]
    if isinstance(entry, dict):
        sides = [entry.get("test"), entry.get("train", [])]
    return all(
        isinstance(side, list) and all(type(row) in (str, int) for row in side)
        for side in sides
    )
