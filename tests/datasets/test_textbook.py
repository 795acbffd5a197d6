"""The table of solids in the package: made from its facts, read by its word."""

import csv
from pathlib import Path

import pytest

from cloud_jax.datasets.corpus import read_sources
from cloud_jax.datasets.textbook import PATH
from cloud_jax.finetuning.rows import TableError, TableFile, open_table
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.scope.pipeline import Options
from scripts.check_textbook import group_of, read_table
from scripts.make_textbook_table import rows

ROOT = Path(__file__).resolve().parents[2]
METALLIC = {"TiC", "ZrC", "TaC", "TiN", "ZrN", "VN", "TiB2"}


@pytest.fixture(scope="module")
def solids():
    return read_table()


@pytest.fixture(scope="module")
def table():
    with PATH.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_is_what_the_script_makes_of_the_facts(table, solids):
    made = [{key: str(value) for key, value in row.items()} for row in rows(solids[0])]
    assert table == made


def test_the_examples_hold_the_same_file():
    assert (ROOT / "examples" / "textbook.csv").read_bytes() == PATH.read_bytes()


def test_crystals_are_those_that_the_model_was_checked_with(table, solids):
    structures, _ = solids
    options = Options()
    (source,) = read_sources(["textbook"])
    assert source.count() == len(structures) == 104
    found = parse(source.items(), options, workers=1)
    expected = parse(object_items([*structures.values()]), options, workers=1)
    for row, own, record in zip(table, found, expected, strict=True):
        assert own.canonical == record.canonical, row["id"]
        assert not own.flags, row["id"]


def test_metals_are_metals(table, solids):
    structures, values = solids
    for row in table:
        name = row["id"]
        metal = group_of(structures[name]) == "metals" or name in METALLIC
        assert row["is_metal"] == str(metal).lower(), name
        assert float(row["entropy_j_per_mol_k"]) == values["entropy"][name]
    assert sum(row["is_metal"] == "true" for row in table) == 39


def test_the_word_is_the_file_and_nothing_follows_it():
    assert open_table("textbook") == TableFile(PATH)
    with pytest.raises(TableError, match="expected textbook alone"):
        open_table("textbook:solids")
