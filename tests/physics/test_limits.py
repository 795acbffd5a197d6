"""Limits, identities and derivatives of every law, in float32 and float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cloud_jax.physics import debye, laws
from cloud_jax.physics.constants import GAS_CONSTANT as R

# Between 0 and 5 K everything falls as T^3, between 2000 and 1e6 K it is classical.
TEMPERATURES = (0.0, 0.01, 5.0, 40.0, 300.0, 2000.0, 1e6)
ZERO, COLD, HOT = 0, 1, 6
N_SOLIDS = 3
EVERY_LAW = pytest.mark.parametrize("name", laws.LAWS)
EITHER = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Relative errors that rounding may leave.
TOLERANCE = {"float32": 2e-6, "float64": 1e-11}

# Of the variables: the sum of share / theta^3 over Debye parts, theta_D(0)^-3.
STIFFNESS = {
    "debye": lambda v: v["theta"] ** -3,
    "einstein": lambda v: 0.0 * v["theta"],
    "debye_einstein": lambda v: v["debye_fraction"] * v["theta_debye"] ** -3,
    "two_debye": lambda v: (
        v["low_fraction"] * v["theta_low"] ** -3
        + (1 - v["low_fraction"]) * v["theta_high"] ** -3
    ),
    "debye_two_einstein": lambda v: v["debye_fraction"] * v["theta_debye"] ** -3,
    "density": lambda v: v["fraction_1"] * (v["theta_max"] / 8) ** -3,
}


def outputs(law, dtype):
    """Return outputs of a head for a few solids, [N, 1, n]."""
    rng = np.random.default_rng(7)
    return rng.normal(size=(N_SOLIDS, 1, len(law.variables))).astype(dtype)


@functools.cache
def solids(name, dtype):
    """Return the variables [N, 1] of a few solids of a law, their properties [N, T],
    and the derivatives of these with respect to T.
    """
    law = laws.get_law(name)

    @jax.jit
    def of(raw, t):
        values = laws.constrain(law, raw)
        pair = jax.jvp(lambda t: laws.evaluate_all(law, values, t), (t,), (1 + 0 * t,))
        return values, *pair

    with jax.enable_x64(True):
        return jax.tree.map(
            np.asarray, of(outputs(law, dtype), np.asarray(TEMPERATURES, dtype))
        )


@EVERY_LAW
@EITHER
def test_limits_of_a_solid(name, dtype):
    variables, of, _ = solids(name, dtype)
    assert {values.dtype for values in of.values()} == {np.dtype(dtype)}
    rtol = TOLERANCE[dtype]
    # T^3, with the theta that the parts have together; nothing for Einstein solids.
    stiffness = STIFFNESS[name]({k: v.astype(float) for k, v in variables.items()})
    cubic = 12 / 5 * np.pi**4 * R * stiffness[:, 0] * TEMPERATURES[COLD] ** 3
    np.testing.assert_allclose(of["heat_capacity"][:, COLD], cubic, rtol=rtol)
    np.testing.assert_allclose(of["entropy"][:, COLD], cubic / 3, rtol=rtol)
    np.testing.assert_allclose(
        of["enthalpy"][:, COLD], cubic / 4 * TEMPERATURES[COLD], rtol=rtol
    )
    # Dulong and Petit; the next term is (theta / T)^2 / 20.
    np.testing.assert_allclose(of["heat_capacity"][:, HOT], 3 * R, rtol=2e-6)
    for vanishing in ("heat_capacity", "entropy", "enthalpy", "gibbs_energy"):
        np.testing.assert_array_equal(of[vanishing][:, ZERO], 0.0)
    for ground in ("internal_energy", "helmholtz"):
        np.testing.assert_array_equal(
            of[ground][:, ZERO], of["zero_point_energy"][:, ZERO]
        )


@EVERY_LAW
@EITHER
def test_properties_are_derivatives_of_each_other(name, dtype):
    _, of, slopes = solids(name, dtype)
    for integral, derivative in (
        ("internal_energy", of["heat_capacity"]),
        ("enthalpy", of["heat_capacity"]),
        ("gibbs_energy", -of["entropy"]),
        ("helmholtz", -of["entropy"]),
    ):
        np.testing.assert_allclose(slopes[integral], derivative, rtol=TOLERANCE[dtype])
    np.testing.assert_allclose(
        slopes["entropy"] * np.asarray(TEMPERATURES, dtype),
        of["heat_capacity"],
        rtol=TOLERANCE[dtype],
    )
    np.testing.assert_array_equal(slopes["zero_point_energy"], 0.0)


@EVERY_LAW
def test_properties_add_up_over_temperature(name):
    # A sum over temperatures, which uses no derivative.
    law = laws.get_law(name)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    low, high = 50.0, 300.0
    t = low + (nodes + 1) / 2 * (high - low)
    with jax.enable_x64(True):
        values = laws.constrain(law, outputs(law, "float64"))
        of = jax.jit(lambda t: laws.evaluate_all(law, values, t))(
            np.append(t, [low, high])
        )
        capacity = of["heat_capacity"][:, :-2] * weights * (high - low) / 2
        for property, sums in (
            ("internal_energy", capacity.sum(axis=1)),
            ("enthalpy", capacity.sum(axis=1)),
            ("entropy", (capacity / t).sum(axis=1)),
        ):
            change = of[property][:, -1] - of[property][:, -2]
            np.testing.assert_allclose(change, sums, rtol=1e-6)


@EVERY_LAW
@EITHER
def test_derivatives_are_finite_from_absolute_zero_up(name, dtype):
    law = laws.get_law(name)

    def free_energy(raw, t):
        return laws.evaluate(law, "helmholtz", laws.constrain(law, raw), t)

    def finite(raw, t):
        values = laws.evaluate_all(law, laws.constrain(law, raw), t)
        return {k: jnp.where(jnp.isfinite(v), v, 0.0) for k, v in values.items()}

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def derivatives(raw, t):
        return (
            jax.hessian(free_energy, argnums=(0, 1))(raw, t),
            jax.jacrev(finite, argnums=(0, 1))(raw, t),
        )

    with jax.enable_x64(True):
        got = derivatives(
            outputs(law, dtype)[0, 0], np.asarray(TEMPERATURES, dtype=dtype)
        )
    assert all(np.isfinite(array).all() for array in jax.tree.leaves(got))


@EVERY_LAW
@EITHER
def test_the_debye_temperature_gives_the_heat_capacity(name, dtype):
    variables, of, _ = solids(name, dtype)
    theta, capacity = of["debye_temperature"], of["heat_capacity"]
    stiffness = STIFFNESS[name]({k: v.astype(float) for k, v in variables.items()})
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(
            theta[:, ZERO], stiffness[:, 0] ** (-1 / 3), rtol=TOLERANCE[dtype]
        )
    with jax.enable_x64(True):
        again = debye.heat_capacity(theta, np.asarray(TEMPERATURES, dtype))
    # Less than 1e-30 R counts as frozen.
    np.testing.assert_allclose(
        again, capacity, rtol=20 * TOLERANCE[dtype], atol=1e-30 * R
    )


@EITHER
def test_a_debye_solid_has_one_debye_temperature(dtype):
    # Hot, C_v is 3 R but for (theta / T)^2 / 20: half of the digits are left.
    rtol = 2 * np.finfo(dtype).eps ** 0.5
    variables, of, _ = solids("debye", dtype)
    one = np.broadcast_to(variables["theta"], of["debye_temperature"].shape)
    np.testing.assert_allclose(of["debye_temperature"], one, rtol=rtol)


@pytest.mark.parametrize("temperature", [0.0, 60.0, 250.0])
def test_slopes_of_the_debye_temperature(temperature):
    law = laws.get_law("debye_two_einstein")

    def theta(raw, t):
        return laws.evaluate(law, "debye_temperature", laws.constrain(law, raw), t)

    with jax.enable_x64(True):
        raw, t = jnp.asarray(outputs(law, "float64")[0, 0]), jnp.asarray(temperature)
        by_raw, by_t = jax.jit(jax.grad(theta, argnums=(0, 1)))(raw, t)
        of, step = jax.jit(theta), 1e-5
        for slope, direction in zip(by_raw, np.eye(len(raw)), strict=True):
            ends = (of(raw + sign * step * direction, t) for sign in (1, -1))
            np.testing.assert_allclose(
                slope, np.subtract(*ends) / (2 * step), rtol=1e-6, atol=1e-6
            )
        kelvin = 0.01
        warmer, colder = of(raw, t + kelvin), of(raw, jnp.maximum(t - kelvin, 0.0))
        np.testing.assert_allclose(
            by_t, (warmer - colder) / (2 * kelvin), rtol=1e-6, atol=1e-8
        )


def test_energies_from_absolute_zero_keep_their_digits():
    # At 2 K they are 1e-8 of the zero-point energy, a tenth of a digit of float32.
    single, double = (solids("debye_einstein", d)[1] for d in ("float32", "float64"))
    for property in ("enthalpy", "gibbs_energy"):
        np.testing.assert_allclose(single[property], double[property], rtol=5e-6)
