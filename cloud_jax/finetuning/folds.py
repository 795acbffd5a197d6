"""Folds and their members: which rows train, validate and test.

A fold is two lists of row numbers. They come from a column of the table, from a file
(such as MatBench's) or from a seed. Each fold is trained and tested on its own.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

PROTOCOLS = ("strict", "paper")

# Words of a split column, as `_fold_word` spells them.
_TEST = {"test", "testing", "test_set", "holdout", "hold_out", "held_out"}
_TRAIN = {"train", "training", "train_set", "train_val", "trainval"}
_VALIDATION = {"val", "valid", "validation", "dev"}  # those rows a seed chooses
_BOOLEANS = {"true", "false", "yes", "no", "t", "f", "y", "n", "0", "1", "0.0", "1.0"}


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
        values: one per row. Either a word for test rows and one for training rows, in
            any case, which makes one fold; or the name of the fold that tests the row,
            which is then trained on in all others.

    Raises:
        FoldError: a word for one side without one for the other, a third word, yes and
            no, names that differ in case alone, or too few rows.
    """
    names = sorted(set(values), key=_natural)
    column = np.array([_fold_word(value) for value in values], dtype=str)
    words = set(column.tolist())
    found = f"found {', '.join(names[:6])}"
    if words <= _BOOLEANS:
        raise FoldError(
            f"{found}, which does not say which rows are tested: write test and train, "
            "or the names of folds such as fold_0"
        )
    tests = words & _TEST
    if tests or words & (_TRAIN | _VALIDATION):
        if len(tests) != 1 or len(words) != 2 or words & _VALIDATION:
            raise FoldError(
                f"{found}; expected train and test, both and nothing else, or in every "
                "row the name of the fold that tests it"
            )
        return checked_folds([one_against_rest(column == tests.pop(), "split")])
    if len(words) < len(names):
        raise FoldError(
            f"{found}, of which some differ in case or spaces alone: spell each fold "
            "in one way"
        )
    return checked_folds(
        one_against_rest(column == _fold_word(name), name) for name in names
    )


def folds_from_k(
    n: int,
    k: int,
    seed: int,
    groups: Sequence[str] | None = None,
    classes: Sequence[int] | None = None,
) -> list[Fold]:
    """Return k folds at random.

    Without groups they are scikit-learn's `KFold(k, shuffle=True, random_state=seed)`,
    with classes its `StratifiedKFold`, so that n, 5 and 18012019 give MatBench's own
    folds of a regression or a classification task.

    Args:
        n: rows of the table.
        k: folds.
        seed: of the shuffle.
        groups: one per row; a group is never on both sides.
        classes: one per row; each fold has about the same share of each.

    Raises:
        FoldError: fewer than two rows in a fold, or fewer groups than folds.
    """
    from sklearn import model_selection

    name = ("" if classes is None else "Stratified") + (
        "" if groups is None else "Group"
    )
    kind = getattr(model_selection, f"{name}KFold")
    labels = np.zeros(n) if classes is None else np.asarray(classes)
    try:
        splits = kind(k, shuffle=True, random_state=seed).split(
            np.zeros(n), labels, groups
        )
        return checked_folds(Fold(f"fold_{i}", *rows) for i, rows in enumerate(splits))
    except FoldError:
        raise
    except ValueError as error:
        raise FoldError(f"{n} rows cannot be {k} folds: {error}") from None


def _fold_word(text: str) -> str:
    """Return a word in lower case, with _ for spaces and hyphens."""
    return re.sub(r"[\s_-]+", "_", text.strip().lower())


def _natural(name: str) -> tuple[int, str]:
    """Return a key that sorts 2 before 10."""
    return (int(name) if name.isdecimal() else -1), name


def one_against_rest(test: np.ndarray, name: str) -> Fold:
    """Return the fold that tests the rows of a mask and trains on the others."""
    return Fold(name, np.flatnonzero(~test), np.flatnonzero(test))


def checked_folds(folds: Iterable[Fold]) -> list[Fold]:
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
    fold: Fold,
    *,
    protocol: str,
    fraction: float,
    seed: int,
    member: int,
    groups: Sequence[str] | None = None,
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
        groups: one per row of the table; with `strict`, one that has validation rows
            has no training rows.

    Raises:
        FoldError: fewer than two rows on either side.
        ValueError: an unknown protocol.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r}: expected one of {PROTOCOLS}")
    n = len(fold.train)
    size = round(fraction * n)
    order = np.random.default_rng(seed).permutation(fold.train)
    if groups is not None:  # rows of a group beside each other, groups at random
        place = {groups[row]: at for at, row in reversed(list(enumerate(order)))}
        order = np.array(sorted(order, key=lambda row: place[groups[row]]), dtype=int)
    turn = (member * size + np.arange(size)) % n
    validation = np.sort(order[turn])
    train = np.sort(fold.train)
    if protocol == "strict":
        train = np.setdiff1d(train, validation)
        if groups is not None:  # the first and the last of them may be cut
            held_out = {groups[row] for row in validation}
            train = np.array([i for i in train if groups[i] not in held_out], dtype=int)
    for side, found in (("training", train), ("validation", validation)):
        if len(found) < 2:
            raise FoldError(
                f"fold {fold.name}: a validation fraction of {fraction:g} leaves "
                f"{len(found)} {side} rows of {n}, expected at least 2"
            )
    return train, validation


def plan_members(
    folds: Sequence[Fold],
    n_members: int,
    *,
    protocol: str,
    fraction: float,
    seed: int,
    groups: Sequence[str] | None = None,
) -> list[Member]:
    """Return the members of all folds, fold by fold.

    Args:
        folds: that run.
        n_members: per fold.
        protocol: see `validation_rows`, as the other arguments.
        fraction: of the training rows that validate.
        seed: of the choice of validation rows.
        groups: one per row of the table, see `validation_rows`.

    Raises:
        FoldError: too few rows on one side.
    """
    members = []
    for index, fold in enumerate(folds):
        for number in range(n_members):
            train, validation = validation_rows(
                fold,
                protocol=protocol,
                fraction=fraction,
                seed=seed,
                member=number,
                groups=groups,
            )
            name = f"{fold.name}.{number}"
            members.append(Member(name, index, number, train, validation))
    return members


def without_twins(
    rows: Int[np.ndarray, " n"],
    held_out: Int[np.ndarray, " m"],
    sentences: Sequence[str],
    *,
    name: str,
) -> Int[np.ndarray, " k"]:
    """Return the training rows whose sentence is not that of a held-out row.

    Args:
        rows: to train on.
        held_out: to validate or test with.
        sentences: of all rows of the table.
        name: of the fold or the member, for the error.

    Raises:
        FoldError: fewer than two rows are left.
    """
    seen = {sentences[i] for i in held_out}
    kept = np.array([i for i in rows if sentences[i] not in seen], dtype=int)
    if len(kept) < 2:
        raise FoldError(
            f"{name}: {len(rows) - len(kept)} of {len(rows)} training rows have the "
            f"sentence of one of {len(held_out)} held-out rows, {len(kept)} are left, "
            "expected at least 2: choose other folds, or set "
            "config.folds.exclude_twins to False"
        )
    return kept


def overlaps(sentences: Sequence[str], fold: Fold) -> Int[np.ndarray, " k"]:
    """Return the test rows whose sentence is also that of a training row."""
    trained = {sentences[i] for i in fold.train}
    return np.array([i for i in fold.test if sentences[i] in trained], dtype=int)
