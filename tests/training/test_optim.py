import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cloud_jax.training.optim import adamw, decay_mask, schedule


def test_warm_up_is_linear_and_cosine_ends_at_zero():
    rate = schedule(learning_rate=2.0, warmup_fraction=0.1, total_steps=100)
    assert float(rate(0)) == 0.0
    assert float(rate(5)) == pytest.approx(1.0)
    assert float(rate(10)) == pytest.approx(2.0)
    assert float(rate(55)) == pytest.approx(1.0)
    assert float(rate(100)) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(("fraction", "steps"), [(1.0, 10), (-0.1, 10), (0.1, 0)])
def test_impossible_schedules_are_refused(fraction, steps):
    with pytest.raises(ValueError, match="schedule"):
        schedule(learning_rate=1.0, warmup_fraction=fraction, total_steps=steps)


def test_first_update_is_that_of_torch():
    """With bias correction the first AdamW step is lr * (g / (|g| + eps) + wd * p)."""
    optimizer = adamw(optax.constant_schedule(0.1), weight_decay=0.5, clip_norm=1e9)
    params = {"kernel": jnp.array([2.0]), "bias": jnp.array([2.0])}
    grads = {"kernel": jnp.array([3.0]), "bias": jnp.array([-3.0])}
    updates, _ = optimizer.update(grads, optimizer.init(params), params)
    assert updates["kernel"][0] == pytest.approx(-0.1 * (1 + 0.5 * 2), rel=1e-5)
    assert updates["bias"][0] == pytest.approx(0.1, rel=1e-5)  # not decayed


def test_gradients_are_clipped_by_their_global_norm():
    clip = adamw(optax.constant_schedule(1.0), weight_decay=0.0, clip_norm=1.0)
    params = {"kernel": jnp.zeros(2), "bias": jnp.zeros(1)}
    grads = {"kernel": jnp.array([3.0, 0.0]), "bias": jnp.array([4.0])}
    _, state = clip.update(grads, clip.init(params), params)
    first_moment = optax.tree.get(state, "mu")
    np.testing.assert_allclose(first_moment["kernel"], [0.06, 0.0], rtol=1e-5)
    np.testing.assert_allclose(first_moment["bias"], [0.08], rtol=1e-5)


def test_only_kernels_and_embeddings_decay():
    params = {
        "token_embedding": 0, "embedding_norm": {"scale": 0, "bias": 0},
        "attention": {"qkv_kernel": 0, "qkv_bias": 0, "output": {"kernel": 0}},
    }  # fmt: skip
    flat = {
        jax.tree_util.keystr(path, simple=True, separator="/"): value
        for path, value in jax.tree_util.tree_leaves_with_path(decay_mask(params))
    }
    assert {path for path, value in flat.items() if value} == {
        "token_embedding", "attention/qkv_kernel", "attention/output/kernel",
    }  # fmt: skip
