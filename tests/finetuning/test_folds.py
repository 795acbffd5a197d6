"""Folds partition a table, and nothing of the test rows reaches training."""

import json

import numpy as np
import pytest
from sklearn.model_selection import KFold, StratifiedKFold

from cloud_jax.finetuning.folds import (
    Fold,
    FoldError,
    folds_from_column,
    folds_from_k,
    overlaps,
    validation_rows,
    without_twins,
)
from cloud_jax.finetuning.folds_file import folds_from_file

IDS = [f"mp-{i}" for i in range(6)]
FOLD = Fold("fold_0", np.arange(20, 120), np.arange(20))


def as_lists(folds):
    return [(name, train.tolist(), test.tolist()) for name, train, test in folds]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("train_val", "test"),
        ("Train", "TEST"),
        ("TRAIN", "Test "),
        ("Training", "Testing"),
        ("train", "hold-out"),
        ("Train Set", "Test Set"),
        ("rest", "test"),
    ],
)
def test_a_column_of_train_and_test_is_one_fold(train, test):
    folds = folds_from_column([train, test, test, train])
    assert as_lists(folds) == [("split", [0, 3], [1, 2])]


def test_a_word_may_be_spelt_in_several_cases():
    folds = folds_from_column(["train", "Test", "test", "Train", "TRAIN"])
    assert as_lists(folds) == [("split", [0, 3, 4], [1, 2])]


def test_a_column_of_names_tests_each_row_once():
    folds = folds_from_column(["10", "2", "10", "2"])
    assert as_lists(folds) == [("2", [0, 2], [1, 3]), ("10", [1, 3], [0, 2])]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["train", "test", "val", "val"], "found test, train, val; expected train and"),
        (["train"] * 4, "found train; expected train and test"),
        (["Train", "Test", "Valid", "Test"], "found Test, Train, Valid; expected"),
        (["train", "training", "test", "test"], "found test, train, training; exp"),
        (["test", "testing", "train", "train"], "found test, testing, train; exp"),
        (["train", "test", "unused", "test"], "found test, train, unused; expected"),
        (["validation", "test", "test", "validation"], "expected train and test"),
        (["train", "dev", "dev", "train"], "found dev, train; expected train and"),
        (["True", "False", "True", "False"], "does not say which rows are tested"),
        (["yes", "no", "no", "yes"], "found no, yes, which does not say"),
        (["0", "1", "1", "0"], "found 0, 1, which does not say"),
        (["0.0", "1.0", "1.0", "0.0"], "does not say which rows are tested"),
        (["a", "b", "A", "b"], "differ in case or spaces alone"),
        (["fold 0", "fold_0", "fold_1"], "differ in case or spaces alone"),
        (
            ["train", "train", "test"],
            "fold split: found 1 test rows, expected at least",
        ),
        (["a", "b", "b", "b"], "fold a: found 1 test rows"),
        (["a", "a"], "fold a: found 0 training rows"),
    ],
)
def test_a_column_that_makes_no_folds_says_why(values, message):
    with pytest.raises(FoldError, match=message):
        folds_from_column(values)


def test_k_folds_are_those_of_scikit_learn():
    """So that MatBench's seed gives MatBench's folds."""
    expected = KFold(5, shuffle=True, random_state=18012019).split(np.zeros(23))
    for fold, (train, test) in zip(
        folds_from_k(23, 5, 18012019), expected, strict=True
    ):
        assert fold.train.tolist() == train.tolist()
        assert fold.test.tolist() == test.tolist()


def test_a_group_is_never_on_both_sides():
    groups = [f"formula {i // 3}" for i in range(30)]
    folds = folds_from_k(30, 5, 0, groups)
    for fold in folds:
        assert not {groups[i] for i in fold.train} & {groups[i] for i in fold.test}
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(30))
    assert as_lists(folds) != as_lists(folds_from_k(30, 5, 1, groups))


def test_too_few_rows_or_groups_for_k_folds():
    with pytest.raises(FoldError, match="fold_0: found 1 test rows"):
        folds_from_k(5, 5, 0)
    with pytest.raises(FoldError, match="3 rows cannot be 5 folds"):
        folds_from_k(3, 5, 0)
    with pytest.raises(FoldError, match="10 rows cannot be 5 folds"):
        folds_from_k(10, 5, 0, ["a", "b"] * 5)


def test_a_file_names_test_rows_by_id_or_by_number(tmp_path):
    path = tmp_path / "folds.json"
    path.write_text(json.dumps({"f0": ["mp-4", "mp-1"], "f1": [0, 2]}))
    expected = [("f0", [0, 2, 3, 5], [1, 4]), ("f1", [1, 3, 4, 5], [0, 2])]
    assert as_lists(folds_from_file(path, IDS)) == expected
    sides = {"train": ["mp-0", "mp-5"], "test": ["mp-4", "mp-1"]}
    path.write_text(json.dumps({"f0": sides}))
    assert as_lists(folds_from_file(path, IDS)) == [("f0", [0, 5], [1, 4])]


def test_rows_that_were_set_aside_leave_the_folds_and_do_not_shift_them(tmp_path):
    path = tmp_path / "folds.json"
    path.write_text(json.dumps({"f0": [0, 1, 2], "f1": ["bad", "mp-2", "mp-3"]}))
    ids, rows = IDS[:4], [0, 2, 3, 4]  # the file's row 1 was bad
    folds = folds_from_file(path, ids, rows=rows, rejected=["bad"])
    assert as_lists(folds) == [("f0", [2, 3], [0, 1]), ("f1", [0, 1], [2, 3])]


@pytest.mark.parametrize(
    ("ids", "rejected", "numbers", "count"),
    [
        (["3", "2", "1", "0", "4", "5"], [], [0, 1], "2 of 2"),
        (["7", "1", "2", "3", "0", "5"], [], [0, 1], "1 of 2"),
        (["a", "b", "c", "d", "e", "1"], [], [0, 1], "1 of 2"),
        (["1", "2", "3", "4", "5"], ["0"], [0, 2], "2 of 2"),
    ],
)
def test_a_number_that_may_be_an_id_or_another_row_is_refused(
    tmp_path, ids, rejected, numbers, count
):
    path = tmp_path / "folds.json"
    path.write_text(json.dumps({"f0": numbers}))
    with pytest.raises(FoldError, match=f"{count} numbers are ambiguous"):
        folds_from_file(path, ids, rejected=rejected)


def test_a_number_that_means_one_row_both_ways_is_that_row(tmp_path):
    path = tmp_path / "folds.json"
    path.write_text(json.dumps({"f0": [1, 4], "f1": ["0", "2"]}))
    ids = [str(i) for i in range(6)]
    expected = [("f0", [0, 2, 3, 5], [1, 4]), ("f1", [1, 3, 4, 5], [0, 2])]
    assert as_lists(folds_from_file(path, ids)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"f0": ["mp-1", "mp-9"]}',
            "f0, test: 1 of 2 rows are not in the table: 'mp-9'",
        ),
        ('{"f0": [1, 6]}', "not in the table: 6"),
        ('{"f0": [true, 0]}', "expected one JSON object"),
        ('{"f0": [1.0, 0]}', "expected one JSON object"),
        ('{"f0": [null, 0]}', "expected one JSON object"),
        ('{"f0": [0, 1], "f0": [2, 3]}', "'f0' is there twice"),
        ('{"f0": {"train": [0, 1], "test": [1, 2]}}', "1 rows are trained on and"),
        ('{"f0": {"train": [0, 1]}}', "expected one JSON object"),
        ('{"f0": [[1]]}', "expected one JSON object"),
        ("[1, 2]", "expected one JSON object"),
        ("{", "cannot be read as JSON"),
    ],
)
def test_a_file_that_makes_no_folds_says_why(tmp_path, content, message):
    path = tmp_path / "folds.json"
    path.write_text(content)
    with pytest.raises(FoldError, match=message):
        folds_from_file(path, IDS)


def test_strict_validation_rows_leave_training_and_paper_ones_stay():
    common = {"fraction": 0.25, "seed": 0, "member": 0}
    train, validation = validation_rows(FOLD, protocol="strict", **common)
    assert sorted([*train, *validation]) == FOLD.train.tolist()
    assert len(validation) == 25
    paper_train, paper_validation = validation_rows(FOLD, protocol="paper", **common)
    assert paper_train.tolist() == FOLD.train.tolist()
    assert paper_validation.tolist() == validation.tolist()


def test_members_hold_out_different_rows_until_all_had_their_turn():
    sets = [
        validation_rows(FOLD, protocol="strict", fraction=0.2, seed=0, member=m)[1]
        for m in range(6)
    ]
    assert sorted(np.concatenate(sets[:5])) == FOLD.train.tolist()
    assert sets[5].tolist() == sets[0].tolist()
    other = validation_rows(FOLD, protocol="strict", fraction=0.2, seed=1, member=0)[1]
    assert other.tolist() != sets[0].tolist()


@pytest.mark.parametrize(
    ("fraction", "side"), [(0.01, "validation"), (0.99, "training")]
)
def test_a_fraction_that_leaves_too_few_rows_is_refused(fraction, side):
    with pytest.raises(FoldError, match=f"leaves 1 {side} rows of 100"):
        validation_rows(FOLD, protocol="strict", fraction=fraction, seed=0, member=0)


def test_an_unknown_protocol_is_refused():
    with pytest.raises(ValueError, match="expected one of"):
        validation_rows(FOLD, protocol="loose", fraction=0.1, seed=0, member=0)


def test_overlaps_are_test_rows_that_equal_a_training_row():
    fold = Fold("f", np.array([0, 1]), np.array([2, 3, 4]))
    assert overlaps(["x", "y", "y", "z", "x"], fold).tolist() == [2, 4]


def test_rows_without_twins_share_no_sentence_with_what_is_held_out():
    sentences = ["a", "b", "a", "c", "d"]
    rows, held_out = np.array([0, 1, 3]), np.array([2, 4])
    kept = without_twins(rows, held_out, sentences, name="fold split")
    assert kept.tolist() == [1, 3]


@pytest.mark.parametrize("sentences", ["aaaaa", "abaaa"])
def test_folds_whose_training_rows_are_all_twins_are_refused(sentences):
    rows, held_out = np.array([0, 1, 3]), np.array([2, 4])
    with pytest.raises(FoldError, match=r"member s\.1: . of 3 .* config\.folds\.exclu"):
        without_twins(rows, held_out, sentences, name="member s.1")


def test_a_group_is_on_one_side_of_training_validation_and_test():
    rng = np.random.default_rng(0)
    groups = [f"g{i}" for i in rng.integers(0, 30, 120)]
    folds = folds_from_k(120, 5, 0, groups)
    for fold in folds:
        members = [
            validation_rows(
                fold,
                protocol="strict",
                fraction=0.2,
                seed=0,
                member=member,
                groups=groups,
            )
            for member in range(3)
        ]
        tested = {groups[i] for i in fold.test}
        for train, validation in members:
            sides = [{groups[i] for i in rows} for rows in (train, validation)]
            assert not sides[0] & sides[1]
            assert not (sides[0] | sides[1]) & tested
            assert len(validation) == round(0.2 * len(fold.train))
        assert not np.intersect1d(members[0][1], members[1][1]).size


def test_folds_of_classes_are_those_of_matbench():
    classes = np.arange(100) % 4 == 0
    splits = StratifiedKFold(5, shuffle=True, random_state=18012019)
    expected = [test.tolist() for _, test in splits.split(classes, classes)]
    folds = folds_from_k(100, 5, 18012019, classes=classes)
    assert [fold.test.tolist() for fold in folds] == expected
    assert {classes[fold.test].sum() for fold in folds} == {5}
    grouped = folds_from_k(100, 5, 0, [str(i // 2) for i in range(100)], classes)
    assert all(len({i // 2 for i in fold.test}) * 2 == 20 for fold in grouped)
