"""Targets: from raw outputs to labels, and mol of atoms per unit of a label."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cloud_jax.finetuning.targets import (
    Target,
    check_physics,
    composition,
    make_targets,
    n_outputs,
    prediction,
    target_amounts,
)
from cloud_jax.physics import debye
from cloud_jax.physics.laws import get_law

CV = Target("cv", "heat_capacity", "J/(mol K)", "cell", 300.0)
U = Target("u", "internal_energy", "J/mol", "cell", 100.0)

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


def test_a_law_gives_each_target_at_its_temperature_and_amount():
    law, targets = get_law("debye"), [CV, U]
    assert n_outputs(law, targets) == 1
    raw = jnp.array([[-0.5], [0.0], [1.0]])
    atoms = jnp.array([[2.0, 2.0], [5.0, 5.0], [1.0, 0.001]])  # the last U in kJ
    found = prediction(law, targets)(raw, atoms, None, None)
    theta = 450.0 * jax.nn.softplus(raw[:, 0] + np.log(np.e - 1))
    assert float(theta[1]) == pytest.approx(450.0)
    cv = debye.heat_capacity(theta, 300.0, atoms[:, 0])
    u = debye.internal_energy(theta, 100.0, atoms[:, 1])
    np.testing.assert_allclose(found, jnp.stack([cv, u], axis=1), rtol=1e-5)


def test_regression_undoes_the_scaling():
    predict = prediction(None, [CV, U])
    found = predict(jnp.array([[1.0, -2.0]]), None, np.array([3.0, 4.0]), 0.5)
    assert found.tolist() == [[3.5, 3.0]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"property": "hardness"}, "one of heat_capacity, entropy"),
        ({"temperature_k": None}, "needs the temperature"),
        ({"temperature_k": -1.0}, "found -1.0"),
        ({"property": "debye_temperature", "temperature_k": np.inf}, "found inf"),
    ],
)
def test_what_no_law_can_give_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        check_physics([CV._replace(**change)])


def test_a_temperature_as_a_target_has_no_basis():
    theta = Target("theta", "debye_temperature", "K", "", None)
    check_physics([theta, theta._replace(temperature_k=300.0)])
    found = target_amounts(get_law("debye"), [theta], TABLE, dialect="canonical")
    assert found.tolist() == [[1.0]]
    biased = theta._replace(factor=1.07)
    found = target_amounts(get_law("debye"), [biased], TABLE, dialect="canonical")
    assert found.tolist() == [[1.07]]
    with pytest.raises(ValueError, match="need a law"):
        target_amounts(None, [biased], TABLE, dialect="canonical")
    for wrong in (theta._replace(unit="J/mol"), theta._replace(basis="atom")):
        with pytest.raises(ValueError, match="expected K and no basis"):
            target_amounts(get_law("debye"), [wrong], TABLE, dialect="canonical")


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("weights", (0.0, 0.0)),
        ("weights", (1.0, -1.0)),
        ("weights", (1.0,)),
        ("factors", (1.0, 0.0)),
    ],
)
def test_weights_and_factors_that_cannot_be_used_are_refused(name, numbers):
    settings = SimpleNamespace(
        columns=("a", "b"),
        properties=("", ""),
        units=("", ""),
        bases=("", ""),
        temperatures_k=(0.0, 0.0),
        weights=(),
        factors=(),
        positives=(),
    )
    setattr(settings, name, numbers)
    with pytest.raises(ValueError, match=r"config\.targets"):
        make_targets(settings)
    setattr(settings, name, ())
    assert [target.weight for target in make_targets(settings)] == [1.0, 1.0]
