"""De-duplication, reserved crystals and the split, on hand-made tables."""

import random

import pyarrow as pa
import pytest

from cloud_jax.preprocess.keys import duplicate_key, hash64, split_group
from cloud_jax.preprocess.selection import select


def table(rows):
    """Rows of (id, key, volume, group, reserved)."""
    return pa.table(
        {
            "id": pa.array([r[0] for r in rows]),
            "key_high": pa.array([hash64(r[1]) for r in rows], pa.uint64()),
            "key_low": pa.array([0] * len(rows), pa.uint64()),
            "volume_per_atom": pa.array([r[2] for r in rows], pa.float64()),
            "group": pa.array([hash64(r[3]) for r in rows], pa.uint64()),
            "reserved": pa.array([r[4] for r in rows]),
            **dict.fromkeys(("source", "piece", "number"), [0] * len(rows)),
        }
    )


def kept_ids(rows, deduplicate="canonical", seed=0, validation_fraction=0.5):
    fates = select(
        table(rows),
        deduplicate=deduplicate,
        seed=seed,
        validation_fraction=validation_fraction,
    )
    ids = [row[0] for row in rows]
    return {
        name: bool(fates.validation[i]) for i, name in enumerate(ids) if fates.kept[i]
    }, {name: ids[fates.representative[i]] for i, name in enumerate(ids)}


def test_the_smallest_volume_per_atom_stays_and_ties_go_to_the_least_id():
    rows = [
        ("b", "one", 10.0, "f", False),
        ("c", "one", 9.0, "f", False),
        ("a", "one", 9.0, "f", False),
        ("d", "two", None, "g", False),
        ("e", "two", 50.0, "g", False),
    ]
    kept, representative = kept_ids(rows)
    assert set(kept) == {"a", "e"}
    assert representative == {"a": "a", "b": "a", "c": "a", "d": "e", "e": "e"}


def test_the_choice_does_not_depend_on_the_order_of_arrival():
    generator = random.Random(0)
    rows = [
        (f"id{i}", f"k{i % 37}", float(i % 5), f"g{i % 17}", i % 101 == 0)
        for i in range(300)
    ]
    expected = kept_ids(rows)
    for _ in range(5):
        generator.shuffle(rows)
        assert kept_ids(rows) == expected


def test_without_deduplication_all_stay_but_the_reserved():
    rows = [
        ("a", "one", 1.0, "f", False),
        ("b", "one", 2.0, "f", False),
        ("c", "two", 1.0, "f", False),
        ("d", "two", 9.0, "f", True),
    ]
    assert set(kept_ids(rows, "none")[0]) == {"a", "b"}


def test_what_equals_a_reserved_crystal_stays_out_even_with_a_smaller_volume():
    rows = [
        ("mine", "one", 1.0, "f", False),
        ("test-row", "one", 2.0, "f", True),
        ("other", "two", 3.0, "f", False),
    ]
    assert set(kept_ids(rows)[0]) == {"other"}


def test_a_group_is_on_one_side_and_the_seed_moves_it():
    rows = [(f"id{i}", f"k{i}", 1.0, f"g{i % 40}", False) for i in range(400)]
    kept, _ = kept_ids(rows)
    for group in range(40):
        assert len({kept[f"id{i}"] for i in range(group, 400, 40)}) == 1
    assert 0.25 < sum(kept.values()) / 400 < 0.75
    assert kept_ids(rows, seed=1)[0] != kept
    assert not any(kept_ids(rows, validation_fraction=0.0)[0].values())


ROW = {
    "formula": "Cl1 Na1",
    "space_group": 225,
    "paper": "1 3 n | 4a 4b | Na 0.5 Cl 0.5",
    "canonical": "1 3 n | Na 4a Cl 4b | Na 1 Cl 1",
}
STRING = ROW | {"space_group": None, "canonical": None, "formula": "Cl0.5 Na0.5"}


@pytest.mark.parametrize(
    ("row", "rule", "key"),
    [
        (ROW, "canonical", "1 3 n | Na 4a Cl 4b | Na 1 Cl 1"),
        (ROW, "none", "1 3 n | Na 4a Cl 4b | Na 1 Cl 1"),
        (ROW, "formula+spacegroup", "Cl1 Na1 | 225"),
        (STRING, "canonical", "1 3 n | 4a 4b | Na 0.5 Cl 0.5"),
        (STRING, "formula+spacegroup", "Cl0.5 Na0.5 | 1 3 n"),
    ],
)
def test_duplicate_keys(row, rule, key):
    assert duplicate_key(row, rule) == key


def test_the_split_group_is_the_composition_in_any_order_and_of_any_source():
    swapped = ROW | {"paper": "1 3 n | 4b 4a | Cl 0.5 Na 0.5"}
    assert split_group(ROW) == split_group(swapped) == split_group(STRING)
    assert split_group(ROW) == "Cl 0.5 Na 0.5"
