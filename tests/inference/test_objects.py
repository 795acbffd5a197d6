"""Python objects are read, or refused with what is accepted; one costs its row only."""

import zipfile
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from property_model import write_model
from pymatgen.core import DummySpecies, IStructure, Lattice, Molecule, Structure
from pymatgen.entries.computed_entries import ComputedStructureEntry

import cloud_jax
from cloud_jax.inference.inputs import object_items
from cloud_jax.scope.pipeline import Options, Record, process

SALT = Structure.from_spacegroup(
    225, Lattice.cubic(4.02), ["Li", "F"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
ATOMS = bulk("LiF", "rocksalt", 4.02)
WATER = Molecule(["O", "H", "H"], [[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]])


def jarvis(*, cartesian: bool) -> SimpleNamespace:
    """An object with the attributes of `jarvis.core.atoms.Atoms`."""
    return SimpleNamespace(
        lattice_mat=SALT.lattice.matrix,
        lattice=SimpleNamespace(),
        coords=SALT.cart_coords if cartesian else SALT.frac_coords,
        frac_coords=SALT.frac_coords,
        cart_coords=SALT.cart_coords,
        elements=[site.species_string for site in SALT],
        cartesian=cartesian,
    )


def read(structures) -> dict[str, str]:
    """Return the sentence of each object by its id, or its reject code."""
    results = [process(item, "", Options()) for item in object_items(structures)]
    return {
        result.id[1:]: result.canonical if isinstance(result, Record) else result.code
        for result in results
    }


SENTENCE = read(SALT)["0"]


@pytest.mark.parametrize(
    "value",
    [
        IStructure.from_sites(SALT.sites),
        ATOMS,
        jarvis(cartesian=False),
        jarvis(cartesian=True),
        SALT.as_dict(),
        ATOMS.todict(),
        SALT.to_json(),
        SALT.to(fmt="poscar"),
        SALT.to(fmt="cif").encode(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_structure_of_each_kind(value):
    assert SENTENCE.endswith("Li 4a F 4b | Li 1 F 1")
    assert read(value) == {"0": SENTENCE}
    assert read([value, value]) == {"0": SENTENCE, "1": SENTENCE}


def test_several_in_whatever_holds_them(tmp_path):
    path = tmp_path / "a.cif"
    SALT.to(filename=str(path))
    both = {"0": SENTENCE, "1": SENTENCE}
    assert read((SALT, ATOMS)) == both
    assert read(x for x in (SALT, ATOMS)) == both
    assert read(np.array([str(path)])) == {str(path): SENTENCE}
    assert read(np.array(str(path))) == {str(path): SENTENCE}
    assert read({path}) == {str(path): SENTENCE}
    assert read(map(str, [path])) == {str(path): SENTENCE}
    series = pd.Series([SALT, ATOMS], index=["a", 7])
    assert read(series) == {"a": SENTENCE, "7": SENTENCE}
    frame = pd.DataFrame({"e": [1, 2], "structure": [SALT, ATOMS.todict()]}, [3, 4])
    assert read(frame) == {"3": SENTENCE, "4": SENTENCE}
    frame["material_id"] = ["mp-1", "mp-2"]
    assert read(frame) == {"mp-1": SENTENCE, "mp-2": SENTENCE}
    assert read(pd.DataFrame({"any": [path.read_text()]})) == {"0": SENTENCE}


def test_nested_columns_of_parquet_are_read(tmp_path):
    structure = SALT.as_dict() | {"properties": None}
    for site in structure["sites"]:
        del site["properties"]  # an empty struct, which Parquet does not have
    atoms = {key: value.tolist() for key, value in ATOMS.todict().items()}
    names = ("lattice_mat", "coords", "elements", "cartesian")
    found = {name: getattr(jarvis(cartesian=True), name) for name in names}
    found |= {name: found[name].tolist() for name in names[:2]}
    entry = {
        "lattice_vectors": SALT.lattice.matrix.tolist(),
        "cartesian_site_positions": SALT.cart_coords.tolist(),
        "species_at_sites": found["elements"],
    }
    for value in (structure, atoms, found, entry, {"attributes": entry}):
        pd.DataFrame({"structure": [value]}).to_parquet(tmp_path / "t.parquet")
        assert read(pd.read_parquet(tmp_path / "t.parquet")) == {"0": SENTENCE}


def test_a_bad_object_costs_its_row():
    dummy = Structure(SALT.lattice, [DummySpecies("X")], [[0, 0, 0]])
    broken = SimpleNamespace(lattice=1, frac_coords=2)
    bad = [None, np.nan, pd.NA, "", 5, WATER, molecule("H2O"), dummy, broken, [SALT]]
    codes = ["missing_structure"] * 4 + ["unknown_type"] * 2
    codes += ["not_periodic", "unknown_species", "unreadable", "unknown_type"]
    found = read([*bad, SALT])
    assert list(found.values()) == [*codes, SENTENCE]
    _, _, item, _ = object_items([SALT, None, WATER, 5])
    why = "structure 2 has type Molecule, a molecule without a lattice; expected a pym"
    assert item.payload[1].startswith(why)


@pytest.mark.parametrize(
    "value",
    [
        None,
        np.nan,
        5,
        WATER,
        [WATER],
        [1, 2],
        np.zeros((3, 3)),
        SALT.lattice,
        [[SALT]],
        (SALT.lattice.matrix, SALT.frac_coords, [3] * 8),
        ComputedStructureEntry(SALT, 0),
        StringIO("data_x\n_cell_length_a 4\n"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_a_structure_is_refused_with_what_is(value):
    with pytest.raises(TypeError, match=r"type .* expected a pymatgen Structure, an A"):
        object_items(value)


@pytest.mark.parametrize("columns", [["x", "y"], ["cif", "cif"]])
def test_a_frame_without_a_column_of_structures_is_refused(columns):
    with pytest.raises(ValueError, match=r"columns .* expected one called cif or str"):
        object_items(pd.DataFrame([[SALT, SALT]], columns=columns))


def test_layers_are_flagged_and_molecules_rejected():
    layer = Atoms(ATOMS, pbc=(True, True, False))
    lattice = Lattice(SALT.lattice.matrix, pbc=(False, True, True))
    for value in (layer, Structure(lattice, SALT.species, SALT.frac_coords)):
        (item,) = object_items(value)
        assert item.payload.flags == ("low_dimensional",)
    lattice = Lattice(SALT.lattice.matrix, pbc=(False, False, False))
    box = Structure(lattice, SALT.species, SALT.frac_coords)
    assert read([box, molecule("H2O")]) == {"0": "not_periodic", "1": "not_periodic"}


def test_an_archive_without_structures_is_no_item(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("notes.txt", "")
    assert object_items([tmp_path / "a.zip"]) == []
    assert read([tmp_path / "a.zip", SALT]) == {"1": SENTENCE}


def test_the_text_of_each_format_is_known_by_its_content():
    cif = SALT.to(fmt="cif")
    dotted = "# made by hand\n" + cif.replace("_cell_", "_cell.")
    xyz = '2\nLattice="4 0 0 0 4 0 0 0 4" pbc="T T T"\nCs 0 0 0\nCl 2 2 2\n'
    poscar = SALT.to(fmt="poscar").replace("Li4 F4", "8")
    found = read([cif, dotted, poscar, SALT.to_json(), xyz])
    assert list(found.values())[:4] == [SENTENCE] * 4
    assert found["4"].endswith("| Cs 1a Cl 1b | Cs 1 Cl 1")


def test_text_that_is_neither_a_path_nor_a_structure():
    found = read([SENTENCE, "nowhere.cif", "a\0b", "x" * 5000, "{}", "[{}]"])
    codes = ["unreadable", *["not_found"] * 3, *["unreadable"] * 2]
    assert list(found.values()) == codes
    assert "5" in found
    (item,) = object_items(SENTENCE)
    assert item.payload[1].startswith("found the sentence '1 6 a O")


@pytest.mark.parametrize("wide", [False, True])
def test_without_crystals_the_columns_keep_their_types(tmp_path, wide):
    predictor = cloud_jax.load(write_model(tmp_path / "m"))
    full = predictor.predict(SALT, temperature_k="300", wide=wide)
    assert set(full["temperature_k"].dropna()) == {300}
    for value in ([], pd.DataFrame({"structure": []})):
        empty = predictor.predict(value, temperature_k="300", wide=wide)
        assert empty.empty
        assert list(empty.columns) == list(full.columns)
        for name, kind in full.dtypes.items():
            assert (empty[name].dtype.kind == "f") == (kind.kind == "f")
    with pytest.warns(UserWarning, match="missing_structure"):
        assert predictor.embed([None]).empty
