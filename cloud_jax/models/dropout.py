"""Dropout from a counter hash: cheap, and the same on every mesh."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, UInt32


def key_words(key: Key[Array, ""] | None) -> UInt32[Array, " 2"]:
    """Return the two words of a key that enter a mask; zeros without a key."""
    if key is None:
        return jnp.zeros(2, jnp.uint32)
    return jax.random.bits(key, (2,), jnp.uint32)


def mix(
    index: UInt32[Array, "..."], first: UInt32[Array, ""], second: UInt32[Array, ""]
) -> UInt32[Array, "..."]:
    """Return a well-mixed word per index, a function of it and the key's two words.

    This is the "lowbias32" integer hash (Wellons, https://github.com/skeeto/hash-prospector),
    with the words of the key entering before and between its rounds. Its constants are
    NumPy scalars, which a Pallas kernel may hold.
    """
    word = index * np.uint32(0x9E3779B9) + first
    word = (word ^ (word >> np.uint32(16))) * np.uint32(0x21F0AAAD) + second
    word = (word ^ (word >> np.uint32(15))) * np.uint32(0xD35A2D97)
    return word ^ (word >> np.uint32(15))


def smallest_kept(rate: float) -> np.uint32:
    """Return the smallest word of ``mix`` that keeps its element at a dropout rate."""
    return np.uint32(round(rate * 2**32))


def random_words(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "..."]:
    """Return well-mixed 32-bit words, each a function of (key, its index) alone.

    Threefry, jax's default generator, spends about ten times the arithmetic on a
    strength that a dropout mask does not need; on a CPU it takes longer than the layer.
    ``mix`` of the element's index is elementwise in an iota: it fuses with its consumer
    and is the same however the array is sharded.

    Args:
        key: A scalar random key.
        shape: Shape of the result; fewer than 2**32 elements.
    """
    first, second = key_words(key)
    index = jnp.zeros(shape, jnp.uint32)
    stride = 1
    for axis in reversed(range(len(shape))):
        index += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(stride)
        stride *= shape[axis]
    return mix(index, first, second)


def keep_mask(
    key: Key[Array, ""], rate: float, shape: tuple[int, ...]
) -> Bool[Array, "..."]:
    """Return a mask that is False with probability ``rate``."""
    return random_words(key, shape) >= smallest_kept(rate)


def drop(
    x: Float[Array, "..."], key: Key[Array, ""] | None, rate: float
) -> Float[Array, "..."]:
    """Return ``x``, each element 0 with probability ``rate``, the others rescaled.

    Without a key it is ``x`` itself.
    """
    if key is None:
        return x
    return jnp.where(keep_mask(key, rate, x.shape), x / (1.0 - rate), 0.0)
