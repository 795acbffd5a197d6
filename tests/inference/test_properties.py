import jax
import numpy as np
import pytest
from property_model import CV, DEBYE, REGRESSION

from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.properties import (
    PredictionError,
    make_request,
    predict_properties,
)
from cloud_jax.physics import debye
from cloud_jax.physics.laws import PROPERTIES, get_law

SALT = Crystal("salt", [1, 2], (("Cl", 1), ("Na", 1)), 2, (), "", 225)
TITANATE = Crystal("t", [1, 2], (("Ca", 1), ("O", 3), ("Ti", 1)), 20, (), "", 62)
PHYSICS = {
    "kind": "property",
    "head": DEBYE,
    "targets": [CV],
    "members": 2,
    "calibration": {"targets": {"cv": {"level": 0.9, "n": 9, "quantile": 0.1}}},
}
RAW = np.array([[[0.0], [0.5]], [[-1.0], [1.0]]], np.float32)  # [N, M, O]
THETA = 450 * np.log1p(np.exp(RAW[..., 0].astype(float) + np.log(np.e - 1)))


def found(description=PHYSICS, raw=RAW, temperature_k=(0, 10, 300), basis=None):
    request = make_request(description, temperature_k, basis)
    made = predict_properties(description, request, [SALT, TITANATE][: len(raw)], raw)
    return {estimate.property: estimate for estimate in made}


def test_a_value_is_the_mean_of_the_members_property_and_its_interval_scales_theta():
    temperatures, n_atoms = np.array([0.0, 10, 300]), np.array([2, 20])
    all_properties = found(basis="cell")
    for name in (
        "heat_capacity", "entropy", "gibbs_energy", "internal_energy", "helmholtz",
    ):  # fmt: skip
        law, estimate = getattr(debye, name), all_properties[name]

        scale = 1000 if estimate.unit == "kJ/mol" else 1

        def members(factor, law=law, scale=scale):
            values = law(factor * THETA[..., None], temperatures)  # [N, M, T]
            return np.asarray(values, float) * n_atoms[:, None, None] / scale

        near = {"rtol": 1e-5, "atol": 1e-7}
        mean = members(1).mean(axis=1)
        ends = [mean, *(members(np.exp(s)).mean(axis=1) for s in (-0.1, 0.1))]
        np.testing.assert_allclose(estimate.value, mean, **near)
        spread = members(1).std(axis=1, ddof=1)
        np.testing.assert_allclose(estimate.spread, spread, **near)
        np.testing.assert_allclose(estimate.lower, np.min(ends, axis=0), **near)
        np.testing.assert_allclose(estimate.upper, np.max(ends, axis=0), **near)
    assert (all_properties["heat_capacity"].value[:, 0] == 0).all()


def test_thermodynamic_identities_hold_for_the_means():
    properties = found(temperature_k=(99.9, 100.0, 100.1))
    u, s, f = (properties[n].value for n in ("internal_energy", "entropy", "helmholtz"))
    s = s / 1000  # to kJ/(mol K)
    np.testing.assert_allclose(f, u - [99.9, 100.0, 100.1] * s, rtol=1e-10)
    slope = 1000 * (u[:, 2] - u[:, 0]) / 0.2
    np.testing.assert_allclose(
        slope, properties["heat_capacity"].value[:, 1], rtol=1e-5
    )


def test_at_0_k_only_the_zero_point_energy_is_left():
    properties = found(temperature_k=(300, 0))
    for name in ("heat_capacity", "entropy", "enthalpy", "gibbs_energy"):
        for column in ("value", "spread", "lower", "upper"):
            assert (getattr(properties[name], column)[:, 1] == 0).all()
    ground = properties["zero_point_energy"]
    assert np.isnan(ground.temperature_k).tolist() == [True]
    for name in ("internal_energy", "helmholtz"):
        for column in ("value", "spread", "lower", "upper"):
            at_0_k = getattr(properties[name], column)[:, 1:]
            np.testing.assert_allclose(getattr(ground, column), at_0_k, rtol=1e-12)


@pytest.mark.parametrize("law", ["debye", "debye_einstein"])
def test_the_debye_temperature_gives_the_heat_capacity(law):
    n = len(get_law(law).variables)
    head = DEBYE | {"law": law, "outputs": n}
    kelvin = np.array([1e-2, 3, 30, 300, 3000])
    properties = found(PHYSICS | {"head": head}, RAW.repeat(n, 2), kelvin, "atom")
    theta, capacity = properties["debye_temperature"], properties["heat_capacity"]
    assert (theta.unit, theta.basis) == ("K", "")
    with jax.enable_x64(True):
        for column, limit in (("value", "value"), ("lower", "upper")):
            given = debye.heat_capacity(getattr(theta, column), kelvin)
            np.testing.assert_allclose(given, getattr(capacity, limit), rtol=1e-9)
    cold = found(PHYSICS | {"head": head}, RAW.repeat(n, 2), (0,))["debye_temperature"]
    np.testing.assert_allclose(cold.value, theta.value[:, :1], rtol=1e-9)
    hot = found(PHYSICS | {"head": head}, RAW.repeat(n, 2), (1e6,))["debye_temperature"]
    assert (hot.lower < hot.value).all()
    assert (hot.value < hot.upper).all()


def test_an_interval_of_the_zero_point_energy_does_not_depend_on_the_temperatures():
    cold, hot = (found(temperature_k=(t,))["zero_point_energy"] for t in (0, 300))
    np.testing.assert_array_equal(cold.lower, hot.lower)


def test_each_basis_counts_in_its_own_unit():
    values = {
        basis: found(basis=basis)["heat_capacity"]
        for basis in ("cell", "atom", "formula", "gram")
    }
    per_atom = values["atom"].value
    np.testing.assert_allclose(values["cell"].value, per_atom * [[2], [20]])
    np.testing.assert_allclose(values["formula"].value, per_atom * [[2], [5]])
    mass = np.array([[58.443], [135.943]])  # NaCl and CaTiO3, g/mol
    expected = per_atom * [[2], [5]] / mass
    np.testing.assert_allclose(values["gram"].value, expected, rtol=1e-4)
    assert values["gram"].unit == "J/(g K)"
    assert values["atom"].basis == "atom"


def test_without_calibration_or_with_one_member_the_columns_are_empty():
    bare = PHYSICS | {"members": 1, "calibration": None}
    for estimate in found(bare, RAW[:, :1]).values():
        assert np.isfinite(estimate.value).all()
        for column in (estimate.spread, estimate.lower, estimate.upper):
            assert np.isnan(column).all()


@pytest.mark.parametrize("law", ["debye", "debye_einstein"])
def test_the_variables_of_a_law_are_not_among_its_properties(law):
    n = len(get_law(law).variables)
    head = DEBYE | {"law": law, "outputs": n}
    assert list(found(PHYSICS | {"head": head}, RAW.repeat(n, 2))) == list(PROPERTIES)


GAP = {"name": "gap", "unit": "eV", "basis": None, "mean": 2.0, "scale": 0.5}
TWO = PHYSICS | {"head": REGRESSION | {"outputs": 2}, "targets": [CV, GAP]}


def test_regression_is_scaled_back_and_its_interval_is_in_the_unit():
    raw = np.repeat(RAW, 2, axis=2)
    properties = found(TWO, raw, None)
    capacity, gap = properties["heat_capacity"], properties["gap"]
    np.testing.assert_allclose(capacity.value[:, 0], [50 + 30 * 0.25, 50])
    np.testing.assert_allclose(capacity.upper - capacity.value, 0.1)
    np.testing.assert_allclose(gap.value[:, 0], [2.125, 2.0])
    np.testing.assert_allclose(gap.spread[:, 0], [0.25 / 2**0.5, 1 / 2**0.5])
    assert np.isnan(gap.lower).all()
    assert capacity.temperature_k == [300]
    assert np.isnan(gap.temperature_k).all()


def test_a_molar_target_changes_its_basis():
    only = TWO | {"head": REGRESSION, "targets": [CV]}
    capacity = found(only, RAW, None, "atom")["heat_capacity"]
    np.testing.assert_allclose(capacity.value[:, 0], [57.5 / 2, 50 / 20])
    np.testing.assert_allclose((capacity.upper - capacity.value)[:, 0], [0.05, 0.005])


@pytest.mark.parametrize(
    ("description", "temperature_k", "basis", "message"),
    [
        ({"kind": "encoder"}, None, None, "an encoder without a head"),
        (TWO, [300], None, "it predicts cv at 300 K, gap"),
        (TWO, None, "atom", "target gap is in 'eV'"),
        (PHYSICS, [300], "mole", "found 'mole', expected one of cell, atom"),
    ],
)
def test_a_request_beyond_the_model_is_an_error_that_says_why(
    description, temperature_k, basis, message
):
    with pytest.raises(PredictionError, match=message):
        make_request(description, temperature_k, basis)


def test_defaults_are_the_temperatures_of_the_labels_and_the_formula_unit():
    request = make_request(PHYSICS, None, None)
    assert request.temperature_k.tolist() == [300]
    assert request.basis == "formula"
