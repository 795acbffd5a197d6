"""The attention probabilities of an encoder, read out of its forward pass.

Shape letters: B rows, L tokens, N layers, H heads, K query positions, F features.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from cloud_jax.models.bert import Encoder, unroll


def attention_weights(
    encoder: Encoder,
    params: PyTree,
    tokens: Int[Array, "B L"],
    positions: Int[Array, "B L"],
    crystal: Int[Array, "B L"],
    *,
    features: Float[Array, "v F"] | None = None,
    query: Int[Array, "B K"],
) -> Float[Array, "B N H K L"]:
    """Return the attention probabilities from the query positions, of all N layers.

    They are the softmax weights of the forward pass itself, without dropout: float32,
    zero outside the crystal, one in sum over L.

    Args:
        encoder: with or without `scan_layers`.
        params: of the encoder.
        tokens: as the other arrays, see ``Encoder``.
        positions: of each token inside its crystal.
        crystal: number of the crystal in its row.
        features: descriptors of the tokens.
        query: positions of each row to look from, of [CLS] for instance.
    """
    _, kept = encoder.apply(
        {"params": params},
        tokens,
        positions,
        crystal,
        features=features,
        query=query,
        deterministic=True,
        mutable=["intermediates"],
    )
    layers = unroll(kept["intermediates"])
    weights = [
        layers[f"layer_{i}"]["attention"]["weights"][0]
        for i in range(encoder.config.layers)
    ]
    # All but the last layer look from every position.
    at_query = [
        jnp.take_along_axis(w, query[:, None, :, None], axis=2) for w in weights[:-1]
    ]
    return jnp.stack([*at_query, weights[-1]], axis=1)
