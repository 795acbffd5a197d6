"""Corruption of packed rows for masked-language modelling, on the device.

Shapes: B rows, L tokens, K slots for masked tokens per row.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from cloud_jax.scope.vocabulary import Vocabulary

SEGMENTS = ("symmetry", "wyckoff", "composition")
N_SPECIAL = len(Vocabulary.special_ids)


class Masked(NamedTuple):
    """Corrupted rows, and what is to be predicted of them.

    Attributes:
        tokens: corrupted input ids [B, L].
        query: positions to predict [B, K]; valid indices also in spare slots.
        labels: true ids at `query` [B, K].
        weight: 1.0 in a slot in use, 0.0 in a spare one [B, K].
        segment: index into `SEGMENTS` of each slot [B, K].
    """

    tokens: Int[Array, "B L"]
    query: Int[Array, "B K"]
    labels: Int[Array, "B K"]
    weight: Float[Array, "B K"]
    segment: Int[Array, "B K"]


def segments(
    tokens: Int[Array, "B L"], positions: Int[Array, "B L"]
) -> Int[Array, "B L"]:
    """Return the number of `|` before each token inside its own crystal, at most 2."""
    # Counted along the row, less what the row had counted where the crystal began.
    bar = (tokens == Vocabulary.bar_id).astype(jnp.int32)
    before = jnp.cumsum(bar, axis=1) - bar
    start = jnp.maximum(jnp.arange(tokens.shape[1]) - positions, 0)
    inside = before - jnp.take_along_axis(before, start, axis=1)
    return jnp.clip(inside, 0, len(SEGMENTS) - 1)


def mask_tokens(
    key: PRNGKeyArray,
    tokens: Int[Array, "B L"],
    positions: Int[Array, "B L"],
    *,
    n_tokens: int,
    fraction: float = 0.15,
) -> Masked:
    """Select `fraction` of each row's tokens; mask 80 %, replace 10 %, keep 10 %.

    The number selected in a row is `fraction` of its maskable tokens, rounded up or
    down at random so that the mean is exact. Special tokens are neither selected nor
    drawn as replacements. The draw depends on `key` and on the global shape alone, so
    that it is the same on every mesh.

    Args:
        key: one key for the whole global batch.
        tokens: ids of packed rows, 0 on padding.
        positions: position of each token inside its crystal.
        n_tokens: size of the true vocabulary, without padding rows.
        fraction: share of the maskable tokens to select.
    """
    n_rows, length = tokens.shape
    n_slots = math.ceil(fraction * length)
    # One draw for all purposes: it is the most expensive part, to compile and to run.
    chance = jax.random.uniform(key, (n_rows, length + 2 * n_slots + 1))
    order, kind, draw, remainder = jnp.split(
        chance, (length, length + n_slots, length + 2 * n_slots), axis=1
    )

    maskable = tokens >= N_SPECIAL
    wanted = fraction * maskable.sum(axis=1, keepdims=True) + remainder
    # The maskable tokens with the highest numbers are a uniform choice without
    # repetition, of a shape that does not depend on the data.
    _, query = jax.lax.top_k(jnp.where(maskable, order, -1.0), n_slots)
    used = jnp.arange(n_slots) < jnp.floor(wanted)

    labels = jnp.take_along_axis(tokens, query, axis=1)
    drawn = N_SPECIAL + jnp.floor(draw * (n_tokens - N_SPECIAL)).astype(jnp.int32)
    shown = jnp.where(kind < 0.8, Vocabulary.mask_id, labels)
    shown = jnp.where(kind >= 0.9, drawn, shown)
    shown = jnp.where(used, shown, labels)
    # vmap makes the rows a batch dimension of the scatter, so that rows sharded over
    # devices stay where they are.
    corrupted = jax.vmap(lambda row, at, value: row.at[at].set(value))(
        tokens, query, shown
    )
    segment = jnp.take_along_axis(segments(tokens, positions), query, axis=1)
    return Masked(corrupted, query, labels, used.astype(jnp.float32), segment)
