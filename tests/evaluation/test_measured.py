"""Measured heat capacities are found by formula and space group."""

import numpy as np
import pytest

from cloud_jax.evaluation.measured import find_measured, measured_heat_capacities


@pytest.mark.parametrize(
    ("formula", "group", "at_298"),
    [
        ([("O", 3), ("Al", 2)], 167, 79.015),
        ([("Si", 1), ("O", 2)], 154, 44.589),
        ([("Na", 1), ("Cl", 1)], 225, 50.509),
        ([("Cu", 1)], 225, 24.442),
    ],
)
def test_a_known_crystal_is_found(formula, group, at_298):
    measured = find_measured(formula, group)
    assert measured.cp[measured.temperature_k == 298.15] == pytest.approx([at_298])


@pytest.mark.parametrize(("chlorine", "group"), [(1, 221), (2, 225)])
def test_another_crystal_has_no_points(chlorine, group):
    assert find_measured([("Na", 1), ("Cl", chlorine)], group) is None


@pytest.mark.parametrize("name", measured_heat_capacities())
def test_every_entry_rises_with_temperature_and_names_its_source(name):
    measured = measured_heat_capacities()[name]
    assert measured.temperature_k.shape == measured.cp.shape
    assert (np.diff(measured.temperature_k) > 0).all()
    assert (np.diff(measured.cp) > 0).all()
    assert measured.source
