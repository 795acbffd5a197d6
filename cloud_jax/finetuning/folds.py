"""Folds and their members: which rows train, validate and test; how targets scale.

A fold is two lists of row numbers. They come from a column of the table, from a file
(such as MatBench's) or from a seed. Each fold is trained and tested on its own.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

PROTOCOLS = ("strict", "paper")


class FoldError(ValueError):
    """Rows that cannot be trained on or tested as asked; the message says why."""


class Fold(NamedTuple):
    """Rows of a table, as indices into it.

    Attributes:
        name: `split` where the table has train and test rows.
        train: rows that may be trained on and selected with.
        test: rows that only the final numbers see.
    """

    name: str
    train: Int[np.ndarray, " n"]
    test: Int[np.ndarray, " m"]


class Member(NamedTuple):
    """One model of the run.

    Attributes:
        name: fold and number, as in `fold_0.2`.
        fold: index of its fold.
        number: of the member in its fold, from 0.
        train: rows of the table that it learns from.
        validation: rows that its best state is chosen with.
    """

    name: str
    fold: int
    number: int
    train: Int[np.ndarray, " n"]
    validation: Int[np.ndarray, " v"]


def folds_from_column(values: Sequence[str]) -> list[Fold]:
    """Return the folds that a column says.

    Args:
        values: one per row. Either `test` and one other word (`train`, `train_val`),
            which makes one fold; or the name of the fold that tests the row, which is
            then trained on in all others.

    Raises:
        FoldError: `test` and several other words, or too few rows.
    """
    column = np.array(values, dtype=str)
    names = sorted(set(column.tolist()), key=_natural)
    if not {"train", "test"} & set(names):
        return _checked(_one_against_rest(column == name, name) for name in names)
    if len(names) != 2 or "test" not in names:
        raise FoldError(
            f"the split column holds {', '.join(names[:6])}; expected train and test, "
            "both, or in every row the name of the fold that tests it"
        )
    return _checked([_one_against_rest(column == "test", "split")])


def folds_from_k(
    n: int, k: int, seed: int, groups: Sequence[str] | None = None
) -> list[Fold]:
    """Return k folds at random.

    Without groups they are scikit-learn's `KFold(k, shuffle=True, random_state=seed)`,
    so that n, 5 and 18012019 give MatBench's own folds of a regression task.

    Args:
        n: rows of the table.
        k: folds.
        seed: of the shuffle.
        groups: one per row; a group is never on both sides.

    Raises:
        FoldError: fewer than two rows in a fold, or fewer groups than folds.
    """
    from sklearn.model_selection import GroupKFold, KFold

    kind = KFold if groups is None else GroupKFold
    try:
        splits = kind(k, shuffle=True, random_state=seed).split(
            np.zeros(n), groups=groups
        )
        return _checked(Fold(f"fold_{i}", *rows) for i, rows in enumerate(splits))
    except FoldError:
        raise
    except ValueError as error:
        raise FoldError(f"{n} rows cannot be {k} folds: {error}") from None


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
    (text) or a row number of the table's file counted from 0 (a number).

    Args:
        path: of the file.
        ids: of the table.
        rows: number of each row in the table's file; from 0 without gaps by default.
        rejected: ids of rows that were read and set aside; a fold may name them.

    Raises:
        FoldError: not such a file, a row that the table never had, a row both trained
            on and tested, or too few rows.
    """
    path = Path(path)
    places = {name: i for i, name in enumerate(ids)}
    numbers = range(len(ids)) if rows is None else map(int, rows)
    places |= {number: i for i, number in enumerate(numbers)}
    known = {*places, *rejected, *range(len(ids) + len(rejected))}

    def indices(names: list, what: str) -> np.ndarray:
        unknown = [name for name in names if name not in known]
        if unknown:
            raise FoldError(
                f"{path}: {what}: {len(unknown)} of {len(names)} rows are not in the "
                f"table: {', '.join(map(repr, unknown[:5]))}; the table's ids are like "
                f"{ids[0]!r}, and numbers count its rows from 0"
            )
        return np.array(sorted({places[n] for n in names if n in places}), dtype=int)

    folds = []
    for name, entry in _read_folds(path).items():
        sides = entry if isinstance(entry, dict) else {"test": entry}
        test = indices(sides["test"], f"{name}, test")
        fold = _one_against_rest(np.isin(np.arange(len(ids)), test), name)
        if "train" in sides:
            fold = fold._replace(train=indices(sides["train"], f"{name}, train"))
        folds.append(fold)
    return _checked(folds)


def _read_folds(path: Path) -> dict:
    """Return {fold: [test rows] or {test, train}}."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FoldError(f"{path}: cannot be read as JSON ({error})") from None
    usable = (
        isinstance(content, dict) and content and all(map(_is_fold, content.values()))
    )
    if not usable:
        raise FoldError(
            f"{path}: expected one JSON object that gives each fold its list of test "
            'rows, {"fold_0": ["mp-1", ...], ...}, or {"train": [...], "test": [...]}'
        )
    return content


def _is_fold(entry: object) -> bool:
    sides = [entry]
    if isinstance(entry, dict):
        sides = [entry.get("test"), entry.get("train", [])]
    return all(
        isinstance(side, list) and all(isinstance(row, str | int) for row in side)
        for side in sides
    )


def _natural(name: str) -> tuple[int, str]:
    """Return a key that sorts 2 before 10."""
    return (int(name) if name.isdecimal() else -1), name


def _one_against_rest(test: np.ndarray, name: str) -> Fold:
    """Return the fold that tests the rows of a mask and trains on the others."""
    return Fold(name, np.flatnonzero(~test), np.flatnonzero(test))


def _checked(folds: Iterable[Fold]) -> list[Fold]:
    """Return folds as a list; raise FoldError for one that cannot be used."""
    folds = list(folds)
    for name, train, test in folds:
        for side, found in (("training", train), ("test", test)):
            if len(found) < 2:
                raise FoldError(
                    f"fold {name}: found {len(found)} {side} rows, expected at least 2"
                )
        if len(both := np.intersect1d(train, test)):
            raise FoldError(f"fold {name}: {len(both)} rows are trained on and tested")
    return folds


def validation_rows(
    fold: Fold, *, protocol: str, fraction: float, seed: int, member: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " v"]]:
    """Return the training and validation rows of one member of an ensemble, sorted.

    A member selects its best state with the validation rows. Members take turns
    through one shuffle of the training rows, so that their validation rows do not
    overlap while there are enough.

    Args:
        fold: its test rows are not used.
        protocol: `strict`: validation rows leave the training rows; `paper`: they
            stay in, as the reference code has it.
        fraction: of the fold's training rows.
        seed: of the shuffle.
        member: number of the ensemble member, from 0.

    Raises:
        FoldError: fewer than two rows on either side.
        ValueError: an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r}: expected one of {PROTOCOLS}")
    n = len(fold.train)
    size = round(fraction * n)
    order = np.random.default_rng(seed).permutation(fold.train)
    turn = (member * size + np.arange(size)) % n
    validation = np.sort(order[turn])
    train = np.sort(fold.train)
    if protocol == "strict":
        train = np.setdiff1d(train, validation)
    for side, found in (("training", train), ("validation", validation)):
        if len(found) < 2:
            raise FoldError(
                f"fold {fold.name}: a validation fraction of {fraction:g} leaves "
                f"{len(found)} {side} rows of {n}, expected at least 2"
            )
    return train, validation


def plan_members(
    folds: Sequence[Fold], n_members: int, *, protocol: str, fraction: float, seed: int
) -> list[Member]:
    """Return the members of all folds, fold by fold.

    Args:
        folds: that run.
        n_members: per fold.
        protocol: see `validation_rows`, as the other arguments.
        fraction: of the training rows that validate.
        seed: of the choice of validation rows.

    Raises:
        FoldError: too few rows on one side.
    """
    members = []
    for index, fold in enumerate(folds):
        for number in range(n_members):
            train, validation = validation_rows(
                fold, protocol=protocol, fraction=fraction, seed=seed, member=number
            )
            name = f"{fold.name}.{number}"
            members.append(Member(name, index, number, train, validation))
    return members


def overlaps(sentences: Sequence[str], fold: Fold) -> Int[np.ndarray, " k"]:
    """Return the test rows whose sentence is also that of a training row."""
    trained = {sentences[i] for i in fold.train}
    return np.array([i for i in fold.test if sentences[i] in trained], dtype=int)


class Scaling(NamedTuple):
    """Statistics of training rows, one number per target each.

    Attributes:
        mean: by which targets are centred.
        std: standard deviation, by which they are scaled.
        mad: mean absolute deviation.
    """

    mean: Float[np.ndarray, " P"]
    std: Float[np.ndarray, " P"]
    mad: Float[np.ndarray, " P"]


def fit_scaling(
    targets: Float[np.ndarray, "N P"],
    train: Int[np.ndarray, " n"],
    names: Sequence[str],
) -> Scaling:
    """Return the statistics of some rows.

    Args:
        targets: of the whole table.
        train: rows to measure.
        names: of the targets, for the error.

    Raises:
        FoldError: a target is the same in all of them.
    """
    rows = np.asarray(targets, dtype=float)[train]
    for name, column in zip(names, rows.T, strict=True):
        if np.ptp(column) == 0:
            raise FoldError(
                f"target {name}: found {column[0]:g} in all {len(rows)} training rows, "
                "expected more than one value"
            )
    mean = rows.mean(axis=0)
    return Scaling(mean, rows.std(axis=0), np.abs(rows - mean).mean(axis=0))
