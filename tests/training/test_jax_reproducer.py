"""The wrong result for which requirements.txt excludes jax 0.10.2."""

import jax
import jax.numpy as jnp
import numpy as np


def test_jit_on_cpu_computes_every_row():
    """https://github.com/jax-ml/jax/issues/39103: rows past 16,384 were wrong."""
    rng = np.random.default_rng(0)
    m, r = rng.normal(size=(3, 3)), rng.normal(size=(16385, 3))
    with jax.enable_x64(True):
        found = jax.jit(lambda m, r: jnp.sum((m @ r.T) ** 2, axis=0))(m, r)
    np.testing.assert_allclose(found, ((r @ m.T) ** 2).sum(axis=1), rtol=1e-12)
