"""JSON of pymatgen, ASE and JARVIS: booleans of any spelling, layers and molecules."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from ase.io import write
from crystals import groups, items
from pymatgen.core import Lattice, Molecule, Structure

from cloud_jax.scope import encode
from cloud_jax.scope.pipeline import read_cell
from cloud_jax.structures.extxyz import read_extxyz
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.structure_json import read_json

JARVIS = {
    "lattice_mat": [[0, 2, 2], [2, 0, 2], [2, 2, 0]],
    "coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "elements": ["Al", "C"],
}
LAYER = Atoms("Fe2", [[0, 0, 8], [1.43, 1.43, 10]], cell=[2.86, 2.86, 20])


@pytest.mark.parametrize("word", ["False", "false", "F", ".FALSE.", "no", 0, "0", None])
def test_coordinates_are_fractional_where_cartesian_is_false(word):
    assert encode(read_json(JARVIS | {"cartesian": word})).space_group == 225


@pytest.mark.parametrize("word", ["True", "true", "T", ".TRUE.", "yes", 1, "1", True])
def test_coordinates_are_cartesian_where_cartesian_is_true(word):
    values = JARVIS | {"coords": [[0, 0, 0], [2, 2, 2]], "cartesian": word}
    assert encode(read_json(json.loads(json.dumps(values)))).space_group == 225


@pytest.mark.parametrize("word", ["maybe", 2, ["False"], "cartesian"])
def test_what_is_neither_true_nor_false_is_refused(word):
    values = JARVIS | {"cartesian": word}
    with pytest.raises(Rejection, match=r"cartesian: found .*, expected true or false"):
        read_json(values)


@pytest.mark.parametrize(
    ("pbc", "flags"),
    [
        ([True, True, False], ("low_dimensional",)),
        (["True", "True", "False"], ("low_dimensional",)),
        ([1, 0, 0], ("low_dimensional",)),
        ("T T F", ("low_dimensional",)),
        ("[True, True, False]", ("low_dimensional",)),
        ({"__ndarray__": [[3], "bool", [False, True, True]]}, ("low_dimensional",)),
        (np.array([True, False, True]), ("low_dimensional",)),
        ([True] * 3, ()),
        ("T T T", ()),
        (True, ()),
        (None, ()),
    ],
)
def test_a_layer_is_flagged_whatever_way_pbc_is_written(pbc, flags):
    values = {"numbers": [26], "positions": [[0, 0, 0]], "cell": np.eye(3) * 3}
    assert read_json(values | {"pbc": pbc}).flags == flags


@pytest.mark.parametrize("pbc", [[False] * 3, False, "F F F", [0, 0, 0], ["false"] * 3])
def test_what_repeats_nowhere_is_a_molecule(pbc):
    values = {"numbers": [26], "positions": [[0, 0, 0]], "cell": np.zeros((3, 3))}
    with pytest.raises(Rejection, match="not_periodic: found a molecule"):
        read_json(values | {"pbc": pbc})


@pytest.mark.parametrize("pbc", [[True, True], ["T", "T", "?"], "TTF", "periodic"])
def test_odd_periodicity_is_refused(pbc):
    values = {"numbers": [26], "positions": [[0, 0, 0]], "cell": np.eye(3) * 3}
    with pytest.raises(Rejection, match="pbc: found"):
        read_json(values | {"pbc": pbc})


def test_each_format_flags_a_layer(tmp_path):
    LAYER.pbc = True, True, False
    lattice = Lattice(LAYER.cell.array, pbc=(True, True, False))
    structure = Structure(lattice, ["Fe"] * 2, LAYER.get_scaled_positions())
    with connect(tmp_path / "t.db") as database:
        database.write(LAYER)
    write(tmp_path / "t.xyz", LAYER, format="extxyz")
    write(tmp_path / "t.json", LAYER)
    cells = [read_json(json.loads(json.dumps(structure.as_dict())))]
    cells += [read_cell(item) for item in items(f"table:{tmp_path}/t.db")]
    cells += [read_extxyz((tmp_path / "t.xyz").read_text())]
    cells += [read_json((tmp_path / "t.json").read_text())]
    assert [cell.flags for cell in cells] == [("low_dimensional",)] * 4
    assert {encode(cell).space_group for cell in cells} == {129}


def test_a_molecule_of_pymatgen_is_called_one():
    water = Molecule(["O", "H", "H"], [[0, 0, 0], [0.8, 0.6, 0], [-0.8, 0.6, 0]])
    with pytest.raises(Rejection, match="not_periodic: found a molecule"):
        read_json(water.as_dict())


def test_labels_and_isotopes_in_xyz(tmp_path):
    head = '2\nLattice="4 0 0 0 4 0 0 0 4" Properties={}\n'
    plain = '2\nLattice="4 0 0 0 4 0 0 0 4"\nD 0 0 0\nCl 2 2 2\n'
    moved = head.format("pos:R:3:id:I:1:species:S:1") + "0 0 0 7 D\n2 2 2 8 Cl1\n"
    for text in (plain, moved, plain.replace("\n", "\r\n"), plain + "\n\n"):
        cell = read_extxyz(text)
        assert (cell.species, cell.flags) == (("H", "Cl"), ("isotope",))
    numbers = head.format("pos:R:3:Z:I:1") + "0 0 0 55\n2 2 2 17\n"
    assert read_extxyz(numbers).species == ("Cs", "Cl")
    assert read_extxyz(numbers * 2).flags == ("first_of_several",)
    (tmp_path / "a.xyz").write_text(plain.replace("Cl", "Vac"))
    (tmp_path / "b.xyz").write_text(plain.replace("Cl 2", "\n"))
    (tmp_path / "c.xyz").write_text("not a frame\n")
    (tmp_path / "d.xyz").write_text(plain + "more text\n")
    expected = ["unknown_species", *["unreadable"] * 3, 221, "unreadable"]
    assert groups(items(f"cif:{tmp_path}")) == expected
