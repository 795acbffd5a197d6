"""What a labelled amount holds, in mol of atoms a joule."""

from types import SimpleNamespace

import numpy as np
import pytest

from cloud_jax.finetuning.targets import Target
from cloud_jax.finetuning.units import composition, target_amounts
from cloud_jax.physics.laws import get_law

QUARTZ = "0 2 n O O C e O O O 0 | O 6c Si 3a | Si 1 O 2"
TABLE = SimpleNamespace(
    ids=["quartz"], sentences=[QUARTZ], n_atoms=np.array([9]), targets=np.zeros((1, 1))
)


def amount(unit, basis, property="heat_capacity", table=TABLE):
    target = Target("t", property, unit, basis, 300.0)
    (found,) = target_amounts(get_law("debye"), [target], table, dialect="canonical")
    return found


def test_a_canonical_sentence_holds_the_formula():
    assert composition(QUARTZ) == {"Si": 1, "O": 2}


@pytest.mark.parametrize(
    ("unit", "basis", "expected"),
    [
        ("J/(mol K)", "cell", 9),
        ("kJ/(mol K)", "cell", 0.009),
        ("J/(mol K)", "atom", 1),
        ("J/(mol K)", "formula", 3),
        ("J/(g K)", "gram", 3 / 60.084),  # g/mol of SiO2
        ("kJ/(g K)", "gram", 0.003 / 60.084),
    ],
)
def test_atoms_in_a_unit_of_each_basis(unit, basis, expected):
    assert amount(unit, basis) == pytest.approx([expected], rel=1e-4)


@pytest.mark.parametrize(
    ("unit", "basis", "message"),
    [
        ("J/mol", "cell", r"expected J/\(mol K\) or kJ/\(mol K\)"),
        ("J/(mol K)", "gram", r"expected J/\(g K\)"),
        ("eV", "atom", "found unit 'eV'"),
        ("J/(mol K)", "", "what a mol of it counts"),
    ],
)
def test_what_a_law_does_not_give_is_refused(unit, basis, message):
    with pytest.raises(ValueError, match=message):
        amount(unit, basis)


def test_a_cell_needs_its_number_of_atoms():
    unknown = SimpleNamespace(**vars(TABLE) | {"n_atoms": np.array([0])})
    with pytest.raises(ValueError, match="n_atoms_column"):
        amount("J/(mol K)", "cell", table=unknown)
    assert amount("J/(mol K)", "formula", table=unknown) == [3]
