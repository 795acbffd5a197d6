"""What `import cloud_jax` offers: names that are there, models by name, one crystal."""

import os
from pathlib import Path

import pandas as pd
import pytest
from ase.build import bulk
from property_model import CV, REGRESSION, write_model
from pymatgen.core import Lattice, Structure

import cloud_jax
from cloud_jax.models.hub import PACKAGED, locate

SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
WEIGHTS = Path(cloud_jax.__file__).parent / "weights"


def test_every_name_is_listed_and_is_there():
    assert set(cloud_jax.__all__) <= set(dir(cloud_jax))
    for name in cloud_jax.__all__:
        assert getattr(cloud_jax, name) is not None
    assert cloud_jax.from_pretrained is cloud_jax.load
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        cloud_jax.nothing  # noqa: B018


def test_models_of_the_package_are_found_by_name(tmp_path, monkeypatch):
    folders = {path.parent.name for path in WEIGHTS.glob("*/model.json")}
    assert folders == set(PACKAGED)
    for name in PACKAGED:
        assert locate(name) == WEIGHTS / name
    assert cloud_jax.load("encoder").model.description["kind"] == "encoder"
    assert cloud_jax.load().model.directory == WEIGHTS / "thermal"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "encoder").mkdir()
    assert locate("encoder") == WEIGHTS / "encoder", "a folder that is not a model"
    write_model(tmp_path / "thermal")
    assert locate("thermal") == Path("thermal"), "a model here goes first"


@pytest.mark.parametrize("name", ["no such", "termal", "C:\\models\\mine", "./a/b"])
def test_what_is_no_model_says_what_would_be(name):
    with pytest.raises(cloud_jax.ModelFolderError, match=r"does not exist.*`thermal`"):
        cloud_jax.load(name)


def test_one_crystal_is_one_table_by_property(tmp_path):
    model = write_model(tmp_path / "m")
    path = tmp_path / "salt.cif"
    SALT.to(filename=str(path))
    forms = [SALT, bulk("NaCl", "rocksalt", 5.64), path, str(path), path.read_text()]
    tables = [cloud_jax.predict_structure(form, 298.15, model=model) for form in forms]
    for table in tables:
        pd.testing.assert_frame_equal(table, tables[0])
    frame = cloud_jax.load(model).predict(SALT, temperature_k=298.15)
    assert tables[0].index.tolist() == frame.property.tolist()
    assert tables[0].value.tolist() == frame.value.tolist()
    assert tables[0].loc["heat_capacity", "unit"] == "J/(mol K)"
    assert tables[0].attrs == {"id": "0", "formula": "NaCl", "notes": ""}
    at_300 = cloud_jax.load(model).predict(SALT, temperature_k=300).value.tolist()
    assert cloud_jax.predict_structure(SALT, model=model).value.tolist() == at_300


def test_one_crystal_that_is_none_or_several_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"0: no_atoms: .*atom"):
        cloud_jax.predict_structure("data_x\n_cell_length_a 3\n")
    for name in ("a.cif", "b.cif"):
        SALT.to(filename=str(tmp_path / name))
    with pytest.raises(ValueError, match="found 2 crystals, expected one"):
        cloud_jax.predict_structure(tmp_path)
    with pytest.raises(ValueError, match=r"not_found: .*no such file"):
        cloud_jax.predict_structure(os.fspath(tmp_path / "c.cif"))


def test_one_crystal_of_a_model_without_a_law(tmp_path):
    folder = write_model(tmp_path / "m", head=REGRESSION, targets=(CV,))
    with pytest.raises(cloud_jax.PredictionError, match="leave the temperature out"):
        cloud_jax.predict_structure(SALT, model=folder)
    table = cloud_jax.predict_structure(SALT, None, model=folder)
    assert table.index.tolist() == ["heat_capacity"]
