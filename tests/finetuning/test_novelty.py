import numpy as np

from cloud_jax.finetuning.calibration import conformal_quantile
from cloud_jax.finetuning.novelty import (
    calibrating_targets,
    fit_widening,
    labelled_chemistry,
)
from cloud_jax.finetuning.targets import Target
from cloud_jax.scope import build_vocabulary


def draw(n, exponent, seed):
    """Return distances, and residuals of two targets that grow with them."""
    rng = np.random.default_rng(seed)
    distance = rng.uniform(0.2, 2.0, n)
    spread = distance[:, None] ** exponent * [0.1, 5.0]
    return distance, np.abs(rng.normal(size=(n, 2))) * spread


def test_the_growth_of_residuals_is_found_and_then_far_rows_are_covered_as_well():
    distance, residuals = draw(2000, 1.5, seed=0)
    residuals[::3, 0] = np.nan  # rows without that label
    widening = fit_widening(residuals, distance, 0.9)
    assert abs(widening.exponent - 1.5) < 0.2
    np.testing.assert_allclose((widening.near, widening.far), (0.38, 1.91), atol=0.05)

    known = ~np.isnan(residuals[:, 0])
    scaled = residuals[known, 0] / widening.scale(distance[known])
    quantile = conformal_quantile(scaled, 0.9)
    plain = conformal_quantile(residuals[known, 0], 0.9)
    new_distance, new = draw(4000, 1.5, seed=1)
    far = new_distance > 1.5
    inside = new[:, 0] <= quantile * widening.scale(new_distance)
    assert abs(inside.mean() - 0.9) < 0.02
    assert abs(inside[far].mean() - 0.9) < 0.03
    assert (new[far, 0] <= plain).mean() < 0.8


def test_residuals_that_do_not_grow_or_shrink_with_the_distance_widen_nothing():
    distance, residuals = draw(2000, -1.0, seed=2)
    assert fit_widening(residuals, distance, 0.9).exponent == 0


def test_too_few_rows_fit_no_growth():
    distance, residuals = draw(300, 1.0, seed=3)
    distance[:150] = np.nan
    assert fit_widening(residuals, distance, 0.9) is None


def test_a_target_without_a_label_in_held_out_rows_changes_nothing():
    distance, residuals = draw(300, 1.0, seed=3)
    expected = fit_widening(residuals[:, :1], distance, 0.9)
    residuals[:, 1] = np.nan
    assert fit_widening(residuals, distance, 0.9) == expected
    assert fit_widening(residuals[:, 1:], distance, 0.9) is None


def test_debye_temperatures_calibrate_only_where_they_are_the_only_labels():
    theta = Target("agl", "debye_temperature", "K", "", 0.0)
    cv = Target("cv", "heat_capacity", "J/(mol K)", "atom", 300.0)
    assert calibrating_targets([theta, cv]).tolist() == [False, True]
    assert calibrating_targets([theta]).tolist() == [True]


def test_chemistry_counts_elemental_crystals_and_lists_what_metals_hold():
    vocabulary = build_vocabulary("canonical")
    rows = [
        [1, *(vocabulary.tokens.index(f"element:{symbol}") for symbol in symbols)]
        for symbols in (["Cu"], ["C"], ["Al", "Ni"], ["Mg", "O"])
    ]
    found = labelled_chemistry(vocabulary, rows)
    assert found == {"elemental": 2, "in_metals": ["Al", "Cu", "Ni"]}
    assert labelled_chemistry(vocabulary, [[1, 2]]) == {}
