import json
import re

import numpy as np
import pytest
from pymatgen.core import DummySpecies, Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter

from cloud_jax.scope import Cell, Rejection, encode, read_text, sentence
from cloud_jax.structures.readers import read_cif, read_json
from cloud_jax.structures.species import element_of

CIF = """data_test
_cell_length_a 4.0(1)
_cell_length_b 4.0
_cell_length_c 4.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cs1 Cs+ 0 0 0 1.0
Cl1 Cl- 0.5 0.5 0.5 1.0
"""


def code_of(call) -> str:
    with pytest.raises(Rejection) as caught:
        call()
    return caught.value.code


@pytest.mark.filterwarnings("ignore")  # pymatgen's notes on rounded coordinates
def test_symmetry_loops_expand_to_the_sites_that_pymatgen_finds(aflow_prototypes):
    for snl in aflow_prototypes[::6]:
        text = str(CifWriter(Structure.from_dict(snl), symprec=0.01))
        theirs = CifParser.from_str(text).parse_structures(primitive=False)[0]
        ours = read_cif(text)
        assert sorted(ours.species) == sorted(s.species_string for s in theirs)
        assert sentence(encode(ours), "canonical") == sentence(
            encode(Cell.from_structure(theirs)), "canonical"
        )


def test_uncertainties_and_oxidation_states_are_understood():
    cell = read_cif(CIF)
    assert cell.species == ("Cs", "Cl")
    assert cell.flags == ("decorated",)
    np.testing.assert_allclose(cell.lattice, 4 * np.eye(3), atol=1e-12)


def test_operations_from_the_space_group_name_when_none_are_listed():
    text = CIF.replace("loop_", "_symmetry_space_group_name_H-M 'F m -3 m'\nloop_", 1)
    assert len(read_cif(text).species) == 8


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("_atom_site_fract_x", "_atom_site_other", "no_atoms"),
        ("Cs1 Cs+ 0 0", "Cs1 Cs+ ? 0", "bad_coordinates"),
        ("Cs1 Cs+", "X1 X", "unknown_species"),
        ("Cs1 Cs+", "Vac1 Vac", "unknown_species"),
        ("_length_a 4.0(1)", "_length_a -4", "bad_lattice"),
        ("_length_a 4.0(1)", "_length_b 4", "ambiguous"),
        ("_angle_gamma 90", "_angle_gamma 180", "bad_lattice"),
        ("_angle_gamma 90", "_angle_gamma 200", "bad_lattice"),
        ("loop_", "_space_group_name_H-M_alt nonsense\nloop_", "bad_symmetry"),
        ("loop_", "_symmetry_equiv_pos_as_xyz 'x,y,oops'\nloop_", "bad_symmetry"),
        ("0.5 0.5 0.5 1.0", "0.5 0.5 0.5 1.7", "occupancy"),
        ("0 0 0 1", "0 0 0 half", "occupancy"),
        ("0 0 0 1", "0 0 0 1e-9", "occupancy"),
        ("data_test", "no block here", "unreadable"),
        (CIF, "", "no_atoms"),
        (CIF, "\x00\x01\x02", "unreadable"),
    ],
)
def test_a_damaged_cif_is_rejected_with_its_reason(old, new, code):
    assert code_of(lambda: encode(read_cif(CIF.replace(old, new, 1)))) == code


def test_overlapping_atoms_are_told_from_other_failures():
    text = CIF.replace("0.5 0.5 0.5", "0 0 0.0002")
    with pytest.raises(Rejection, match=r"atoms 1 and 2 .* are 0\.0008 A apart"):
        encode(read_cif(text))


def test_rows_on_one_point_are_one_mixed_site():
    mixed = CIF.replace("Cl1 Cl- 0.5 0.5 0.5 1.0", "Cl1 Cl 0.5 0.5 0.5 0.7")
    mixed += "Br1 Br 0.5 0.5 0.5 0.3\n"
    cell = read_cif(mixed)
    assert cell.species == ("Cs", (("Br", 0.3), ("Cl", 0.7)))
    scope = encode(cell)
    assert scope.flags == ("decorated", "disordered")
    assert scope.formula == "Br3 Cl7 Cs10"
    assert [orbit.element for orbit in scope.orbits] == ["Cs", "Cl"]
    assert code_of(lambda: encode(cell, disorder="reject")) == "disordered"


@pytest.mark.parametrize(
    ("symbol", "element"),
    [
        ("Fe3+", "Fe"),
        ("FE1", "Fe"),
        ("O-H", "O"),
        ("Wat", "O"),
        ("D", "H"),
        ("C12", "C"),
    ],
)
def test_elements_of_odd_labels(symbol, element):
    assert element_of(symbol) == element


def test_atoms_of_occupancy_zero_are_not_there():
    assert read_cif(CIF.replace("0.5 0.5 0.5 1.0", "0.5 0.5 0.5 0")).species == ("Cs",)
    none = re.sub(r" 1(\.0)?$", " 0.", CIF, flags=re.MULTILINE)
    assert code_of(lambda: read_cif(none)) == "no_atoms"


def test_deuterium_is_hydrogen_and_flagged():
    cell = read_cif(CIF.replace("Cs1 Cs+", "D1 D").replace("Cl-", "Cl"))
    assert cell.species == ("H", "Cl")
    assert cell.flags == ("isotope",)


@pytest.mark.parametrize("symbol", ["Sg", "Og", "Cn1", "Bq", "Uue", "N/A", "Unknown"])
def test_what_only_starts_like_an_element_is_rejected(symbol):
    assert code_of(lambda: element_of(symbol)) == "unknown_species"


def test_origin_and_axes_of_a_space_group_name():
    def atoms(name, cell=CIF):
        line = f"_symmetry_space_group_name_H-M '{name}'\nloop_"
        return len(read_cif(cell.replace("loop_", line, 1)).species)

    # Cs at the origin of Fd-3m: 8a in origin choice 1, 16c in choice 2.
    assert atoms("F d -3 m S") == 16
    assert atoms("F d -3 m Z") == 32
    rhombohedral = CIF
    for angle in ("alpha", "beta", "gamma"):
        rhombohedral = rhombohedral.replace(f"_{angle} 90", f"_{angle} 60")
    assert atoms("R -3 m", rhombohedral) == 2


def test_a_magnetic_cif_is_expanded_by_its_own_operations():
    loops = """loop_
_space_group_symop_magn_operation.xyz
x,y,z,+1
-x,-y,-z,-1
loop_
_space_group_symop_magn_centering.xyz
x,y,z,+1
x+1/2,y+1/2,z,-1
"""
    assert len(read_cif(CIF + loops).species) == 4


def test_a_byte_order_mark_is_not_part_of_a_file():
    assert read_cif("\ufeff" + CIF).species == ("Cs", "Cl")


def test_the_first_of_several_structures_is_read_and_flagged():
    flags = read_cif(CIF + CIF.replace("data_test", "data_other")).flags
    assert flags == ("decorated", "first_of_several")


def test_elements_past_the_vocabulary_and_dummies_are_rejected():
    lattice = np.eye(3) * 4
    assert code_of(lambda: Cell.from_arrays(lattice, [[0, 0, 0]], [104])) == (
        "unknown_species"
    )
    dummy = Structure(Lattice.cubic(4), [DummySpecies("X")], [[0, 0, 0]])
    assert code_of(lambda: Cell.from_structure(dummy)) == "unknown_species"


def test_pymatgen_ase_and_poscar_give_one_sentence(aflow_prototypes):
    structure = Structure.from_dict(aflow_prototypes[40])
    ase = {
        "numbers": {"__ndarray__": [[len(structure)], "int64", []]},
        "positions": structure.cart_coords.tolist(),
        "cell": {"array": structure.lattice.matrix.tolist()},
    }
    ase["numbers"]["__ndarray__"][2] = list(structure.atomic_numbers)
    strings = {
        sentence(encode(read_text(text, name)), "canonical")
        for name, text in {
            "a.json": json.dumps(structure.as_dict()),
            "b.json": json.dumps({"ids": [1], "1": ase}),
            "POSCAR_c": structure.to(fmt="poscar"),
            "d.cif": structure.to(fmt="cif"),
        }.items()
    }
    assert len(strings) == 1


def test_a_poscar_without_element_symbols_is_rejected():
    text = "x\n1.0\n4 0 0\n0 4 0\n0 0 4\n1 1\nDirect\n0 0 0\n0.5 0.5 0.5\n"
    assert code_of(lambda: read_text(text, "POSCAR")) == "unreadable"


def test_json_that_is_not_a_structure_says_what_is_expected():
    for text in ("{}", "[1, 2]", "not json", '{"numbers": [1]}'):
        assert code_of(lambda text=text: read_json(text)) == "unreadable"
    with pytest.raises(Rejection, match=r"found a file named 'a\.txt', expected"):
        read_text("", "folder/a.txt")


def test_a_flat_lattice_and_bad_shapes_are_rejected():
    flat = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0]])
    assert code_of(lambda: Cell(flat, np.zeros((1, 3)), ("H",))) == "bad_lattice"
    assert code_of(lambda: Cell(np.eye(3), np.zeros((2, 3)), ("H",))) == (
        "bad_coordinates"
    )
    assert code_of(lambda: Cell(np.eye(3), np.zeros((0, 3)), ())) == "no_atoms"


def test_a_flag_that_no_reader_of_a_record_knows_is_refused():
    cell = Cell(np.eye(3) * 3, np.zeros((1, 3)), ("Po",))
    assert cell.flagged("isotope").flags == ("isotope",)
    with pytest.raises(ValueError, match=r"unknown flags.*isotop'"):
        cell.flagged("isotop")
