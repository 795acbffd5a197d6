"""Members: the models of a run, one per fold and seed, and how they are grouped."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
from jaxtyping import Int

from cloud_jax.finetuning.folds import Fold, validation_rows
from cloud_jax.training.errors import RunMismatchError


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


def groups_of(members: Sequence[Member], size: int) -> list[list[Member]]:
    """Cut the members into groups that train side by side."""
    starts = range(0, len(members), size)
    return [list(members[start : start + size]) for start in starts]


def group_name(members: Sequence[Member]) -> str:
    """Return the name of a group's folder, whatever letters a fold's name has."""
    return quote(f"{members[0].name}-{members[-1].name}", safe="")


def saved_epochs(folder: Path) -> dict[str, int]:
    """Return the last saved epoch of each group that has saved one.

    Args:
        folder: `members/` of the work directory.
    """
    saved: dict[str, int] = {}
    for path in folder.glob("*/checkpoints/*"):
        if path.name.isdecimal():
            group = path.parents[1].name
            saved[group] = max(int(path.name), saved.get(group, 0))
    return saved


def check_groups(folder: Path, members: Sequence[Member], size: int) -> None:
    """Refuse to resume with groups of another size than the run started with.

    Their states would not be found, and all would start again without a word.

    Raises:
        RunMismatchError: with the size that they had.
    """
    found = saved_epochs(folder).keys()

    def fits(size: int) -> bool:
        return found <= {group_name(group) for group in groups_of(members, size)}

    if not fits(size):
        was = next(filter(fits, range(1, len(members) + 1)), "what it was")
        raise RunMismatchError(
            f"{folder} was trained {was} members at once, this run has {size} (one per "
            f"device by default): give --config.members_at_once={was} to resume it"
        )
