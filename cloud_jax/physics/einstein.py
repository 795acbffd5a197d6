"""The Einstein solid: 3 N oscillators of one frequency, k_B theta = h nu.

Source: Ashcroft and Mermin, Solid State Physics, chapter 23. Energies count from the
minimum of the potential, so that the zero-point energy 3/2 R theta is part of U and F.

In every function x = theta / T. A quantity that falls like exp(-x) has the relative
error of x (6e-8 in float32) times x, however it is computed.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from cloud_jax.physics.corresponding_states import Reduced, properties

ZERO_POINT = 1.5  # U / (R theta) at T = 0
# exp(-x) is 0 from here on, also in float64, and x^2 still fits float32.
FROZEN = 1e3


def log_term(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return -ln(1 - exp(-x)), an oscillator's -(F - U(0)) over k_B T.

    Each of the two forms is accurate on its side of x = ln 2. Both are evaluated, so
    their arguments are clipped: a NaN in the branch not taken would spoil gradients.
    """
    small = jnp.minimum(x, 0.7)
    large = jnp.maximum(x, 0.7)
    return jnp.where(
        x < 0.7, -jnp.log(-jnp.expm1(-small)), -jnp.log1p(-jnp.exp(-large))
    )


def bose(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return x / (exp(x) - 1), an oscillator's thermal energy over k_B T."""
    x = jnp.minimum(x, FROZEN)
    return x * jnp.exp(-x) / -jnp.expm1(-x)


def capacity(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return x^2 e^x / (e^x - 1)^2, an oscillator's heat capacity over k_B."""
    x = jnp.minimum(x, FROZEN)
    return (x / jnp.expm1(-x)) ** 2 * jnp.exp(-x)


def _fraction(half: Array) -> Array:
    """Return h^2 / (h coth h - 1) = 3 + h^2 / (5 + h^2 / (7 + ...)), for h <= 1.

    Lambert's continued fraction: all terms are positive, so nothing cancels.
    """
    square = jnp.minimum(half, 1.0) ** 2
    fraction = 15.0
    for odd in (13.0, 11.0, 9.0, 7.0, 5.0, 3.0):
        fraction = odd + square / fraction
    return fraction


def excess(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return x/2 coth(x/2) - 1, an oscillator's total energy over k_B T, less 1."""
    half = jnp.minimum(x, 2.0) / 2
    large = jnp.clip(x, 2.0, FROZEN)
    return jnp.where(x < 2.0, half**2 / _fraction(half), (large / 2 - 1) + bose(large))


def capacity_slope(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return -x times the derivative of ``capacity``, which is T dC/dT over k_B."""
    return 2 * capacity(x) * excess(x)


def energy_slope(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return an oscillator's dU/dtheta over k_B: x / 6 where hot, 1/2 where cold."""
    half = jnp.minimum(x, 2.0) / 2
    fraction = _fraction(half)
    small = half / 2 * (1 - (1 + half**2 / fraction) / fraction)
    large = jnp.maximum(x, 2.0)
    return jnp.where(x < 2.0, small, 0.5 + (bose(large) - capacity(large)) / large)


internal_energy, heat_capacity, entropy, gibbs_energy, helmholtz = properties(
    Reduced(
        zero_point=ZERO_POINT,
        thermal=lambda x, y: 3 * bose(x),
        free=lambda x, y: 3 * log_term(x),
        capacity=lambda x, y: 3 * capacity(x),
        capacity_slope=lambda x, y: 3 * capacity_slope(x),
        energy_slope=lambda x, y: 3 * energy_slope(x),
    )
)
