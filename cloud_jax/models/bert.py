"""The BERT encoder of CLOUD, for rows that hold several whole crystals.

Numerically the Hugging Face encoder (Devlin et al. 2019: post-LayerNorm, exact GELU,
epsilon 1e-12, learned positions), with two differences that change no number: a token
attends only within its own crystal, so that crystals can share a row, and the last
layer can be evaluated at a few query positions only.

Shape letters: B rows, L tokens, K query positions, D width, H heads, V vocabulary,
F features of a token.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from cloud_jax.models.dropout import drop, key_words
from cloud_jax.models.kernels import attention_kernel, norm_kernel

# Finite, so that a softmax of such scores alone is not NaN; its exp is 0 in float32.
MASKED = -1e30
LAYER_NORM_EPSILON = 1e-12  # Hugging Face BertConfig.layer_norm_eps
EMBEDDING_MULTIPLE = 128  # vocabulary rows are padded to this, for even sharding
HEAD_WIDTH = 64  # d_k = 768 / 12 in the paper, Table S1
_initializer = nn.initializers.normal(0.02)  # BertConfig.initializer_range

PRESETS = {  # layers and heads of the paper's Table S1; `small` is ours, for a CPU
    "small": {"layers": 3, "heads": 4, "width": 128},
    "bert1": {"layers": 1, "heads": 1, "width": 64},
    "bert3": {"layers": 3, "heads": 4, "width": 256},
    "bert6": {"layers": 6, "heads": 12, "width": 768},
    "bert12": {"layers": 12, "heads": 12, "width": 768},
}


@dataclasses.dataclass(frozen=True)
class EncoderConfig:
    """Architecture of one encoder.

    Attributes:
        vocab_size: Number of tokens; the embedding has ``padded_vocab_size`` rows.
        layers: Transformer layers.
        heads: Attention heads; divides ``width``.
        width: Hidden width D.
        mlp_width: Width of the hidden layer of each MLP.
        max_positions: Longest crystal, in tokens.
        dropout: Rate on embeddings and on the output of each sublayer.
        attention_dropout: Rate on attention probabilities.
        token_features: Physical descriptors per token, 0 for none.
        dtype: Compute type. Parameters, LayerNorm statistics, softmax and logits are
            float32 whatever it is.
        kernels: How layers are computed, names of ``kernels.NAMES``; results stay the
            same up to rounding.
    """

    vocab_size: int
    layers: int
    heads: int
    width: int
    mlp_width: int
    max_positions: int
    dropout: float = 0.1
    attention_dropout: float = 0.1
    token_features: int = 0
    dtype: str = "float32"
    kernels: tuple[str, ...] = ()

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(
                f"EncoderConfig: width {self.width} is not a multiple of heads "
                f"{self.heads}; choose heads that divide it (64 per head)."
            )

    @property
    def padded_vocab_size(self) -> int:
        """Return the rows of the embedding: ``vocab_size`` rounded up to 128."""
        return -(-self.vocab_size // EMBEDDING_MULTIPLE) * EMBEDDING_MULTIPLE


def preset(name: str, **overrides: Any) -> EncoderConfig:
    """Return the configuration that a preset's name stands for.

    Args:
        name: A key of ``PRESETS``, or LAYERSxWIDTH such as ``2x96``, which has heads
            of width 64, or one head if the width is not a multiple of 64.
        **overrides: Fields of ``EncoderConfig``; ``vocab_size`` and ``max_positions``
            have no default and must be given.

    Raises:
        ValueError: The preset does not exist.
    """
    if size := re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", name):
        layers, width = map(int, size.groups())
        heads = 1 if width % HEAD_WIDTH else width // HEAD_WIDTH
        fields = {"layers": layers, "heads": heads, "width": width}
    elif name in PRESETS:
        fields = PRESETS[name]
    else:
        raise ValueError(
            f"unknown model preset {name!r}: choose from {', '.join(PRESETS)}, or give "
            "LAYERSxWIDTH, such as 2x96"
        )
    fields = fields | overrides
    return EncoderConfig(**({"mlp_width": 4 * fields["width"]} | fields))


def layer_norm(name: str, config: EncoderConfig) -> nn.LayerNorm:
    """Return BERT's LayerNorm; its statistics are float32 in every compute dtype."""
    return nn.LayerNorm(
        epsilon=LAYER_NORM_EPSILON,
        dtype=config.dtype,
        use_fast_variance="one_pass_norm" in config.kernels,
        name=name,
    )


def dense(name: str, features: int, dtype: str | None = None) -> nn.Dense:
    """Return a Dense layer with BERT's initialiser."""
    return nn.Dense(features, dtype=dtype, kernel_init=_initializer, name=name)


def gelu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return the exact GELU, x (1 + erf(x / sqrt 2)) / 2 (Hendrycks & Gimpel 2016).

    ``jax.nn.gelu`` uses erfc, which costs a CPU two passes more. Computed in float32 in
    every compute dtype, because 1 + erf cancels where x is negative.
    """
    y = x.astype(jnp.float32)
    return (0.5 * y * (1.0 + jax.lax.erf(y * 0.5**0.5))).astype(x.dtype)


def take_positions(
    x: Float[Array, "B L D"], query: Int[Array, "B K"]
) -> Float[Array, "B K D"]:
    """Return the rows of ``x`` at each row's query positions."""
    return jnp.take_along_axis(x, query[..., None], axis=1)


class FusedAddNorm(nn.Module):
    """``add_norm`` as one kernel, with the parameters of ``layer_norm``."""

    config: EncoderConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "B K D"], y: Float[Array, "B K D"], key: Any
    ) -> Float[Array, "B K D"]:
        """Return the LayerNorm of the sum; ``norm_kernel`` of its shape exists."""
        config = self.config
        scale = self.param("scale", nn.initializers.ones, (config.width,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (config.width,), jnp.float32)
        kernel = norm_kernel(config, *x.shape[:2])
        rate = 0.0 if key is None else config.dropout
        return kernel(x, y, scale, bias, key_words(key), rate, LAYER_NORM_EPSILON)


def add_norm(
    name: str,
    config: EncoderConfig,
    x: Float[Array, "B K D"],
    y: Float[Array, "B K D"],
    key: Any,
) -> Float[Array, "B K D"]:
    """Return the LayerNorm of ``x`` plus ``y``; a key turns dropout of ``y`` on."""
    if norm_kernel(config, *x.shape[:2]):
        return FusedAddNorm(config, name=name)(x, y, key)
    return layer_norm(name, config)(x + drop(y, key, config.dropout))


class _Sublayer(nn.Module):
    """Base of attention and MLP: holds the configuration and makes dropout keys.

    A sublayer returns its output before dropout, and the key of that dropout, which
    ``add_norm`` applies.
    """

    config: EncoderConfig
    deterministic: bool

    def dropout_key(self, rate):
        """Return a fresh key of the ``dropout`` collection; None without dropout."""
        if self.deterministic or rate == 0.0:
            return None
        return self.make_rng("dropout")


class Attention(_Sublayer):
    """Multi-head attention within each crystal (paper, Eq. 15), and its projection."""

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B L D"],
        x_query: Float[Array, "B K D"],
        crystal: Int[Array, "B L"],
        crystal_query: Int[Array, "B K"],
    ) -> tuple[Float[Array, "B K D"], Any]:
        """Return what ``x_query`` attends to in ``x``, and a dropout key."""
        config = self.config
        dtype, width = config.dtype, config.width
        # Query, key and value in one kernel [D, 3, D]: one large product instead of
        # three, and the last axis still splits evenly over a tensor-parallel mesh.
        kernel = self.param("qkv_kernel", _initializer, (width, 3, width), jnp.float32)
        bias = self.param("qkv_bias", nn.initializers.zeros, (3, width), jnp.float32)
        kernel, bias = kernel.astype(dtype), bias.astype(dtype)
        key = self.dropout_key(config.attention_dropout)
        packed = attention_kernel(config, *x.shape[:2])

        def project(y, first, last):
            y = jnp.einsum("bld,dce->blce", y, kernel[:, first:last])
            return y + bias[first:last]

        # The kernel takes all queries, and keeps no weights for who studies them.
        studied = self.is_mutable_collection("intermediates")
        if packed and x_query is x and not studied:
            rate = 0.0 if key is None else config.attention_dropout
            qkv = project(x, 0, 3)
            mixed = packed(qkv, crystal, key_words(key), config.heads, rate)
        else:
            # Padding is crystal 0 and attends to itself: its states are never read, but
            # a row that is all False would make its softmax meaningless.
            same_crystal = crystal_query[:, :, None] == crystal[:, None, :]
            mixed = self.reference(project, x, x_query, same_crystal, key)
        mixed = dense("output", width, dtype)(mixed)
        return mixed, self.dropout_key(config.dropout)

    def reference(
        self,
        project: Callable[[Array, int, int], Float[Array, "B L C D"]],
        x: Float[Array, "B L D"],
        x_query: Float[Array, "B K D"],
        same_crystal: Bool[Array, "B K L"],
        key: Array | None,
    ) -> Float[Array, "B K D"]:
        """Return attention [B, K, D] as plain operations.

        Args:
            project: Gives parts ``first`` to ``last`` of query, key and value.
            x: Hidden states [B, L, D].
            x_query: Those that attend [B, K, D].
            same_crystal: Whether they may [B, K, L].
            key: Of the dropout of the attention weights, or None.
        """
        config = self.config
        size = config.width // config.heads

        def heads(y, first, last):
            y = project(y, first, last)
            y = y.reshape(*y.shape[:3], config.heads, size)
            return [y[:, :, i] for i in range(last - first)]

        if "split_qkv" in config.kernels:
            parts = (heads(y, i, i + 1) for i, y in enumerate((x_query, x, x)))
            queries, keys, values = (part for (part,) in parts)
        elif x_query is x:
            queries, keys, values = heads(x, 0, 3)
        else:
            (queries,) = heads(x_query, 0, 1)
            keys, values = heads(x, 1, 3)
        scores = jnp.einsum("bqhd,bkhd->bhqk", queries, keys).astype(jnp.float32)
        scores = scores / size**0.5
        scores = jnp.where(same_crystal[:, None], scores, MASKED)
        weights = jax.nn.softmax(scores)
        self.sow("intermediates", "weights", weights)
        weights = drop(weights, key, config.attention_dropout)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(config.dtype), values)
        return mixed.reshape(*mixed.shape[:2], config.width)


class Mlp(_Sublayer):
    """Dense, exact GELU, Dense."""

    @nn.compact
    def __call__(self, x: Float[Array, "B K D"]) -> tuple[Float[Array, "B K D"], Any]:
        """Return the MLP's output at each position, and a dropout key."""
        config = self.config
        hidden = dense("in", config.mlp_width, config.dtype)(x)
        hidden = gelu(hidden)
        hidden = dense("out", config.width, config.dtype)(hidden)
        return hidden, self.dropout_key(config.dropout)


class Layer(nn.Module):
    """One post-LayerNorm transformer layer."""

    config: EncoderConfig
    deterministic: bool

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "B L D"],
        crystal: Int[Array, "B L"],
        query: Int[Array, "B K"] | None = None,
    ) -> Float[Array, "B K D"]:
        """Return hidden states at ``query`` (all positions if None)."""
        config, settings = self.config, (self.config, self.deterministic)
        x_query, crystal_query = x, crystal
        if query is not None:
            x_query = take_positions(x, query)
            crystal_query = jnp.take_along_axis(crystal, query, axis=1)
        attention = Attention(*settings, name="attention")
        mixed, key = attention(x, x_query, crystal, crystal_query)
        y = add_norm("attention_norm", config, x_query, mixed, key)
        hidden, key = Mlp(*settings, name="mlp")(y)
        return add_norm("mlp_norm", config, y, hidden, key)


class Encoder(nn.Module):
    """BERT without a pooler: embeddings and transformer layers."""

    config: EncoderConfig

    def setup(self):
        """Create the parameters that ``token_table`` and ``__call__`` share."""
        config = self.config
        shape = (config.padded_vocab_size, config.width)
        self.token_embedding = self.param("token_embedding", _initializer, shape)
        # Hugging Face adds the embedding of token type 0 everywhere; the importer adds
        # that constant to this table.
        shape = (config.max_positions, config.width)
        self.position_embedding = self.param("position_embedding", _initializer, shape)
        if config.token_features:
            shape = (config.token_features, config.width)
            self.feature_kernel = self.param("feature_kernel", _initializer, shape)
        self.embedding_norm = layer_norm("embedding_norm", config)

    def token_table(self, features: Float[Array, "v F"] | None) -> Float[Array, "V D"]:
        """Return the embedding of every token of the padded vocabulary.

        It is the learned table plus, if the model takes token features, a projection of
        each token's physical descriptors.

        Args:
            features: Descriptors of the first v tokens; the other V - v are padding.

        Raises:
            ValueError: F is not ``config.token_features``.
        """
        config = self.config
        found = 0 if features is None else features.shape[1]
        if found != config.token_features:
            raise ValueError(
                f"Encoder: the model takes {config.token_features} features per token "
                f"but was given {found}; pass the features of the vocabulary that the "
                "model was trained with, or None if config.token_features is 0."
            )
        if not config.token_features:
            return self.token_embedding
        missing = config.padded_vocab_size - features.shape[0]
        features = jnp.pad(jnp.asarray(features, jnp.float32), ((0, missing), (0, 0)))
        return self.token_embedding + features @ self.feature_kernel

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "B L"],
        positions: Int[Array, "B L"],
        crystal: Int[Array, "B L"],
        *,
        features: Float[Array, "v F"] | None = None,
        deterministic: bool,
        query: Int[Array, "B K"] | None = None,
    ) -> Float[Array, "B K D"]:
        """Return the hidden states of the last layer.

        Args:
            tokens: Token ids.
            positions: Position of each token within its crystal, from 0.
            crystal: 0 on padding, otherwise the crystal's number within its row.
            features: Descriptors of the tokens, see ``token_table``.
            deterministic: True switches dropout off; False needs the ``dropout`` rng
                collection.
            query: Positions to return per row; all if None. The last layer is evaluated
                only there (its keys and values still come from all tokens): the same
                numbers for less work.
        """
        config = self.config
        x = self.token_table(features)[tokens] + self.position_embedding[positions]
        x = self.embedding_norm(x)
        if not deterministic and config.dropout:
            x = drop(x, self.make_rng("dropout"), config.dropout)
        settings = (config, deterministic)
        # Unrolled: a scan over stacked layers writes everything that its backward pass
        # reads into stacked arrays (RESULTS.md), which no fusion can compute again.
        for i in range(config.layers - 1):
            x = Layer(*settings, name=f"layer_{i}")(x, crystal)
        last = Layer(*settings, name=f"layer_{config.layers - 1}")
        return last(x, crystal, query)
