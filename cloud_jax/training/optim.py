"""AdamW with linear warm-up, cosine decay and global-norm clipping (Table S1)."""

import jax
import optax
from jaxtyping import PyTree

DECAYED = ("kernel", "embedding")  # biases and layer norms are never decayed


def schedule(
    *, learning_rate: float, warmup_fraction: float, total_steps: int
) -> optax.Schedule:
    """Linear from 0 to `learning_rate`, then cosine to 0 at `total_steps`.

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
    """True for the leaves that weight decay may touch."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: jax.tree_util.keystr(path, simple=True, separator="/").endswith(
            DECAYED
        ),
        params,
    )


def adamw(
    rate: optax.Schedule, *, weight_decay: float, clip_norm: float
) -> optax.GradientTransformation:
    """AdamW with PyTorch's defaults, on gradients clipped to `clip_norm`."""
    return optax.chain(
        optax.clip_by_global_norm(clip_norm),
        optax.adamw(
            rate, b1=0.9, b2=0.999, eps=1e-8, weight_decay=weight_decay, mask=decay_mask
        ),
    )
