"""Losses as sums and counts, so that any split of a batch adds up exactly."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cloud_jax.training.masking import SEGMENTS


def cross_entropy_sums(
    logits: Float[Array, "B K V"],
    labels: Int[Array, "B K"],
    weight: Float[Array, "B K"],
    segment: Int[Array, "B K"],
) -> dict[str, Float[Array, "3"]]:
    """Summed negative log-likelihood (nats), hits and counts, one entry a segment."""
    picked = jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]
    loss = jax.nn.logsumexp(logits, axis=-1) - picked
    hit = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
    share = weight[..., None] * jax.nn.one_hot(segment, len(SEGMENTS))

    def per_segment(value: Float[Array, "B K"]) -> Float[Array, "3"]:
        return jnp.sum(value[..., None] * share, axis=(0, 1))

    return {
        "loss": per_segment(loss),
        "correct": per_segment(hit),
        "count": per_segment(jnp.ones_like(loss)),
    }
