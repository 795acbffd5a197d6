"""Laws: every property follows from the variables and F; bad input is refused."""

import functools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cloud_jax.physics import debye, einstein, laws
from cloud_jax.physics.basis import BASES, atoms_per, unit_of
from cloud_jax.physics.constants import GAS_CONSTANT as R
from cloud_jax.physics.corresponding_states import Properties
from cloud_jax.physics.law import Law, Variable

TEMPERATURES = np.array([0.0, 5.0, 100.0, 300.0, 2000.0], np.float32)
ROOM = 3


@functools.partial(jax.jit, static_argnames="law")
def compiled(law, variables):
    return {
        name: laws.evaluate(law, name, variables, TEMPERATURES)
        for name in laws.PROPERTIES
    }


def everything(law, variables):
    """Return all properties, each [3, T]: one shape, so each law compiles once."""
    column = np.ones((3, 1), np.float32)
    return compiled(law, {name: column * value for name, value in variables.items()})


def direct(solid, theta):
    of = {
        name: getattr(solid, name)(theta, TEMPERATURES) for name in Properties._fields
    }
    ground = np.broadcast_to(solid.helmholtz(theta, 0.0), of["entropy"].shape)
    enthalpy = of["gibbs_energy"] + TEMPERATURES * of["entropy"]
    return of | {"zero_point_energy": ground, "enthalpy": enthalpy}


@pytest.mark.parametrize("solid", [debye, einstein])
def test_properties_by_autodiff_are_the_direct_functions(solid):
    law = laws.get_law(solid.__name__.rpartition(".")[2])
    theta = np.array([[87.0], [458.0], [1846.0]], np.float32)
    got = everything(law, {"theta": theta})
    expected = direct(solid, theta)
    for name in expected:
        # F crosses zero, where its error is measured against RT (kJ/mol).
        np.testing.assert_allclose(got[name], expected[name], rtol=1e-6, atol=2e-3)


def test_gradients_by_autodiff_are_the_direct_ones():
    theta = jnp.linspace(87.0, 1846.0, 9)
    law = laws.get_law("debye")

    @jax.jit
    @functools.partial(jax.jacrev)
    def slopes(scale):
        pairs = []
        for name in ("heat_capacity", "internal_energy"):
            got = laws.evaluate(law, name, {"theta": theta * scale}, 300.0)
            pairs.append((got, getattr(debye, name)(theta * scale, 300.0)))
        return pairs

    # U is F + T S here, whose slope loses three more digits at theta = T / 3.
    for (got, expected), rtol in zip(slopes(1.0), (1e-6, 1e-4), strict=True):
        np.testing.assert_allclose(got, expected, rtol=rtol)


def test_n_atoms_scales_what_is_extensive():
    law = laws.get_law("einstein")
    for name, ratio in (("entropy", 4), ("debye_temperature", 1)):
        got = laws.evaluate(law, name, {"theta": 300}, 300, jnp.array([1.0, 4.0]))
        np.testing.assert_allclose(np.broadcast_to(got, 2)[1], ratio * got.ravel()[0])


@pytest.mark.parametrize("name", laws.LAWS)
def test_outputs_of_zero_mean_the_typical_solid(name):
    law = laws.get_law(name)
    variables = laws.constrain(law, jnp.zeros((3, 1, len(law.variables))))
    for variable in law.variables:
        assert variables[variable.name].shape == (3, 1)
        np.testing.assert_allclose(
            variables[variable.name], variable.typical, rtol=1e-6
        )
    # Typical values are chosen to describe the same solid near 300 K.
    capacity = everything(law, variables)["heat_capacity"][0, ROOM]
    np.testing.assert_allclose(capacity, debye.heat_capacity(450.0, 300.0), rtol=5e-3)


@pytest.mark.parametrize("name", laws.LAWS)
def test_values_and_gradients_are_physical_for_any_outputs(name):
    law = laws.get_law(name)
    raw = np.array([[[-80.0]], [[0.0]], [[3e4]]], np.float32)
    raw = jnp.asarray(np.tile(raw, len(law.variables)))

    @jax.jit
    @jax.grad
    def slopes_of(raw):
        values = laws.evaluate_all(law, laws.constrain(law, raw), TEMPERATURES)
        # Where there is no heat capacity, no Debye solid has it.
        return sum(jnp.where(jnp.isfinite(v), v, 0.0).sum() for v in values.values())

    assert np.isfinite(slopes_of(raw)).all()
    values = compiled(law, laws.constrain(law, raw))
    capacity, theta = values["heat_capacity"], values.pop("debye_temperature")
    assert all(np.isfinite(v).all() for v in values.values())
    assert (capacity >= 0).all()
    assert (capacity <= 3 * R * (1 + 1e-6)).all()
    assert not np.isnan(theta).any()
    assert (np.isfinite(theta) | (capacity == 0)).all()
    for vanishing in ("heat_capacity", "entropy", "enthalpy", "gibbs_energy"):
        np.testing.assert_array_equal(values[vanishing][:, 0], 0.0)


def test_the_mixture_lies_between_its_parts_and_ends_in_them():
    law = laws.get_law("debye_einstein")
    share = np.array([[0.0], [0.3], [1.0]], np.float32)
    got = everything(
        law, {"theta_debye": 300.0, "theta_einstein": 500.0, "debye_fraction": share}
    )
    acoustic, optical = direct(debye, 300.0), direct(einstein, 500.0)
    for name in acoustic:
        expected = share * acoustic[name] + (1 - share) * optical[name]
        # As above, where F crosses zero.
        np.testing.assert_allclose(got[name], expected, rtol=1e-6, atol=5e-3)


# A law from outside the package: a Debye solid and electrons, F_e = -gamma T^2 / 2.
METAL = Law(
    "metal",
    (
        Variable("theta", "K", "positive", 343.0),
        Variable("gamma", "J/(mol K^2)", "positive", 7e-4),
    ),
    lambda v, t: debye.gibbs_energy(v["theta"], t) - v["gamma"] * t**2 / 2,
    lambda v: debye.helmholtz(v["theta"], 0.0),
)


def test_an_own_law_needs_only_its_free_and_zero_point_energy():
    law = laws.get_law(f"{__name__}:METAL")
    got = everything(law, {"theta": 343.0, "gamma": 7e-4})
    lattice = direct(debye, 343.0)
    for name, electrons in (
        ("heat_capacity", 7e-4 * TEMPERATURES),
        ("entropy", 7e-4 * TEMPERATURES),
        ("internal_energy", 3.5e-4 * TEMPERATURES**2),
    ):
        np.testing.assert_allclose(got[name][0], lattice[name] + electrons, rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("debey", "neither one of debye, einstein, debye_einstein"),
        ("cloud_jax.physics.laws:NOTHING", "no attribute 'NOTHING'"),
        ("no_such_package:LAW", "No module named"),
        ("cloud_jax.physics.laws:UNITS", "is a dict, expected a Law"),
        (":LAW", "Empty module name"),
        ("..laws:LAW", "TypeError: the 'package' argument is required"),
    ],
)
def test_an_unknown_law_is_refused_with_the_choices(name, message):
    with pytest.raises(ValueError, match=message):
        laws.get_law(name)


@pytest.mark.parametrize(
    "law",
    [
        "Law('old', (), lambda v, t: 0 * t)",
        "Law(name='old', variables=(), helmholtz=lambda v, t: 0 * t)",
        "namedtuple('Own', 'name variables helmholtz')('old', (), None)",
        "1 / 0",
    ],
)
def test_a_law_of_earlier_versions_is_refused_with_what_a_law_has(
    tmp_path, monkeypatch, law
):
    (tmp_path / "old_law.py").write_text(
        "from collections import namedtuple\n\n"
        f"from cloud_jax.physics.law import Law\n\nLAW = {law}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "old_law", raising=False)
    with pytest.raises(ValueError, match=r"variables, free_energy, zero_point_energy"):
        laws.get_law("old_law:LAW")
    sys.modules.pop("old_law", None)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ((), "no variables"),
        ((Variable("a", "1", "angle", 1.0),), "'a' has kind 'angle'"),
        ((Variable("b", "1", "fraction", 1.0),), r"typical value 1\.0, expected"),
        ((Variable("c", "K", "positive", 0.0),), r"typical value 0\.0, expected"),
    ],
)
def test_a_law_of_variables_that_no_output_becomes_is_refused(
    monkeypatch, variables, message
):
    monkeypatch.setattr(
        sys.modules[__name__], "METAL", METAL._replace(variables=variables)
    )
    with pytest.raises(ValueError, match=message):
        laws.get_law(f"{__name__}:METAL")


def test_wrong_outputs_properties_kinds_and_bases_are_refused():
    law = laws.get_law("debye_einstein")
    with pytest.raises(ValueError, match=r"has 3 variables .* got 1 outputs"):
        laws.constrain(law, jnp.zeros((4, 1)))
    with pytest.raises(ValueError, match="'volume' is not one of heat_capacity"):
        laws.evaluate(law, "volume", {}, 300.0)
    odd = Law("odd", (Variable("a", "1", "angle", 1.0),), None, None)
    with pytest.raises(ValueError, match=r"variable 'a' .* has kind 'angle'"):
        laws.constrain(odd, jnp.zeros(1))
    with pytest.raises(ValueError, match="'kg' is not one of cell, atom"):
        unit_of("entropy", "kg")


def test_dulong_petit_in_every_basis():
    # Quartz: SiO2, 60.0843 g/mol, 9 atoms per primitive cell.
    quartz = {"n_atoms": 9, "formula_atoms": 3, "molar_mass_g": 60.0843}
    expected = {"cell": 27 * R, "atom": 3 * R, "formula": 9 * R, "gram": 1.24543}
    for basis in BASES:
        value = debye.heat_capacity(1e-3, 300.0, atoms_per(basis, **quartz))
        np.testing.assert_allclose(value, expected[basis], rtol=1e-5)
    assert unit_of("heat_capacity", "gram") == "J/(g K)"
    assert unit_of("internal_energy", "cell") == "J/mol"
    assert {unit_of("debye_temperature", basis) for basis in ("", *BASES)} == {"K"}


def test_a_magnitude_spans_orders_and_is_bounded():
    law = laws.get_law("two_debye")
    typical = law.variables[0].typical
    raw = jnp.array([-1e3, -1.0, 0.0, 1.0, 1e3])[:, None] * jnp.ones(3)
    found = np.asarray(laws.constrain(law, raw)["theta_low"]) / typical
    e = np.e
    np.testing.assert_allclose(found, [e**-4, 1 / 2.663, 1, 2.663, e**4], rtol=1e-3)
