"""POSCARs are read as pymatgen reads them, and what it cannot read is a reject."""

import warnings

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.vasp import Poscar

from cloud_jax.structures.cell import Cell
from cloud_jax.structures.poscar import read_poscar
from cloud_jax.structures.rejection import Rejection

HEAD = "salt\n1.0\n4 0 0\n0 4 0\n0 0 4\n"
SITES = "0 0 0\n0.5 0.5 0.5\n"
LATTICE = "5.1 0 0\n0.2 6.3 0\n-0.4 0.1 7.7\n"


def pymatgen_cell(text: str) -> Cell:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Cell.from_structure(Poscar.from_str(text).structure)


def assert_equal(found: Cell, expected: Cell) -> None:
    assert found.species == expected.species
    np.testing.assert_allclose(found.lattice, expected.lattice, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.fractional, expected.fractional, atol=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "Na Cl\n1 1\nDirect\n" + SITES,
        HEAD + "Na Cl\n1 1\ndirect   comment\n" + SITES + "\n0 0 0\n0 0 0\n",
        HEAD + "Na Cl\n1 1\nSelective dynamics\nDirect\n0 0 0 T T F\n.5 .5 .5 F F F\n",
        HEAD + "Na F\n1 1\nselective\nd\n0 0 0 T T T\n.5 .5 .5 T T T\n",
        f"x\n-180.5\n{LATTICE}Ga As\n1 1\nDirect\n{SITES}",
        f"x\n1.7\n{LATTICE}Ga As\n1 1\nCartesian\n0 0 0\n1.2 1.3 -0.4\n",
        f"x\n2.0\n{LATTICE}Mg_pv/f474ac0d Si/79d9987a\n1 1\nK\n0 0 0\n1 1 1\n",
        f"x\n1\n{LATTICE}1 1\nDirect\n0 0 0 Ga\n0.5 0.5 0.5 As\n",
        f"x\n1\n{LATTICE}1 1\nS\nD\n0 0 0 T T T Ga\n0.5 0.5 0.5 F F F As\n",
        f"x\n1\n{LATTICE}Ga As Ga\nAs\n1 2 1\n1\nDirect\n" + "0.1 0.2 0.3\n" * 5,
        f"x\n1\n{LATTICE}Ga As\n1 1 # two\nDirect\n0.1-0.2-0.3\n.5 .5 .5 # here\n",
        "\n1.0\n" + LATTICE + "Ga As\n1 1\nDirect\n" + SITES,
    ],
)
def test_a_form_of_the_format_is_read_as_pymatgen_reads_it(text):
    assert_equal(read_poscar(text), pymatgen_cell(text))
    assert_equal(read_poscar(text.replace("\n", "\r\n")), pymatgen_cell(text))


def test_288_prototypes_are_read_as_pymatgen_reads_them(aflow_prototypes):
    for values in aflow_prototypes:
        text = Structure.from_dict(values).get_sorted_structure().to(fmt="poscar")
        assert_equal(read_poscar(text), pymatgen_cell(text))


def test_a_negative_scale_is_a_volume_for_cartesian_sites_too():
    """VASP's manual; pymatgen multiplies the sites by the volume."""
    text = "x\n-512\n4 0 0\n0 4 0\n0 0 4\nGa As\n1 1\nCartesian\n0 0 0\n2 2 2\n"
    cell = read_poscar(text)
    assert cell.volume == pytest.approx(512)
    np.testing.assert_allclose(cell.fractional[1], 0.5)


def test_three_scales_and_a_comment_behind_the_scale():
    three = read_poscar("x\n1 2 3\n4 0 0\n0 4 0\n0 0 4\nGa As\n1 1\nD\n" + SITES)
    np.testing.assert_allclose(np.diag(three.lattice), [4, 8, 12])
    one = read_poscar("x\n2.0 angstrom\n4 0 0\n0 4 0\n0 0 4\nGa As\n1 1\nD\n" + SITES)
    np.testing.assert_allclose(np.diag(one.lattice), [8, 8, 8])


BODY = f"Na Cl\n1 1\nDirect\n{SITES}"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + BODY.replace(SITES, "0 0 0 .TRUE. .false. T\n.5 .5 .5 F T F\n"),
        HEAD + "Na Cl\n1 1\nsel\nD\n0 0 0 T T F Na\n.5 .5 .5 T T F Cl\n",
        HEAD + BODY.replace("Direct", ""),
        HEAD + BODY.replace("Direct", "DIRECT"),
        HEAD + "Na Cl\n1 1\ncARTESIAN\n0 0 0\n2 2 2\n",
        HEAD + "Na Cl\n1 1\nkart\n0 0 0\n2 2 2\n",
        HEAD.replace("4 0 0", "4.D0, 0d0, 0.0D+00") + BODY.replace(".5", ".05d1"),
        HEAD.replace("1.0", "1.0d0 angstrom").replace("0\n", "0 ! vector\n") + BODY,
        HEAD + "Na Cl ! elements\n1 1 atoms\nDirect ! mode\n" + SITES,
        HEAD + "H Na Cl\n0 1 1\nDirect\n" + SITES,
        HEAD + BODY + "\nLattice velocities and vectors\n1\n" + "0 0 0\n" * 8,
        HEAD + BODY.replace("Na Cl", "Na_pv Cl_GW/f474ac0d"),
        (HEAD + BODY).replace("\n", "\r"),
        (HEAD + BODY).replace(" ", "\t"),
    ],
)
def test_forms_that_other_readers_refuse_are_read(text):
    cell = read_poscar(text)
    assert (cell.species, cell.flags) == (("Na", "Cl"), ())
    np.testing.assert_allclose(cell.lattice, np.eye(3) * 4)
    np.testing.assert_allclose(cell.fractional, [[0] * 3, [0.5] * 3])


def test_the_comment_of_vasp_4_names_the_elements_and_is_flagged():
    for comment in ("Na Cl", "Na1 Cl1"):
        cell = read_poscar(HEAD.replace("salt", comment) + "1 1\nDirect\n" + SITES)
        assert (cell.species, cell.flags) == (("Na", "Cl"), ("symbols_from_comment",))
    for comment in ("NaCl", "Na2 Cl1", "Na Cl K", "Na salt", "H He Li"):
        with pytest.raises(Rejection, match="no element symbols"):
            read_poscar(HEAD.replace("salt", comment) + "1 1\nDirect\n" + SITES)


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", "unreadable", "not a POSCAR"),
        (HEAD, "unreadable", "not a POSCAR"),
        (HEAD + "1 1\nDirect\n" + SITES, "unreadable", "no element symbols"),
        (HEAD + "Na\n1 1\nDirect\n" + SITES, "unreadable", "1 symbols and 2 counts"),
        (HEAD + "Na Cl\n1 2\nDirect\n" + SITES, "unreadable", "not a POSCAR"),
        (HEAD + "Na Cl\n1 1\nDirect\n0 0\n1 1 1\n", "unreadable", "three numbers"),
        (
            HEAD + "Na Cl\n1 1\nDirect\n0 0 x\n1 1 1\n",
            "unreadable",
            "line 9: found",
        ),
        (HEAD + BODY.replace("1 1", "1.0 1"), "unreadable", "line 7: found '1.0 1'"),
        (HEAD + BODY.replace("1 1", "-1 1"), "unreadable", "expected the number of"),
        (HEAD.replace("1.0", "1 -1 1") + BODY, "unreadable", "three above 0"),
        (HEAD.replace("1.0", "0") + BODY, "unreadable", "expected a scaling factor"),
        (HEAD.replace("1.0", "1 2") + BODY, "unreadable", "expected a scaling factor"),
        (HEAD + "Na Cl\n1 1", "unreadable", "the file ends after line 7"),
        (HEAD + "Na Xx\n1 1\nDirect\n" + SITES, "unknown_species", "'Xx'"),
        (HEAD + "Na Cl\n1 9999999\nDirect\n" + SITES, "too_many_sites", "10,000,000"),
        (
            "x\ny\n4 0 0\n0 4 0\n0 0 4\nNa\n1\nD\n0 0 0\n",
            "unreadable",
            "line 2: found",
        ),
        ("x\n1\n4 0 0\n4 0 0\n0 0 4\nNa\n1\nC\n0 0 0\n", "unreadable", "Singular"),
        ("x\n-9\n4 0 0\n4 0 0\n0 0 4\nNa\n1\nD\n0 0 0\n", "unreadable", "no volume"),
    ],
)
def test_what_is_not_a_poscar_is_rejected_with_the_reason(text, code, message):
    with pytest.raises(Rejection) as stop:
        read_poscar(text)
    assert stop.value.code == code
    assert message in stop.value.message
