"""Properties from densities of states, against solids that are known in closed form."""

import jax.numpy as jnp
import numpy as np
import pytest

from cloud_jax.datasets.phonon_density import (
    Spectrum,
    complete,
    completed,
    spectrum,
    thermal,
)
from cloud_jax.physics import debye, einstein

GRID_CM = np.arange(0.0, 1001.0, 20.0)
CM_TO_K = 1.438776877  # h c / k_B
R = 8.31446261815324


def test_a_debye_density_gives_the_debye_solid_from_10_to_1000_k():
    """Its first point is noise, as in the published densities: it must not matter."""
    density = GRID_CM**2
    density[1] *= 0.1
    kelvin = np.array([10.0, 50, 100, 300, 1000])
    found = thermal(spectrum(GRID_CM, density[None]), kelvin)
    theta = 1000 * CM_TO_K
    x, warmth = jnp.asarray(theta / kelvin), jnp.asarray(kelvin)
    expected = {
        "heat_capacity": debye.heat_capacity(theta, warmth),
        "entropy": debye.entropy(theta, warmth),
        "enthalpy": 3 * R * warmth * debye.debye_function(x, 1 / x),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(found, name)[0], values, rtol=0.01)
    np.testing.assert_allclose(found.zero_point_energy, 9 / 8 * R * theta, rtol=1e-3)


def test_a_first_point_above_the_second_is_a_peak_and_stays():
    peak = np.zeros_like(GRID_CM)
    peak[1], peak[2], peak[20] = 1.0, 0.5, 1.0
    modes = spectrum(GRID_CM, peak[None])
    low = modes.frequency_cm < 60
    # Areas between points: 20 / 3 below the first, then trapezes.
    area = 20 / 3 + 15 + 5
    assert modes.share[0, low].sum() == pytest.approx(area / (area + 20))


def test_limits_are_those_of_statistical_mechanics():
    modes = spectrum(GRID_CM, np.ones((1, 51)))
    cold, warm = thermal(modes, np.array([0.01])), thermal(modes, np.array([1e6]))
    for values in cold[:3]:
        assert 0 <= values.item() < 1e-6
    assert warm.heat_capacity.item() == pytest.approx(3 * R)
    # dH/dT = C_v and dS/dT = C_v / T.
    near = thermal(modes, np.array([99.99, 100.0, 100.01]))
    capacity = near.heat_capacity[0, 1]
    assert np.ptp(near.enthalpy) / 0.02 == pytest.approx(capacity, rel=1e-6)
    assert np.ptp(near.entropy) / 0.02 == pytest.approx(capacity / 100, rel=1e-6)


def test_modes_above_the_grid_are_found_again():
    """A quarter of the modes at 3000 cm^-1: the grid alone has C_v 30 % too high."""
    density = np.exp(-(((GRID_CM - 300) / 80) ** 2))
    grid = spectrum(GRID_CM, density[None])
    every = Spectrum(
        np.append(grid.frequency_cm, 3000.0), np.append(0.75 * grid.share, [[0.25]], 1)
    )
    kelvin = np.array([50.0, 300.0, 1000.0])
    true, cut = thermal(every, kelvin), thermal(grid, kelvin)
    assert cut.heat_capacity[0, 1] > 1.3 * true.heat_capacity[0, 1]

    missing = complete(grid, true.heat_capacity[:, 1], true.internal_energy[:, 1])
    assert missing.share == pytest.approx(0.25, rel=1e-6)
    assert missing.frequency_cm == pytest.approx(3000, rel=1e-6)
    for own, expected in zip(completed(cut, missing, kelvin), true, strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-6)


def test_labels_that_lack_modes_have_no_solution():
    """Imaginary modes are left out of both: no mode above the grid explains that."""
    grid = spectrum(GRID_CM, np.exp(-(((GRID_CM - 300) / 80) ** 2))[None])
    found = thermal(grid, np.array([300.0]))
    for factor in (0.9, np.nan):
        labels = found.heat_capacity[:, 0], found.internal_energy[:, 0]
        missing = complete(grid, *(factor * label for label in labels))
        assert np.isnan(missing.share).all()
        assert np.isnan(missing.frequency_cm).all()


def test_the_einstein_solid_of_one_frequency():
    kelvin = np.array([50.0, 300.0])
    found = thermal(Spectrum(np.array([400.0]), np.ones((1, 1))), kelvin)
    theta = 400 * CM_TO_K
    entropy = einstein.entropy(theta, jnp.asarray(kelvin))
    np.testing.assert_allclose(found.entropy[0], entropy, rtol=1e-5)
    assert found.zero_point_energy.item() == pytest.approx(1.5 * R * theta)
