"""Attention within the crystals of packed rows, as one Pallas kernel for Triton.

All scores of some queries of one row and head fit the registers of a GPU's block, so
scores and probabilities never reach memory. Dropout masks are those of
``cloud_jax.models.dropout`` over the array [B, H, L, L], computed anew in the backward
pass, as the scores are.

Shape letters: B rows, L tokens, H heads, D width, d = D / H, Q queries of a block.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.sharding import PartitionSpec
from jaxtyping import Array, Float, Int, UInt32

from cloud_jax.models.device_parts import (
    HEAD_AXIS,
    ROW_AXES,
    ROWS,
    WHOLE,
    is_interpreted,
    mesh_parts,
    on_mesh,
)
from cloud_jax.models.dropout import mix, smallest_kept

MASKED = -1e30  # as in ``bert``: its exp is 0 in float32
SCORES = 4096  # of a block: 32 queries of 128 keys spill no register of an H100
SMALLEST = 16  # side of a tensor core's tile
LARGEST = 256 * 64  # L d: the backward pass holds two such float32 arrays in registers
WARPS = 8

QKV = PartitionSpec(ROW_AXES, None, None, HEAD_AXIS)
MIXED = PartitionSpec(ROW_AXES, None, HEAD_AXIS)


def fits_attention(n_rows: int, length: int, width: int, heads: int) -> bool:
    """Return whether the kernel takes rows of this shape, on this mesh."""
    parts, size = mesh_parts(), width // heads
    powers = all(n >= SMALLEST and n & (n - 1) == 0 for n in (length, size))
    # A block of queries is a side of a tile too.
    small = length * size <= LARGEST and length * SMALLEST <= SCORES
    even = parts and n_rows % parts[0] == 0 and heads % parts[1] == 0
    return bool(powers and small and even)


@partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def packed_attention(
    qkv: Float[Array, "B L 3 D"],
    crystal: Int[Array, "B L"],
    words: UInt32[Array, " 2"],
    heads: int,
    rate: float,
) -> Float[Array, "B L D"]:
    """Return what each token attends to among the tokens of its crystal.

    Args:
        qkv: Queries, keys and values; D holds the heads side by side.
        crystal: Number of each token's crystal; padding is crystal 0.
        words: ``key_words`` of the dropout key; unused if ``rate`` is 0.
        heads: H; ``fits_attention`` of the shape holds.
        rate: Dropout rate of the attention probabilities.
    """
    return _forward(qkv, crystal, words, heads, rate)[0]


def _forward(qkv, crystal, words, heads, rate):
    def local(qkv, crystal, words, row, head):
        mixed = jax.ShapeDtypeStruct((*qkv.shape[:2], qkv.shape[3]), qkv.dtype)
        return _call(
            _forward_kernel, (qkv,), crystal, words, (row, head), mixed, heads, rate
        )

    run = on_mesh(local, in_specs=(QKV, ROWS, WHOLE), out_specs=MIXED)
    return run(qkv, crystal, words), (qkv, crystal, words)


def _backward(heads, rate, residuals, mixed_bar):
    def local(mixed_bar, qkv, crystal, words, row, head):
        return _call(
            _backward_kernel,
            (mixed_bar, qkv),
            crystal,
            words,
            (row, head),
            qkv,
            heads,
            rate,
        )

    specs = (MIXED, QKV, ROWS, WHOLE)
    run = on_mesh(local, in_specs=specs, out_specs=QKV)
    return run(mixed_bar, *residuals), None, None


packed_attention.defvjp(_forward, _backward)


def _call(kernel, arrays, crystal, words, device, out, heads, rate):
    """Run a kernel once per row and head of this device's part.

    Args:
        kernel: Takes references to the blocks of ``arrays``, of a row of ``crystal``,
            to three words and to the block of the result.
        arrays: [B, L, D] or [B, L, 3, D].
        crystal: [B, L].
        words: [2].
        device: Index of the device along rows and along heads.
        out: Shape of the result, as one of ``arrays``.
        heads: On all devices.
        rate: Of dropout.
    """
    n_rows, length = crystal.shape
    local_heads = heads // mesh_parts()[1]
    size = out.shape[-1] // local_heads
    # Index in the array [B, H, L, L] of all devices of this device's first element.
    row, head = (jnp.asarray(index).astype(jnp.uint32) for index in device)
    row, head = row * np.uint32(n_rows), head * np.uint32(local_heads)
    first = (row * np.uint32(heads) + head) * np.uint32(length**2)
    words = jnp.concatenate([words, first[None]])

    def block(array):
        shape = (None, *array.shape[1:-1], size)
        middle = (0,) * (array.ndim - 2)
        return pl.BlockSpec(shape, lambda b, h: (b, *middle, h))

    return pl.pallas_call(
        partial(kernel, heads=heads, rate=rate),
        grid=(n_rows, local_heads),
        in_specs=[
            *(block(array) for array in arrays),
            pl.BlockSpec((None, length), lambda b, h: (b, 0)),
            pl.BlockSpec((3,), lambda b, h: (0,)),
        ],
        out_specs=block(out),
        out_shape=jax.ShapeDtypeStruct(out.shape, out.dtype),
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=1),
        interpret=is_interpreted(),
    )(*arrays, crystal, words)


def _dot(a, b, a_axis: int, b_axis: int):
    """Return the product over one axis of each, summed and given in float32."""
    axes = (((a_axis,), (b_axis,)), ((), ()))
    return jax.lax.dot_general(a, b, axes, preferred_element_type=jnp.float32)


def _weights(qkv_ref, crystal_ref, words_ref, place, start, rate):
    """Return attention of the queries from ``start`` before dropout, and what is kept.

    Args:
        qkv_ref: [L, 3, d].
        crystal_ref: [L].
        words_ref: [3], see ``_call``.
        place: Index of this row and head among those of the device.
        start: First query.
        rate: Of dropout.

    Returns:
        Probabilities [Q, L], float32, and a mask [Q, L], None if ``rate`` is 0.
    """
    length, _, size = qkv_ref.shape
    n_queries = min(length, SCORES // length)
    queries = pl.ds(start, n_queries)
    scores = _dot(qkv_ref[queries, 0, :], qkv_ref[:, 1, :], 1, 1) / size**0.5
    same = crystal_ref[queries][:, None] == crystal_ref[...][None, :]
    scores = jnp.where(same, scores, MASKED)
    scores = jnp.exp(scores - scores.max(axis=1)[:, None])
    weights = scores / scores.sum(axis=1)[:, None]
    if not rate:
        return weights, None
    shape = (n_queries, length)
    query = start + jax.lax.broadcasted_iota(jnp.int32, shape, 0)
    key = jax.lax.broadcasted_iota(jnp.int32, shape, 1)
    # int32 wraps where uint32 does; the bits are the same.
    index = ((place * length + query) * length + key).astype(jnp.uint32)
    word = mix(index + words_ref[2], words_ref[0], words_ref[1])
    return weights, word >= smallest_kept(rate)


def _over_queries(length: int, body, carry):
    """Run ``body`` on each block of queries."""
    n_queries = min(length, SCORES // length)
    if n_queries == length:
        return body(0, carry)
    return jax.lax.fori_loop(
        0, length // n_queries, lambda i, carry: body(i * n_queries, carry), carry
    )


def _forward_kernel(qkv_ref, crystal_ref, words_ref, mixed_ref, *, heads, rate):
    place = pl.program_id(0) * heads + pl.program_id(1)

    def body(start, carry):
        weights, kept = _weights(qkv_ref, crystal_ref, words_ref, place, start, rate)
        if rate:
            weights = jnp.where(kept, weights / (1.0 - rate), 0.0)
        value = qkv_ref[:, 2, :]
        mixed = _dot(weights.astype(value.dtype), value, 1, 0)
        mixed_ref[pl.ds(start, len(mixed)), :] = mixed.astype(mixed_ref.dtype)
        return carry

    _over_queries(len(mixed_ref), body, 0)


def _backward_kernel(
    mixed_bar_ref, qkv_ref, crystal_ref, words_ref, out_ref, *, heads, rate
):
    length, _, size = qkv_ref.shape
    place = pl.program_id(0) * heads + pl.program_id(1)

    def body(start, carry):
        key_bar, value_bar = carry
        weights, kept = _weights(qkv_ref, crystal_ref, words_ref, place, start, rate)
        queries = pl.ds(start, len(weights))
        mixed_bar = mixed_bar_ref[queries, :]
        weights_bar = _dot(mixed_bar, qkv_ref[:, 2, :], 1, 1)
        dropped = weights
        if rate:
            dropped = jnp.where(kept, weights / (1.0 - rate), 0.0)
            weights_bar = jnp.where(kept, weights_bar / (1.0 - rate), 0.0)
        value_bar += _dot(dropped.astype(mixed_bar.dtype), mixed_bar, 0, 0)
        mean = (weights * weights_bar).sum(axis=1)[:, None]
        scores_bar = weights * (weights_bar - mean) / size**0.5
        scores_bar = scores_bar.astype(mixed_bar.dtype)
        key_bar += _dot(scores_bar, qkv_ref[queries, 0, :], 0, 0)
        query_bar = _dot(scores_bar, qkv_ref[:, 1, :], 1, 0)
        out_ref[queries, 0, :] = query_bar.astype(out_ref.dtype)
        return key_bar, value_bar

    zero = jnp.zeros((length, size), jnp.float32)
    key_bar, value_bar = _over_queries(length, body, (zero, zero))
    out_ref[:, 1, :] = key_bar.astype(out_ref.dtype)
    out_ref[:, 2, :] = value_bar.astype(out_ref.dtype)
