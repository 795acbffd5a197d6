"""Groups of members: their names, and what a resumed run finds in their folders."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest

from cloud_jax.finetuning.folds import Fold, plan_members
from cloud_jax.finetuning.groups import (
    check_groups,
    group_name,
    groups_of,
    saved_epochs,
)
from cloud_jax.finetuning.run import group_size
from cloud_jax.training.errors import RunMismatchError

FOLDS = [Fold(name, np.arange(10, 50), np.arange(10)) for name in ("fold_0", "a/b")]
MEMBERS = plan_members(FOLDS, 3, protocol="strict", fraction=0.1, seed=0)


def save(folder, name, *epochs):
    for epoch in epochs:
        (folder / name / "checkpoints" / str(epoch)).mkdir(parents=True)


def test_members_follow_fold_by_fold_and_validate_on_rows_of_their_own():
    assert [member.name for member in MEMBERS[2:4]] == ["fold_0.2", "a/b.0"]
    assert [member.fold for member in MEMBERS] == [0, 0, 0, 1, 1, 1]
    validation = np.concatenate([member.validation for member in MEMBERS[:3]])
    assert len(set(validation)) == len(validation) == 12


def test_the_last_group_may_be_smaller_and_any_fold_makes_a_folder():
    groups = groups_of(MEMBERS, 4)
    assert [len(group) for group in groups] == [4, 2]
    assert group_name(groups[0]) == "fold_0.0-a%2Fb.0"


@pytest.mark.parametrize(
    ("backend", "at_once", "size"), [("gpu", 0, 6), ("gpu", 4, 4), ("cpu", 0, 2)]
)
def test_an_accelerator_trains_the_members_of_all_folds_in_one_group(
    backend, at_once, size, monkeypatch
):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "device_count", lambda: 1 if backend == "gpu" else 2)
    config = SimpleNamespace(members_at_once=at_once)
    found = group_size(SimpleNamespace(members=MEMBERS, config=config))
    assert found == size
    assert len(groups_of(MEMBERS, found)) == -(-len(MEMBERS) // size)


def test_saved_epochs_are_those_of_complete_checkpoints(tmp_path):
    assert saved_epochs(tmp_path) == {}
    save(tmp_path, "one", 2, 10, "11.orbax-checkpoint-tmp")
    save(tmp_path, "two", 4)
    assert saved_epochs(tmp_path) == {"one": 10, "two": 4}


def test_groups_of_another_size_are_refused_with_the_size_they_had(tmp_path):
    save(tmp_path, group_name(MEMBERS[:3]), 1)
    check_groups(tmp_path, MEMBERS, 3)
    with pytest.raises(RunMismatchError, match="members_at_once=3 to resume"):
        check_groups(tmp_path, MEMBERS, 2)
