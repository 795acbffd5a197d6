"""LayerNorm of residual plus dropped-out update, as one Pallas kernel for Triton.

XLA computes it in several passes over memory, since the statistics of a position must
be known before it can be normalised. Here a position stays in registers: forward reads
both arrays and writes one, backward reads three and writes two. The backward pass
computes the sum anew, and the dropout mask, which is that of
``cloud_jax.models.dropout`` over the array [B, K, D].

Shape letters: B rows, K positions of a row, D width, N = B K, G kernel instances.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float, UInt32

from cloud_jax.models.device_parts import (
    ROWS,
    WHOLE,
    is_interpreted,
    mesh_parts,
    on_mesh,
)
from cloud_jax.models.dropout import mix, smallest_kept

GROUP = 4  # positions at a time: 3,072 numbers of bert12 are 24 registers a thread
LONGEST = 64  # positions of an instance, so that sums over positions are few
PIECES = 4  # at most: D is cut into powers of two, which Triton's arrays must be
SMALLEST = 16  # of a piece
WARPS = 4


def fits_norm(n_rows: int, length: int, width: int) -> bool:
    """Return whether the kernel takes arrays of this shape, on this mesh."""
    parts = mesh_parts()
    if not parts or n_rows % parts[0]:
        return False
    piece = width & -width
    positions = n_rows // parts[0] * length
    return positions % GROUP == 0 and piece >= SMALLEST and width <= PIECES * piece


@partial(jax.custom_vjp, nondiff_argnums=(5, 6))
def add_norm(
    x: Float[Array, "B K D"],
    y: Float[Array, "B K D"],
    scale: Float[Array, " D"],
    bias: Float[Array, " D"],
    words: UInt32[Array, " 2"],
    rate: float,
    epsilon: float,
) -> Float[Array, "B K D"]:
    """Return ``LayerNorm(x + dropout(y))``, computed in float32, in the type of ``x``.

    Args:
        x: The residual.
        y: What a sublayer adds; ``fits_norm`` of the shape holds.
        scale: Of LayerNorm.
        bias: Of LayerNorm.
        words: ``key_words`` of the dropout key; unused if ``rate`` is 0.
        rate: Dropout rate of ``y``.
        epsilon: Added to the variance.
    """
    return _forward(x, y, scale, bias, words, rate, epsilon)[0]


def _forward(x, y, scale, bias, words, rate, epsilon):
    def local(x, y, scale, bias, words, row, _):
        kernel = partial(_forward_kernel, rate=rate, epsilon=epsilon)
        return _call(kernel, (x, y), (scale, bias), words, row, n_out=1)[0]

    specs = (ROWS, ROWS, WHOLE, WHOLE, WHOLE)
    run = on_mesh(local, in_specs=specs, out_specs=ROWS)
    return run(x, y, scale, bias, words), (x, y, scale, words)


def _backward(rate, epsilon, residuals, out_bar):
    def local(out_bar, x, y, scale, words, row, _):
        kernel = partial(_backward_kernel, rate=rate, epsilon=epsilon)
        return _call(kernel, (x, y, out_bar), (scale,), words, row, n_out=2, n_sums=2)

    specs = (ROWS, ROWS, ROWS, WHOLE, WHOLE)
    run = on_mesh(local, in_specs=specs, out_specs=(ROWS,) * 4)
    x_bar, y_bar, scale_bar, bias_bar = run(out_bar, *residuals)
    return x_bar, y_bar, scale_bar.sum(0), bias_bar.sum(0), None


add_norm.defvjp(_forward, _backward)


def _call(kernel, arrays, vectors, words, row, *, n_out, n_sums=0):
    """Run a kernel over the positions of this device's part.

    Args:
        kernel: Takes references to blocks of ``arrays`` [positions, D], to ``vectors``
            [D], to three words, and to the blocks of the results.
        arrays: [B, K, D].
        vectors: [D].
        words: [2].
        row: Index of the device along rows.
        n_out: Number of results like the first arrays.
        n_sums: Number of results [G, D] in float32, one position per instance.
    """
    shape, width = arrays[0].shape, arrays[0].shape[-1]
    n = shape[0] * shape[1]
    positions = min(n & -n, LONGEST)
    # Index in the array [B, K, D] of all devices of this device's first element.
    first = jnp.asarray(row).astype(jnp.uint32) * np.uint32(n * width % 2**32)
    words = jnp.concatenate([words, first[None]])

    block = pl.BlockSpec((positions, width), lambda i: (i, 0))
    one = pl.BlockSpec((None, width), lambda i: (i, 0))
    results = pl.pallas_call(
        kernel,
        grid=(n // positions,),
        in_specs=[
            *(block for _ in arrays),
            *(pl.BlockSpec((width,), lambda i: (0,)) for _ in vectors),
            pl.BlockSpec((3,), lambda i: (0,)),
        ],
        out_specs=[block] * n_out + [one] * n_sums,
        out_shape=[
            *(jax.ShapeDtypeStruct((n, width), x.dtype) for x in arrays[:n_out]),
            *[jax.ShapeDtypeStruct((n // positions, width), jnp.float32)] * n_sums,
        ],
        compiler_params=triton.CompilerParams(num_warps=WARPS, num_stages=1),
        interpret=is_interpreted(),
    )(*(x.reshape(n, width) for x in arrays), *vectors, words)
    return (*(x.reshape(shape) for x in results[:n_out]), *results[n_out:])


def _pieces(width: int) -> list[tuple[int, int]]:
    """Return start and size of each piece of a position."""
    size = width & -width
    return [(start, size) for start in range(0, width, size)]


def _mean(pieces, width):
    return sum(piece.sum(axis=1) for piece in pieces)[:, None] / width


def _standardise(x_ref, y_ref, words_ref, first, start, rate, epsilon):
    """Return the standardised sum of some positions, and what the backward pass needs.

    Args:
        x_ref: [positions, D].
        y_ref: Likewise.
        words_ref: [3], see ``_call``.
        first: Index of the block's first position among those of the device.
        start: First of the ``GROUP`` positions.
        rate: Of dropout.
        epsilon: Added to the variance.

    Returns:
        Standardised pieces [GROUP, d], masks of what dropout kept (none if ``rate`` is
        0), and the inverse deviation [GROUP, 1].
    """
    width, rows = x_ref.shape[1], pl.ds(start, GROUP)
    sums, kept = [], []
    for column, size in _pieces(width):
        piece = pl.ds(column, size)
        added = y_ref[rows, piece].astype(jnp.float32)
        if rate:
            place = first + start + jax.lax.broadcasted_iota(jnp.int32, added.shape, 0)
            place = place * width + column
            place += jax.lax.broadcasted_iota(jnp.int32, added.shape, 1)
            # int32 wraps where uint32 does; the bits are the same.
            place = place.astype(jnp.uint32) + words_ref[2]
            word = mix(place, words_ref[0], words_ref[1])
            kept.append(word >= smallest_kept(rate))
            added = jnp.where(kept[-1], added / (1.0 - rate), 0.0)
        sums.append(x_ref[rows, piece].astype(jnp.float32) + added)
    mean = _mean(sums, width)
    centred = [piece - mean for piece in sums]
    # In registers the second pass over the numbers is free, and exact.
    variance = _mean([piece * piece for piece in centred], width)
    factor = jax.lax.rsqrt(variance + epsilon)
    return [piece * factor for piece in centred], kept, factor


def _over_groups(positions: int, body, carry):
    """Run ``body`` on the start of each group of positions."""
    return jax.lax.fori_loop(
        0, positions // GROUP, lambda i, carry: body(i * GROUP, carry), carry
    )


def _forward_kernel(
    x_ref, y_ref, scale_ref, bias_ref, words_ref, out_ref, *, rate, epsilon
):
    positions, width = x_ref.shape
    first = pl.program_id(0) * positions

    def body(start, carry):
        standard, _, _ = _standardise(
            x_ref, y_ref, words_ref, first, start, rate, epsilon
        )
        for (column, size), z in zip(_pieces(width), standard, strict=True):
            piece = pl.ds(column, size)
            out = z * scale_ref[piece][None, :] + bias_ref[piece][None, :]
            out_ref[pl.ds(start, GROUP), piece] = out.astype(out_ref.dtype)
        return carry

    _over_groups(positions, body, 0)


def _backward_kernel(
    x_ref,
    y_ref,
    out_bar_ref,
    scale_ref,
    words_ref,
    x_bar_ref,
    y_bar_ref,
    scale_bar_ref,
    bias_bar_ref,
    *,
    rate,
    epsilon,
):
    positions, width = x_ref.shape
    first = pl.program_id(0) * positions
    pieces = [pl.ds(column, size) for column, size in _pieces(width)]

    def body(start, sums):
        standard, kept, factor = _standardise(
            x_ref, y_ref, words_ref, first, start, rate, epsilon
        )
        rows = pl.ds(start, GROUP)
        out_bar = [out_bar_ref[rows, piece].astype(jnp.float32) for piece in pieces]
        sums = [
            (scale_bar + bar * z, bias_bar + bar)
            for (scale_bar, bias_bar), bar, z in zip(
                sums, out_bar, standard, strict=True
            )
        ]
        z_bar = [
            bar * scale_ref[piece][None, :]
            for bar, piece in zip(out_bar, pieces, strict=True)
        ]
        mean = _mean(z_bar, width)
        slope = _mean([a * b for a, b in zip(z_bar, standard, strict=True)], width)
        for i, piece in enumerate(pieces):
            x_bar = factor * (z_bar[i] - mean - standard[i] * slope)
            x_bar_ref[rows, piece] = x_bar.astype(x_bar_ref.dtype)
            y_bar = jnp.where(kept[i], x_bar / (1.0 - rate), 0.0) if rate else x_bar
            y_bar_ref[rows, piece] = y_bar.astype(y_bar_ref.dtype)
        return sums

    zero = jnp.zeros((GROUP, width & -width), jnp.float32)
    sums = _over_groups(positions, body, [(zero, zero) for _ in pieces])
    for (scale_bar, bias_bar), piece in zip(sums, pieces, strict=True):
        scale_bar_ref[piece] = scale_bar.sum(axis=0)
        bias_bar_ref[piece] = bias_bar.sum(axis=0)
