"""Measured heat capacities are found by formula and space group."""

import json

import numpy as np
import pytest

from cloud_jax.evaluation.measured import FILE, find_measured


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


@pytest.mark.parametrize("entry", json.loads(FILE.read_text())["materials"].items())
def test_every_entry_rises_with_temperature_and_names_its_source(entry):
    _, values = entry
    assert len(values["T"]) == len(values["Cp"]) > 0
    assert (np.diff(values["T"]) > 0).all()
    assert (np.diff(values["Cp"]) > 0).all()
    assert values["source"]
