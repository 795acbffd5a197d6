import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure
from pymatgen.io.cif import CifParser, CifWriter
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from cloud_jax.scope import Cell, Scope, encode, read_text, sentence
from cloud_jax.scope.space_groups import generator_string, wyckoff_multiplicities
from cloud_jax.structures.readers import read_json

ROCK_SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def words(structure: Structure, dialect: str) -> str:
    return sentence(encode(Cell.from_structure(structure)), dialect)


def perovskite(a: str, b: str) -> Structure:
    return Structure(
        Lattice.cubic(3.9),
        [a, b, "O", "O", "O"],
        [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )


def half_heusler(shift: float) -> Structure:
    sites = [[0, 0, 0], [0.25] * 3, [0.5] * 3]
    return Structure.from_spacegroup(
        216, Lattice.cubic(5.9), ["Ti", "Ni", "Sn"], np.array(sites) + shift
    )


def test_rock_salt_in_both_dialects():
    generators = "1 6 a O D D a D O D b O O O c O O O d O O O e O O O 0"
    assert words(ROCK_SALT, "paper") == f"{generators} | 4a 4b | Na 0.5 Cl 0.5"
    assert words(ROCK_SALT, "canonical") == f"{generators} | Na 4a Cl 4b | Na 1 Cl 1"
    assert encode(Cell.from_structure(ROCK_SALT)).n_atoms == 2


def test_fractions_round_half_to_even_and_drop_zeros():
    def fractions(**counts):
        scope = Scope(1, (), tuple(counts.items()), 1, 1.0, 0.01, 5.0, "")
        return sentence(scope, "paper").rpartition("| ")[2]

    assert fractions(A=1, B=7) == "A 0.12 B 0.88"
    assert fractions(A=3, B=5) == "A 0.38 B 0.62"
    assert fractions(A=1, B=199) == "A 0.0 B 1.0"  # 0.995 is above 0.995 in binary


def test_swapping_a_and_b_of_a_perovskite_shows_in_canonical_only():
    crystal, twin = perovskite("Ca", "Ti"), perovskite("Ti", "Ca")
    # In the paper dialect only the order of 1a and 1b tells them apart...
    paper = [words(s, "paper").split() for s in (crystal, twin)]
    assert paper[0] != paper[1]
    assert sorted(paper[0]) == sorted(paper[1])
    # ...in the canonical one calcium sits elsewhere, whatever the origin.
    canonical = words(twin, "canonical")
    assert sorted(canonical.split()) != sorted(words(crystal, "canonical").split())
    twin.translate_sites(range(5), [0.5, 0.5, 0.5])
    assert words(twin, "canonical") == canonical


def test_four_origins_of_a_half_heusler_are_one_canonical_sentence():
    shifts = (0, 0.25, 0.5, 0.75)
    assert len({words(half_heusler(s), "paper") for s in shifts}) == 4
    assert len({words(half_heusler(s), "canonical") for s in shifts}) == 1


def reference_string(structure: Structure) -> str:
    """The paper's recipe, step by step with pymatgen: CIF, parser, analyser."""
    parsed = CifParser.from_str(str(CifWriter(structure))).parse_structures(
        primitive=False
    )[0]
    dataset = SpacegroupAnalyzer(parsed).get_symmetry_dataset()
    table = wyckoff_multiplicities(dataset.number)
    symbols = dict.fromkeys(f"{table[w]}{w}" for w in dataset.wyckoffs)
    fractions = parsed.composition.fractional_composition.get_el_amt_dict()
    return " | ".join(
        (
            " ".join(generator_string(dataset.number)),
            " ".join(symbols),
            " ".join(f"{e} {np.round(x, 2)!s}" for e, x in fractions.items()),
        )
    )


@pytest.mark.filterwarnings("ignore")  # pymatgen's notes on rounded coordinates
def test_paper_dialect_follows_the_reference_recipe(aflow_prototypes):
    for snl in aflow_prototypes[::5]:
        structure = Structure.from_dict(snl)
        cell = read_text(str(CifWriter(structure)), "x.cif")
        expected = reference_string(structure)
        assert sentence(encode(cell), "paper") == expected


def supercell(cell: Cell) -> Cell:
    halves = [cell.fractional * [0.5, 1, 1] + [x, 0, 0] for x in (0, 0.5)]
    lattice = cell.lattice * np.array([[2.0], [1.0], [1.0]])
    return Cell(lattice, np.concatenate(halves), cell.species * 2)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_canonical_does_not_depend_on_how_the_crystal_is_given(aflow_prototypes, data):
    snl = data.draw(st.sampled_from(aflow_prototypes))
    cell = read_json(snl)
    expected = sentence(encode(cell), "canonical")
    order = data.draw(st.permutations(range(len(cell.species))))
    shift = [data.draw(st.floats(0, 1)) for _ in range(3)]
    states = [[(f"{cell.species[i]}{1 + i % 3}+", 1.0)] for i in order]
    other = Cell.from_sites(cell.lattice, cell.fractional[list(order)] + shift, states)
    assert other.flags == ("decorated",)
    assert sentence(encode(other), "canonical") == expected
    assert sentence(encode(supercell(cell)), "canonical") == expected


def test_primitive_and_conventional_cells_are_one_crystal(aflow_prototypes):
    for snl in aflow_prototypes[::12]:
        analyzer = SpacegroupAnalyzer(Structure.from_dict(snl))
        strings = {
            words(structure, "canonical")
            for structure in (
                Structure.from_dict(snl),
                analyzer.get_primitive_standard_structure(),
                analyzer.get_conventional_standard_structure(),
            )
        }
        assert len(strings) == 1


def test_an_unknown_dialect_is_named():
    with pytest.raises(ValueError, match="dialect 'klingon': expected one of"):
        words(ROCK_SALT, "klingon")


def test_a_record_survives_json(aflow_prototypes):
    import json

    scope = encode(read_json(aflow_prototypes[40]))
    assert Scope.from_dict(json.loads(json.dumps(scope.to_dict()))) == scope
