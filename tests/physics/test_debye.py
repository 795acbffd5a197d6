"""The Debye and Einstein solids: accuracy, limits, identities, ends of the range."""

import functools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from lattice_reference import debye as reference

from cloud_jax.physics import debye, einstein
from cloud_jax.physics.constants import GAS_CONSTANT as R
from cloud_jax.physics.corresponding_states import Properties

PROPERTIES = Properties._fields
TOLERANCE = {"float32": 1e-6, "float64": 1e-10}
SOLIDS = (debye, einstein)


def grid(dtype):
    """Return theta and T, theta / T from 1e-4 to 1e5, denser where formulas change."""
    x = np.concatenate(
        [
            np.geomspace(1e-4, 1e5, 60),
            np.linspace(0.5, 9.5, 37),  # F crosses zero at 1.34
            [debye.COLD * (1 - 1e-6), debye.COLD, debye.COLD * (1 + 1e-6), 72.0, 300.0],
        ]
    )
    temperature = np.random.default_rng(0).uniform(20, 1500, x.size).astype(dtype)
    return (x * temperature).astype(dtype), temperature


@functools.cache
def compiled(solid):
    def of(name, theta, temperature):
        slopes = jax.value_and_grad(getattr(solid, name), (0, 1))
        value, (by_theta, by_t) = slopes(theta, temperature)
        return value, by_theta, by_t

    return jax.jit(
        jax.vmap(lambda *pair: {name: of(name, *pair) for name in PROPERTIES})
    )


def evaluate(solid, theta, temperature):
    """Return {property: (value, d/dtheta, d/dT)}; padded, so it compiles once."""
    n = len(theta)
    pairs = (np.pad(array, (0, 128 - n), mode="edge") for array in (theta, temperature))
    got = compiled(solid)(*pairs)
    return {name: [np.asarray(array)[:n] for array in got[name]] for name in got}


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_values_and_first_derivatives_agree_with_mpmath(dtype):
    with jax.enable_x64(True):
        theta, temperature = grid(dtype)
        expected = [reference(*pair) for pair in zip(theta, temperature, strict=True)]
        got = evaluate(debye, theta, temperature)
        for name in PROPERTIES:
            for order in range(3):
                assert got[name][order].dtype == dtype
                for row, value in enumerate(got[name][order]):
                    exact = expected[row][name][order]
                    scale = abs(exact)
                    if (name, order) == ("helmholtz", 0):
                        # F crosses zero where its two terms, each of the size of RT,
                        # cancel: there the error is measured against RT.
                        scale = max(scale, R * mp.mpf(float(temperature[row])))
                    error = float(abs(mp.mpf(float(value)) - exact) / scale)
                    where = (name, order, theta[row] / temperature[row])
                    assert error <= TOLERANCE[dtype], where


@pytest.mark.parametrize("solid", SOLIDS)
def test_thermodynamic_identities_hold_by_autodiff(solid):
    with jax.enable_x64(True):
        theta, temperature = grid("float64")
        theta, temperature = (
            a[theta / temperature < 200] for a in (theta, temperature)
        )
        of = evaluate(solid, theta, temperature)
        energy, capacity, entropy, free = (
            of[name]
            for name in ("internal_energy", "heat_capacity", "entropy", "helmholtz")
        )
        close = {"rtol": 1e-12, "atol": 0}
        np.testing.assert_allclose(energy[2], capacity[0], **close)
        np.testing.assert_allclose(entropy[2], capacity[0] / temperature, **close)
        np.testing.assert_allclose(free[2], -entropy[0], **close)
        np.testing.assert_allclose(
            free[0] + temperature * entropy[0], energy[0], rtol=1e-12
        )


@pytest.mark.parametrize("solid", SOLIDS)
def test_written_derivatives_are_those_of_the_values(solid):
    # Central differences of the values do not use the rules under test.
    with jax.enable_x64(True):
        theta, temperature = np.geomspace(30, 6000, 25), np.full(25, 300.0)
        step = 1e-4
        at = evaluate(solid, theta, temperature)
        for order, along in ((1, (theta, 0.0)), (2, (0.0, temperature))):
            low, high = (
                evaluate(solid, theta + sign * along[0], temperature + sign * along[1])
                for sign in (-step, step)
            )
            for name in PROPERTIES:
                change = (high[name][0] - low[name][0]) / (2 * step)
                slope = at[name][order] * along[order - 1]
                # Errors: truncation step^2; rounding 1e-16 / step, times the value.
                atol = 1e-11 * np.abs(at[name][0]).max()
                np.testing.assert_allclose(slope, change, rtol=1e-6, atol=atol)


def test_limits_of_the_heat_capacity():
    with jax.enable_x64(True):
        # Dulong and Petit; the next term is x^2 / 20.
        np.testing.assert_allclose(debye.heat_capacity(300.0, 3e6), 3 * R, rtol=1e-9)
        np.testing.assert_allclose(einstein.heat_capacity(300.0, 3e6), 3 * R, rtol=1e-8)
        # T^3; the next term is exp(-x).
        law = 12 * np.pi**4 / 5 * R * (3.0 / 300.0) ** 3
        np.testing.assert_allclose(debye.heat_capacity(300.0, 3.0), law, rtol=1e-12)


@pytest.mark.parametrize(("solid", "zero_point"), [(debye, 9 / 8), (einstein, 3 / 2)])
def test_absolute_zero_is_exact(solid, zero_point):
    with jax.enable_x64(True):
        theta = np.array([1e-3, 87.0, 1846.0])
        ground, slope = zero_point * R * theta, zero_point * R
        got = evaluate(solid, theta, np.zeros(3))
        for name, value, by_theta in (
            ("internal_energy", ground, slope),
            ("helmholtz", ground, slope),
            ("gibbs_energy", 0.0, 0.0),
            ("heat_capacity", 0.0, 0.0),
            ("entropy", 0.0, 0.0),
        ):
            # Exact up to the rounding of the product itself.
            np.testing.assert_allclose(got[name][0], value, rtol=3e-16)
            np.testing.assert_allclose(got[name][1], by_theta, rtol=3e-16)
            np.testing.assert_array_equal(got[name][2], 0.0)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("solid", SOLIDS)
def test_values_and_gradients_are_finite_at_the_ends_of_the_range(solid, dtype):
    with jax.enable_x64(True):
        # Above 1e35 K the energies themselves leave float32.
        ends = [np.finfo(dtype).tiny, 1e-25, 1e-12, 1e-3, 30.0, 1e5, 1e20, 1e35]
        # From theta / T = 72 up, a formula with exp(theta / T) is NaN in float32.
        temperatures = [0.0, *ends, *(30.0 / np.array([71.0, 72.0, 90.0, 1e3, 1e5]))]
        theta, temperature = np.meshgrid(
            np.array(ends, dtype), np.array(temperatures, dtype)
        )
        got = evaluate(solid, theta.ravel(), temperature.ravel())
        for name in PROPERTIES:
            assert np.isfinite(got[name]).all(), name


def test_second_derivatives_are_symmetric_and_finite():
    theta = jnp.array([300.0, 300.0, 300.0, 300.0])
    temperature = jnp.array([0.0, 3.0, 77.0, 3000.0])
    (tt, tx), (xt, xx) = jax.jit(jax.vmap(jax.hessian(debye.helmholtz, (0, 1))))(
        theta, temperature
    )
    assert np.isfinite([tt, tx, xt, xx]).all()
    np.testing.assert_allclose(tx, xt, rtol=1e-5)
    # F is homogeneous of first degree, so its Hessian has no part along (theta, T).
    np.testing.assert_allclose(tt * theta, -tx * temperature, rtol=1e-5)
    capacity = debye.heat_capacity(theta, temperature)
    np.testing.assert_allclose(-xx * temperature, capacity, rtol=1e-5)


def test_scalars_and_arrays_broadcast_and_the_result_is_at_least_float32():
    theta = jnp.array([[200.0], [400.0]])
    temperature = jnp.array([0.0, 100.0, 300.0])
    many = debye.heat_capacity(theta, temperature, jnp.array([[2], [8]]))
    assert many.shape == (2, 3)
    one = debye.heat_capacity(400, 300, 8)
    np.testing.assert_allclose(many[1, 2], one, rtol=1e-6)
    assert debye.heat_capacity(jnp.bfloat16(400), 300).dtype == jnp.float32
    assert one.shape == ()
