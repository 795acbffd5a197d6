"""Heads on the encoder's hidden states, for pretraining and for properties.

Shape letters as in ``bert``, and O outputs of a property head.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from cloud_jax.models.bert import (
    MASKED,
    Encoder,
    EncoderConfig,
    dense,
    gelu,
    layer_norm,
)
from cloud_jax.models.dropout import drop


class MlmHead(nn.Module):
    """BERT's head: Dense, GELU, LayerNorm, and a decoder tied to the embedding."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self, hidden: Float[Array, "... D"], embedding: Float[Array, "V D"]
    ) -> Float[Array, "... V"]:
        """Return float32 logits; those of padded vocabulary rows are ``MASKED``."""
        config = self.config
        hidden = dense("dense", config.width, config.dtype)(hidden)
        hidden = gelu(hidden)
        hidden = layer_norm("norm", config)(hidden)
        shape = (config.padded_vocab_size,)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        logits = jnp.einsum(
            "...d,vd->...v",
            hidden,
            embedding.astype(config.dtype),
            preferred_element_type=jnp.float32,
        )
        real = jnp.arange(config.padded_vocab_size) < config.vocab_size
        return jnp.where(real, logits + bias, MASKED)


class MaskedLanguageModel(nn.Module):
    """Encoder and MLM head: parameters ``{"encoder": ..., "mlm_head": ...}``."""

    config: EncoderConfig

    def setup(self):
        """Name the two parts, which name the parameters."""
        self.encoder = Encoder(self.config)
        self.mlm_head = MlmHead(self.config)

    def __call__(
        self,
        tokens: Int[Array, "B L"],
        positions: Int[Array, "B L"],
        crystal: Int[Array, "B L"],
        *,
        features: Float[Array, "v F"] | None = None,
        query: Int[Array, "B K"] | None = None,
        deterministic: bool,
    ) -> Float[Array, "B K V"]:
        """Return logits at the query positions (all if None); see ``Encoder``."""
        hidden = self.encoder(
            tokens,
            positions,
            crystal,
            features=features,
            query=query,
            deterministic=deterministic,
        )
        return self.mlm_head(hidden, self.encoder.token_table(features))


class PropertyHead(nn.Module):
    """Dense and SiLU, ``layers`` times, then one number per output (paper, S2.2).

    The paper's "single-layer MLP" is one hidden layer.
    """

    layers: int
    outputs: int
    dropout: float

    @nn.compact
    def __call__(
        self, hidden: Float[Array, "... D"], *, deterministic: bool
    ) -> Float[Array, "... O"]:
        """Return outputs in float32, unbounded."""
        hidden = hidden.astype(jnp.float32)
        for i in range(self.layers):
            hidden = nn.silu(dense(f"hidden_{i}", hidden.shape[-1])(hidden))
            if not deterministic and self.dropout:
                hidden = drop(hidden, self.make_rng("dropout"), self.dropout)
        return dense("output", self.outputs)(hidden)


class PropertyModel(nn.Module):
    """Encoder and head on the [CLS] states: parameters ``{"encoder", "head"}``.

    An output is a scaled property or a variable of a physical law (see
    ``cloud_jax.physics.laws``); the model itself does not distinguish them.
    """

    config: EncoderConfig
    head_layers: int
    outputs: int

    def setup(self):
        """Name the two parts, which name the parameters."""
        self.encoder = Encoder(self.config)
        self.head = PropertyHead(self.head_layers, self.outputs, self.config.dropout)

    def __call__(
        self,
        tokens: Int[Array, "B L"],
        positions: Int[Array, "B L"],
        crystal: Int[Array, "B L"],
        *,
        features: Float[Array, "v F"] | None = None,
        query: Int[Array, "B K"],
        deterministic: bool,
    ) -> Float[Array, "B K O"]:
        """Return the outputs at ``query``, the position of each crystal's [CLS]."""
        hidden = self.encoder(
            tokens,
            positions,
            crystal,
            features=features,
            query=query,
            deterministic=deterministic,
        )
        return self.head(hidden, deterministic=deterministic)
