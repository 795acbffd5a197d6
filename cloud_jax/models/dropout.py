"""Dropout from a counter hash: cheap, and the same on every mesh."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, UInt32


def random_words(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Return well-mixed 32-bit words, each a function of (key, its index) alone.

    Threefry, jax's default generator, spends about ten times the arithmetic on a
    strength that a dropout mask does not need; on a CPU it takes longer than the layer.
    This is the "lowbias32" integer hash (Wellons, https://github.com/skeeto/hash-prospector)
    of the element's index, with the key's two words entering before and between its
    rounds. It is elementwise in an iota: it fuses with its consumer and is the same
    however the array is sharded.

    Args:
        key: A scalar random key.
        shape: Shape of the result; fewer than 2**32 elements.
    """
    first, second = jax.random.bits(key, (2,), jnp.uint32)
    index = jnp.zeros(shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(len(shape))):
        index += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride)
        stride *= shape[axis]
    word = index * jnp.uint32(0x9E3779B9) + first
    word = (word ^ (word >> 16)) * jnp.uint32(0x21F0AAAD) + second
    word = (word ^ (word >> 15)) * jnp.uint32(0xD35A2D97)
    return word ^ (word >> 15)


def keep_mask(
    key: Key[Array, ""], rate: float, shape: tuple[int, ...]
) -> Bool[Array, "..."]:
    """Return a mask that is False with probability ``rate``."""
    return random_words(key, shape) >= jnp.uint32(round(rate * 2**32))


def drop(
    x: Float[Array, "..."], key: Key[Array, ""], rate: float
) -> Float[Array, "..."]:
    """Return ``x``, each element 0 with probability ``rate``, the others rescaled."""
    return jnp.where(keep_mask(key, rate, x.shape), x / (1.0 - rate), 0.0)
