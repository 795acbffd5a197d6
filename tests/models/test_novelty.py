import numpy as np

from cloud_jax.models.novelty import TrainingStates, Widening


def test_a_distance_is_the_mean_over_the_three_nearest_in_units_of_the_spread():
    """Two axes of very different spread count alike; the third has none."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(500, 3)) * [100.0, 0.1, 0.0] + [7.0, 8.0, 9.0]
    known = TrainingStates.of(states)
    assert known.states.shape == (500, 2)
    whitened = known.states.astype(float)
    np.testing.assert_allclose((whitened**2).sum(axis=1).mean(), 1, rtol=0.02)
    new = np.array([[7.0, 8.0, 9.0], [7.0 + 1000, 8.0, 9.0], [7.0, 8.0 + 1.0, 9.0]])
    found = known.distances(new)
    gaps = np.linalg.norm((new - known.mean) @ known.axes - whitened[:, None], axis=2)
    np.testing.assert_allclose(found, np.sort(gaps, axis=0)[:3].mean(axis=0), rtol=1e-9)
    assert found[0] < 0.2
    np.testing.assert_allclose(found[1], found[2], rtol=0.2)
    assert known.distances(new[:0]).shape == (0,)


def test_rows_that_are_all_alike_have_no_axes_and_no_distances():
    states = np.ones((4, 3))
    assert TrainingStates.of(states).distances(states).tolist() == [0.0] * 4


def test_widths_grow_beyond_the_near_distance_and_stay_where_none_is_known():
    distance = np.array([0.0, 0.5, 2.0, np.nan])
    found = Widening(near=0.5, exponent=0.5, far=1.0).scale(distance)
    np.testing.assert_allclose(found, [1, 1, 2, 1])
