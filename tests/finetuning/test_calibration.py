"""Intervals: quantiles by hand, factors that are known, coverage where it is stated."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from cloud_jax.finetuning.calibration import calibrate, conformal_quantile, log_factors
from cloud_jax.finetuning.folds import Member
from cloud_jax.finetuning.targets import Target
from cloud_jax.physics.laws import constrain, evaluate, get_law

CV = Target("cv", "heat_capacity", "J/(mol K)", "atom", 300.0)


@pytest.mark.parametrize(
    ("n", "level", "expected"),
    [
        (9, 0.9, 9.0),  # the ceil(10 * 0.9)-th of 1..9
        (10, 0.9, 10.0),  # 11 * 0.9 = 9.9
        (19, 0.9, 18.0),  # 20 * 0.9
        (99, 0.5, 50.0),
        (3, 0.9, None),  # too few rows for that level
    ],
)
def test_quantile_is_that_of_one_row_more(n, level, expected):
    residuals = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert conformal_quantile(residuals, level) == expected


def test_quantile_covers_new_rows_as_often_as_stated():
    """Over many calibration sets: (n + 1) * level is whole, so it is exact."""
    rng = np.random.default_rng(1)
    inside = [
        np.mean(rng.exponential(size=200) <= conformal_quantile(known, 0.8))
        for known in rng.exponential(size=(2000, 19))
    ]
    assert np.mean(inside) == pytest.approx(0.8, abs=0.01)  # 5 standard errors


@pytest.mark.parametrize(
    ("name", "property", "kelvin"),
    [
        ("debye", "internal_energy", 300.0),
        ("debye_einstein", "entropy", 200.0),
    ],
)
def test_log_factors_recovers_the_factor_on_every_temperature(name, property, kelvin):
    law, rng = get_law(name), np.random.default_rng(2)
    known = np.array([-0.7, -0.1, 0.0, 0.02, 0.4])
    raw = rng.normal(size=(2, 5, len(law.variables)))
    there = np.array([[True] * 5, [True, False, True, False, True]])
    variables = constrain(law, jnp.asarray(raw))
    scaled = {
        v.name: variables[v.name] * (np.exp(known) if v.unit == "K" else 1.0)
        for v in law.variables
    }
    values = np.asarray(evaluate(law, property, scaled, kelvin))
    labels = (values * there).sum(0) / there.sum(0)
    target = Target("t", property, "", "atom", kelvin)
    found = log_factors(law, target, raw, there, labels)
    # float32 labels: near 3 R a heat capacity says little about theta
    np.testing.assert_allclose(found, known, atol=1e-4)


def test_a_label_that_no_theta_gives_is_as_far_as_can_be():
    labels = np.array([30.0, -1.0])  # above 3 R, below 0
    there = np.ones((1, 2), bool)
    found = log_factors(get_law("debye"), CV, np.zeros((1, 2, 1)), there, labels)
    np.testing.assert_allclose(np.abs(found), np.log(20), rtol=1e-6)


def job_of(members, targets, *, protocol="strict", level=0.75):
    """Return the parts of a job that calibration reads."""
    return SimpleNamespace(
        config=SimpleNamespace(
            folds=SimpleNamespace(protocol=protocol), confidence=level
        ),
        members=members,
        targets=(Target("y", "y", "", "", None),),
        law=None,
        table=SimpleNamespace(targets=targets),
        amounts=np.ones_like(targets),
    )


def test_only_members_that_held_a_row_out_judge_it():
    """Rows 0, 1 by the first member, 1, 2 by the second; row 3 by nobody."""
    targets = np.array([[1.0], [2.0], [3.0], [4.0]])
    values = np.full((2, 4, 1), np.nan)
    values[0, [0, 1], 0] = 1.5, 5.0
    values[1, [1, 2], 0] = 1.0, 3.25
    values[0, 3] = 100.0  # a test row of the first fold
    members = [
        Member("a.0", 0, 0, np.array([2]), np.array([0, 1])),
        Member("b.0", 1, 0, np.array([0]), np.array([1, 2])),
    ]
    trained = SimpleNamespace(raw=values, values=values)
    found = calibrate(job_of(members, targets), trained)["targets"]["y"]
    # residuals 0.5, |(5 + 1) / 2 - 2| = 1, 0.25; the 3rd of them
    assert found == {"level": 0.75, "n": 3, "quantile": 1.0}
    assert calibrate(job_of(members, targets, protocol="paper"), trained) == {}
    # Without the label of row 1 the residuals are 0.5 and 0.25, of which 0.6 takes
    # the larger one; without that of row 0 there are too few.
    targets[1] = np.nan
    found = calibrate(job_of(members, targets, level=0.6), trained)["targets"]["y"]
    assert found == {"level": 0.6, "n": 2, "quantile": 0.5}
    targets[0] = np.nan
    assert calibrate(job_of(members, targets, level=0.6), trained) == {"targets": {}}
