"""Losses as sums and counts, so that they add up exactly however a batch is split."""

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
    """Return sums of negative log-likelihood (nats), hits and counts, one per segment.

    Args:
        logits: scores of the tokens at the K masked positions of each of B rows.
        labels: true ids.
        weight: 1.0 where a position is in use, otherwise 0.0.
        segment: index into `SEGMENTS`.
    """
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
