"""AdamW with linear warm-up, cosine decay and global-norm clipping (Table S1)."""

import re
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

DECAYED = ("kernel", "embedding")  # biases and layer norms are never decayed


def schedule(
    *, learning_rate: float, warmup_fraction: float, total_steps: int
) -> optax.Schedule:
    """Return a rate: linear from 0 to `learning_rate`, then cosine to 0 at the end.

    Raises:
        ValueError: a fraction outside [0, 1), or no steps.
    """
    if not 0 <= warmup_fraction < 1 or total_steps < 1:
        raise ValueError(
            f"schedule: warmup_fraction={warmup_fraction} must lie in [0, 1) and "
            f"total_steps={total_steps} must be at least 1"
        )
    return optax.warmup_cosine_decay_schedule(
        init_value=0.0,
        peak_value=learning_rate,
        warmup_steps=round(warmup_fraction * total_steps),
        decay_steps=total_steps,
    )


def decay_mask(params: PyTree) -> PyTree:
    """Return a tree with True for the leaves that weight decay applies to."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/").endswith(
            DECAYED
        ),
        params,
    )


def adamw(
    rate: optax.Schedule, *, weight_decay: float, clip_norm: float
) -> optax.GradientTransformation:
    """Return AdamW with PyTorch's defaults, on gradients clipped to `clip_norm`."""
    return optax.chain(
        optax.clip_by_global_norm(clip_norm), _adamw(rate, weight_decay=weight_decay)
    )


def _adamw(
    rate: optax.Schedule, *, weight_decay: float
) -> optax.GradientTransformation:
    return optax.adamw(
        rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=weight_decay, mask=decay_mask
    )


def finetuning_adamw(
    rate: optax.Schedule,
    *,
    weight_decay: float,
    clip_norm: float,
    n_layers: int,
    layer_decay: float,
    frozen_steps: int,
) -> optax.GradientTransformation:
    """Return `adamw` with slower lower layers and an encoder that is frozen at first.

    Args:
        rate: of the head; see `schedule`.
        weight_decay: decoupled.
        clip_norm: of the gradients that are used.
        n_layers: of the encoder.
        layer_decay: ratio of each layer's rate to that of the layer above, down to the
            embeddings (all layers, unlike the reference code); 1 for none.
        frozen_steps: steps at the start in which only the head learns; they count in
            the schedule.
    """

    def factor(path: tuple, step: jax.Array) -> jax.Array:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if not name.startswith("encoder"):
            return jnp.ones(())
        layer = re.match(r"encoder/layer_(\d+)/", name)
        depth = n_layers - int(layer[1]) if layer else n_layers + 1
        return jnp.where(step < frozen_steps, 0.0, layer_decay**depth)

    def scaled(use: Callable[[jax.Array], jax.Array]) -> optax.GradientTransformation:
        """Multiply each leaf by `use(its factor)`."""

        def update(updates, step, params=None):
            updates = jax.tree_util.tree_map_with_path(
                lambda path, leaf: leaf * use(factor(path, step)), updates
            )
            return updates, step + 1

        return optax.GradientTransformation(
            lambda params: jnp.zeros((), jnp.int32), update
        )

    def adam(first_step: int) -> optax.GradientTransformation:
        return _adamw(lambda step: rate(step + first_step), weight_decay=weight_decay)

    # Frozen gradients count neither in the norm nor in Adam's moments. Adam's bias
    # correction of the encoder begins when the encoder begins to learn: with the step
    # count of the head, its first steps would be several times too long.
    inner = adam(0)
    if frozen_steps:
        waiting = optax.transforms.conditionally_transform(
            adam(frozen_steps), should_transform_fn=lambda step: step >= frozen_steps
        )
        inner = optax.partition(
            {"encoder": waiting, "head": inner}, lambda params: {k: k for k in params}
        )
    return optax.chain(
        scaled(lambda factor: factor > 0),
        optax.chain(optax.clip_by_global_norm(clip_norm), inner),
        scaled(lambda factor: factor),
    )
