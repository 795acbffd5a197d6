"""The CIF reader repairs each kind of damage, or says what it is."""

import pytest
from damage import DAMAGES, HARMLESS
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifWriter

from cloud_jax.scope.pipeline import Options, Record, process
from cloud_jax.structures.items import file_items
from cloud_jax.structures.source import RawItem

PEROVSKITE = Structure.from_spacegroup(
    221,
    Lattice.cubic(3.9),
    ["Ca", "Ti", "O"],
    [[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5]],
)
TEXT = str(CifWriter(PEROVSKITE, symprec=0.01))
CODES = {
    "no_atoms": "empty white_space only_comments cut_in_loop_head missing_column",
    "unreadable": "web_page cut_in_cell cut_in_operations cut_in_row missing_loop "
    "missing_value extra_value unclosed_quote unclosed_text no_block missing_symbols",
    "binary": "gzip_bytes binary zero_bytes",
    "bad_lattice": "zero_length negative_length huge_length tiny_lengths "
    "unknown_length text_length comma_length zero_angle straight_angle "
    "impossible_angles flat_cell "
    "no_lengths",
    "bad_symmetry": "binary_middle unknown_name missing_operation false_operation "
    "singular_operation nonsense_operation many_operations",
    "bad_coordinates": "text_coordinate nan_coordinate infinite_coordinate "
    "huge_coordinate unknown_coordinate comma_coordinate fraction_coordinate "
    "half_closed_uncertainty swapped_columns",
    "unknown_species": "unknown_element dummy_element superheavy_element vacancy",
    "occupancy": "high_occupancy negative_occupancy text_occupancy atom_twice",
    "overlapping_sites": "close_atoms",
    "ambiguous": "two_lengths",
    "too_many_sites": "million_rows many_images",
}
EXPECTED = {kind: code for code, kinds in CODES.items() for kind in kinds.split()}
# The file is valid and holds another crystal; only its formula tells.
FLAGS = {
    "cut_after_row": ["formula_differs"],
    "no_symmetry": ["formula_differs"],
    "partial_occupancy": ["disordered", "formula_differs"],
    "unknown_name_with_number": ["setting_assumed"],
}
# Words of the message by which the place is found.
WORDS = {
    "cut_in_row": "line 66 'loop_': Wrong number of values in loop _atom_site_*",
    "unclosed_quote": 'line 15 "_chemical_name_common \'a mineral"',
    "web_page": "a web page or XML: '<!DOCTYPE html>",
    "gzip_bytes": "gzip-compressed data (gunzip it)",
    "comma_length": "_cell_length_a: found 4,2, expected a positive number",
    "tiny_lengths": "found cell vectors of 0.0001 0.0001 0.0001 A, expected 0.1 to",
    "flat_cell": "A^3 per atom",
    "missing_operation": "the 47 operations are no group: -y,x,z after -y,x,-z is",
    "singular_operation": "x,x,z changes the volume",
    "unknown_name": "found 'Q 7/m', which is no space group we know",
    "fraction_coordinate": "atom 1 (Ca): found 0.00000000, 1/3, 0.00000000, expected",
    "atom_twice": "found occupancies {'O': 2.0} on one site",
    "two_lengths": "_cell_length_a is given twice, first as 3.90000000, then as 77.7",
    "many_operations": "100,048 operations, a space group has at most 192",
    "million_rows": "found 1,000,000 rows of atoms",
}


def results(kind, **options):
    items = file_items("a.cif", DAMAGES[kind](TEXT))
    return [process(item, "s", Options(**options)) for item in items]


SOUND = process(RawItem("sound", TEXT, "cif"), "s", Options()).canonical


def test_every_kind_of_damage_has_an_expectation():
    assert DAMAGES.keys() == EXPECTED.keys() | HARMLESS | FLAGS.keys()


@pytest.mark.parametrize("kind", EXPECTED)
def test_damage_is_rejected_with_its_reason(kind):
    (result,) = results(kind)
    assert result.code == EXPECTED[kind]
    assert WORDS.get(kind, "") in result.message
    assert 15 < len(result.message) <= 400


@pytest.mark.parametrize("kind", sorted(HARMLESS))
def test_harmless_damage_gives_the_sound_crystal(kind):
    found = results(kind)
    assert len(found) == (2 if kind == "two_blocks_of_one_name" else 1)
    assert {(result.canonical, *result.flags) for result in found} == {(SOUND,)}


@pytest.mark.parametrize("kind", FLAGS)
def test_a_record_that_contradicts_its_formula_is_flagged(kind):
    (result,) = results(kind)
    assert isinstance(result, Record)
    assert result.flags == FLAGS[kind]


def test_the_policy_can_reject_disorder():
    (result,) = results("partial_occupancy", disorder="reject")
    assert result.code == "disordered"
