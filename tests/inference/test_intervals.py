"""Widths by hand: between temperatures, of properties without labels, far away."""

import numpy as np
import pytest

from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.intervals import log_widths
from cloud_jax.physics.laws import PROPERTIES

NEAR = Crystal("near", [1, 2], (("Na", 1),), 1, (), "", 229, distance=0.5)
FAR = NEAR._replace(id="far", distance=4.0)


def described(*points, **calibration):
    """Return a description with targets at (property, T, quantile)."""
    names = [f"{name}_{kelvin}_{quantile}" for name, kelvin, quantile in points]
    return {
        "targets": [
            {"name": label, "property": name, "temperature_k": kelvin}
            for label, (name, kelvin, _) in zip(names, points, strict=True)
        ],
        "calibration": {
            "targets": {
                label: {"quantile": quantile}
                for label, (*_, quantile) in zip(names, points, strict=True)
                if quantile is not None
            },
            **calibration,
        },
    }


def widths(description, *kelvin, crystal=NEAR):
    found = log_widths(description, [crystal], np.array(kelvin, float))
    return {name: of_name[0] for name, of_name in found.items()}


def test_a_quantile_is_interpolated_in_ln_t_and_flat_outside():
    found = widths(
        described(("entropy", 400.0, 0.1), ("entropy", 100.0, 0.3)), 0, 100, 200, 900
    )
    np.testing.assert_allclose(found["entropy"], [0.3, 0.3, 0.2, 0.1])


def test_of_two_targets_at_one_temperature_the_wider_counts():
    points = ("heat_capacity", 300.0, 0.1), ("heat_capacity", 300.0, 0.2)
    assert widths(described(*points), 300)["heat_capacity"] == 0.2


def test_properties_without_labels_take_the_width_that_covers_their_parts():
    found = widths(
        described(
            ("heat_capacity", 300.0, 0.1),
            ("entropy", 300.0, 0.2),
            ("enthalpy", 300.0, 0.3),
            ("internal_energy", 300.0, 0.15),
            ("debye_temperature", 0.0, 0.9),  # another model's labels
        ),
        300,
    )
    expected = {
        "heat_capacity": 0.1,
        "entropy": 0.2,
        "enthalpy": 0.3,
        "gibbs_energy": 0.3,
        "helmholtz": 0.2,
        "internal_energy": 0.15,
        "zero_point_energy": 0.3,
        "debye_temperature": 0.1,
    }
    assert found == {name: expected[name] for name in PROPERTIES}


def test_a_target_with_too_few_labels_takes_the_widest_of_the_others():
    found = widths(described(("entropy", 9.0, None), ("heat_capacity", 9.0, 0.1)), 9)
    assert found["entropy"] == 0.1


def test_debye_temperatures_alone_calibrate_their_model():
    found = widths(described(("debye_temperature", 0.0, 0.4)), 0, 300)
    assert set(found) == set(PROPERTIES)
    np.testing.assert_allclose(list(found.values()), 0.4)


def test_without_calibration_no_width_is_known():
    description = described(("entropy", 300.0, 0.1)) | {"calibration": None}
    assert np.isnan(widths(description, 300)["entropy"]).all()


@pytest.mark.parametrize(
    ("crystal", "expected"),
    [(NEAR, 0.1), (FAR, 0.2), (NEAR._replace(distance=np.nan), 0.1)],
)
def test_a_crystal_far_from_the_training_rows_has_wider_intervals(crystal, expected):
    novelty = {"near": 1.0, "exponent": 0.5, "far": 3.0}
    description = described(("entropy", 300.0, 0.1), novelty=novelty)
    assert widths(description, 300, crystal=crystal)["entropy"] == expected
