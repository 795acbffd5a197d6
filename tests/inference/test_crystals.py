from types import SimpleNamespace

import numpy as np
import pytest

from cloud_jax.inference.crystals import Crystal, uncalibrated, with_distances
from cloud_jax.models.novelty import TrainingStates

FEW = {"elemental": 3, "in_metals": ["Al", "Ni"]}


@pytest.mark.parametrize(
    ("domain", "elements", "expected"),
    [
        (FEW, ["Al", "Ni"], []),
        (FEW, ["Al", "Fe"], ["not_calibrated:Fe_in_metal"]),
        (FEW, ["Fe", "O"], []),
        (FEW, ["Al"], ["not_calibrated:elemental_crystal"]),
        (FEW, ["C"], ["not_calibrated:elemental_crystal"]),
        (FEW | {"elemental": 20}, ["Fe"], ["not_calibrated:Fe_in_metal"]),
        ({}, ["Fe"], []),  # an older model
        (None, ["Fe"], []),
    ],
)
def test_flags_say_where_too_few_labels_test_the_intervals(domain, elements, expected):
    model = SimpleNamespace(description={"domain": domain})
    assert uncalibrated(model, elements) == expected


def test_a_crystal_with_few_neighbours_is_flagged_and_knows_its_distance():
    states = np.random.default_rng(0).normal(size=(100, 4))
    model = SimpleNamespace(
        description={
            "calibration": {"novelty": {"near": 0.1, "exponent": 0.5, "far": 1.0}}
        },
        novelty=TrainingStates.of(states),
    )
    crystals = [Crystal(name, [1], (), 1, ("read",), "", 1) for name in "ab"]
    near, far = with_distances(crystals, model, np.stack([states[0], 50 + states[0]]))
    assert near.flags == ("read",)
    assert far.flags == ("read", "not_calibrated:few_neighbours")
    assert near.distance < 1 < far.distance
