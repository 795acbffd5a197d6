"""The counter-hash dropout is random enough and does not depend on sharding."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cloud_jax.models.dropout import drop, keep_mask, random_words

SHAPE = (32, 64, 128)


def test_rate_is_kept_and_the_mean_with_it():
    mask = np.asarray(keep_mask(jax.random.key(0), 0.1, SHAPE))
    n = mask.size
    assert abs(mask.mean() - 0.9) < 5 * np.sqrt(0.09 / n)
    for axis in range(3):
        counts = mask.mean(axis=axis)
        expected = np.sqrt(0.09 / SHAPE[axis])
        assert abs(counts.std() / expected - 1) < 5 / np.sqrt(2 * counts.size)
    dropped = drop(jnp.ones(SHAPE), jax.random.key(0), 0.1)
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / 0.9], rtol=1e-6)


def test_every_bit_is_fair_and_independent_of_neighbours_and_of_other_keys():
    words = np.asarray(random_words(jax.random.key(3), SHAPE)).ravel()
    other = np.asarray(random_words(jax.random.key(4), SHAPE)).ravel()
    bound = 5 / np.sqrt(words.size)  # 5 sigma of a correlation of fair coins

    def coins(x):
        return ((x[:, None] >> np.arange(32, dtype=np.uint32)) & 1) * 2.0 - 1

    for partner in (
        np.ones_like(words),
        *(np.roll(words, s) for s in (1, 128, 64 * 128)),
        other,
    ):
        pairs = coins(words ^ partner) if partner.max() > 1 else coins(words)
        assert np.abs(pairs.mean(axis=0)).max() < bound


def test_the_mask_is_the_same_on_every_mesh():
    expected = np.asarray(keep_mask(jax.random.key(5), 0.1, (16, 32)))
    for shape in ((8, 1), (2, 4), (1, 8)):
        mesh = jax.make_mesh(shape, ("a", "b"), axis_types=(AxisType.Auto,) * 2)
        sharding = NamedSharding(mesh, PartitionSpec("a", "b"))
        mask = jax.jit(
            lambda key: keep_mask(key, 0.1, (16, 32)), out_shardings=sharding
        )(jax.random.key(5))
        np.testing.assert_array_equal(np.asarray(mask), expected)
