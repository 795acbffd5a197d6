import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cloud_jax.training.optim import (
    adamw,
    decay_mask,
    finetuning_adamw,
    schedule,
)


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


def finetuning(params, grads, n_steps, **options):
    """Return the updates of each step on constant gradients."""
    settings = {
        "weight_decay": 0.0,
        "clip_norm": 1e9,
        "n_layers": 2,
        "layer_decay": 1.0,
        "frozen_steps": 0,
    }
    optimizer = finetuning_adamw(optax.constant_schedule(0.1), **settings | options)
    state, found = optimizer.init(params), []
    update = jax.jit(optimizer.update)
    for _ in range(n_steps):
        updates, state = update(grads, state, params)
        found.append(jax.tree.map(float, updates))
    return found


ENCODER = {
    "encoder": {
        "token_embedding": jnp.float32(1),
        "layer_0": {"kernel": jnp.float32(1)},
        "layer_1": {"kernel": jnp.float32(1)},
    },
    "head": {"kernel": jnp.float32(1)},
}
ONES = jax.tree.map(jnp.ones_like, ENCODER)


def test_layer_decay_slows_each_layer_and_the_embeddings_most():
    (updates,) = finetuning(ENCODER, ONES, 1, layer_decay=0.5)
    assert updates["head"]["kernel"] == pytest.approx(-0.1, rel=1e-5)
    encoder = updates["encoder"]
    assert encoder["layer_1"]["kernel"] == pytest.approx(-0.05, rel=1e-5)
    assert encoder["layer_0"]["kernel"] == pytest.approx(-0.025, rel=1e-5)
    assert encoder["token_embedding"] == pytest.approx(-0.0125, rel=1e-5)


def test_a_frozen_encoder_stays_and_then_begins_as_adam_begins():
    """With the head's step count, the first update would be 3 times as long and the
    tenth 6 times."""
    options = {"frozen_steps": 30, "weight_decay": 0.5}
    updates = finetuning(ENCODER, ONES, 40, **options)
    for update in updates[:30]:
        assert set(jax.tree.leaves(update["encoder"])) == {0.0}
        assert update["head"]["kernel"] < -0.1
    for update in updates[30:]:
        for part in update.values():
            for leaf in jax.tree.leaves(part):
                assert leaf == pytest.approx(-0.1 * 1.5, rel=1e-4)


def test_frozen_gradients_do_not_count_in_the_norm():
    large = ONES | {"encoder": jax.tree.map(lambda x: 1e6 * x, ONES["encoder"])}
    options = {"clip_norm": 1.0, "frozen_steps": 1}
    first, second = finetuning(ENCODER, large, 2, **options)
    assert first["head"]["kernel"] == pytest.approx(-0.1, rel=1e-5)
    # Adam of a gradient of 1, then of 1e-6: (0.9 * 0.1) / 0.19 of the rate
    assert second["head"]["kernel"] == pytest.approx(-0.067, rel=1e-2)


def test_frozen_steps_count_in_the_schedule():
    rate = schedule(learning_rate=1.0, warmup_fraction=0.0, total_steps=4)
    optimizer = finetuning_adamw(
        rate,
        weight_decay=0.0,
        clip_norm=1e9,
        n_layers=2,
        layer_decay=1.0,
        frozen_steps=2,
    )
    state, update = optimizer.init(ENCODER), jax.jit(optimizer.update)
    for step in range(4):
        updates, state = update(ONES, state, ENCODER)
        head = -float(updates["head"]["kernel"])
        encoder = -float(updates["encoder"]["layer_0"]["kernel"])
        assert head == pytest.approx(float(rate(step)), rel=1e-4)
        assert encoder == pytest.approx(head if step >= 2 else 0.0, rel=1e-4)
