"""Heads on the encoder's hidden states."""

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


class MlmHead(nn.Module):
    """Dense, GELU, LayerNorm, then the decoder tied to the token embedding."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self, hidden: Float[Array, "... D"], embedding: Float[Array, "V D"]
    ) -> Float[Array, "... V"]:
        """Return float32 logits; those of padded vocabulary rows are ``MASKED``."""
        config = self.config
        hidden = dense("dense", config.width, config.dtype)(hidden)
        hidden = gelu(hidden)
        hidden = layer_norm("norm", config.dtype)(hidden)
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
