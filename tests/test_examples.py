"""The crystals of `examples/` are what their names say."""

from pathlib import Path

import pytest

from cloud_jax.inference.inputs import parse, path_items
from cloud_jax.scope.pipeline import Options, Record

FOLDER = Path(__file__).resolve().parents[1] / "examples"
EXPECTED = {
    "copper": ("Cu1", 225),
    "corundum": ("Al2 O3", 167),
    "halite": ("Cl1 Na1", 225),
    "quartz": ("O2 Si1", 152),
    "rutile": ("O2 Ti1", 136),
}


def test_every_example_is_expected():
    assert sorted(path.stem for path in FOLDER.glob("*.cif")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_example_has_its_formula_and_space_group_and_no_flag(name):
    items = path_items([str(FOLDER / f"{name}.cif")])
    (record,) = parse(items, Options(), workers=1)
    assert isinstance(record, Record), record
    assert (record.formula, record.space_group) == EXPECTED[name]
    assert record.flags == []
