"""The Debye solid: a density of states 9 N nu^2 / nu_D^3 up to k_B theta = h nu_D.

U is Eq. 7 of the paper, C_v Eq. 8, x = theta / T Eq. 9 and theta Eq. 10; S and F are in
Ashcroft and Mermin, Solid State Physics, chapter 23. Energies count from the minimum of
the potential, so that the zero-point energy 9/8 R theta is part of U and F.

Both integrals follow from one function, D_3(x) = 3 / x^3 int_0^x t^3 / (e^t - 1) dt:
U = 9/8 R theta + 3 R T D_3(x) and, by parts, C_v = 12 R D_3(x) - 9 R x / (e^x - 1).
Where x is below ``COLD`` the integrals are Gauss-Legendre sums over Einstein solids of
frequency s nu_D: each term is positive and precise, hence so is the sum. Above, the
integral to infinity is the constant pi^4 / 15 (hence the T^3 law) and the part beyond x
is a short series in exp(-x).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cloud_jax.physics import einstein
from cloud_jax.physics.constants import GAS_CONSTANT
from cloud_jax.physics.corresponding_states import Reduced, properties

ZERO_POINT = 9 / 8  # U / (R theta) at T = 0
COLD = 8.0  # theta / T
# The integrand's nearest singularity, at s = 2 pi i T / theta, then leaves a relative
# error of 2e-13 in the worst of the sums.
NODES = 14
# The first term left out has the factor exp(-5 COLD) = 4e-18.
TERMS = 4

# From the interval -1..1 to 0..1, with the density of states 3 s^2 in the weights.
_FREQUENCIES, _WEIGHTS = np.polynomial.legendre.leggauss(NODES)
_FREQUENCIES = (_FREQUENCIES + 1) / 2
_WEIGHTS = 3 * _FREQUENCIES**2 * _WEIGHTS / 2


def _sum_oscillators(function, x: Array, power: int = 0) -> Array:
    """Return the integral of 3 s^2 s^power function(s x) over s from 0 to 1."""
    axes = (NODES,) + (1,) * x.ndim
    frequencies = jnp.asarray(_FREQUENCIES, x.dtype).reshape(axes)
    weights = jnp.asarray(_WEIGHTS * _FREQUENCIES**power, x.dtype).reshape(axes)
    return jnp.sum(weights * function(frequencies * jnp.minimum(x, COLD)), axis=0)


def _cold_debye(x: Array, y: Array) -> Array:
    """Return D_3 for x > COLD, from 1 / (e^t - 1) = the sum of e^(-n t)."""
    x, y = jnp.maximum(x, COLD), jnp.minimum(y, 1 / COLD)
    q = jnp.exp(-x)
    series = [sum(q**n / n**k for n in range(1, TERMS + 1)) for k in (1, 2, 3, 4)]
    tail = series[0] + y * (3 * series[1] + y * (6 * series[2] + y * 6 * series[3]))
    return math.pi**4 / 5 * y**3 - 3 * tail


def debye_function(x: Float[Array, "..."], y: Float[Array, "..."]) -> Array:
    """Return D_3(x) = 3 / x^3 times the integral of t^3 / (e^t - 1) from 0 to x.

    Args:
        x: theta / T, finite.
        y: T / theta, which is exactly 0 at T = 0, where x is only large.
    """
    warm = _sum_oscillators(einstein.bose, x)
    return jnp.where(x < COLD, warm, _cold_debye(x, y))


def _capacity(x: Array, y: Array) -> Array:
    warm = 3 * _sum_oscillators(einstein.capacity, x)
    cold = 12 * _cold_debye(x, y) - 9 * einstein.bose(x)
    return jnp.where(x < COLD, warm, cold)


def _capacity_slope(x: Array, y: Array) -> Array:
    warm = 3 * _sum_oscillators(einstein.capacity_slope, x)
    bose = einstein.bose(x)
    cold = 9 * bose * (3 + jnp.minimum(x, einstein.FROZEN) + bose)
    return jnp.where(x < COLD, warm, 36 * _cold_debye(x, y) - cold)


def _energy_slope(x: Array, y: Array) -> Array:
    warm = 3 * _sum_oscillators(einstein.energy_slope, x, power=1)
    cold = 9 / 8 - 9 * y * (_cold_debye(x, y) - einstein.bose(x))
    return jnp.where(x < COLD, warm, cold)


internal_energy, heat_capacity, entropy, gibbs_energy, helmholtz = properties(
    Reduced(
        zero_point=ZERO_POINT,
        thermal=lambda x, y: 3 * debye_function(x, y),
        free=lambda x, y: debye_function(x, y) + 3 * einstein.log_term(x),
        capacity=_capacity,
        capacity_slope=_capacity_slope,
        energy_slope=_energy_slope,
    )
)


# Over R; (T / theta)^3 is 200 times smaller and still fits float32.
_FROZEN_CAPACITY = 1e-30
# Newton's steps from a start that is off by 6 % at most; the third leaves rounding.
_STEPS = 3


@jax.custom_jvp
def _inverse_capacity(capacity: Array) -> Array:
    """Return the x = theta / T at which the heat capacity over R is this, in 0..3.

    The steps are of ln x towards the root of ln(3 / C_v - 1), which is nearly straight
    in ln x: C_v is 3 - 3 x^2 / 20 where x is small, 12/5 pi^4 / x^3 where it is large.
    """
    goal = 3 / capacity - 1
    x = jnp.minimum(jnp.sqrt(20 * goal), jnp.cbrt(4 / 5 * math.pi**4 * goal))
    for _ in range(_STEPS):
        at = _capacity(x, 1 / x)
        slope = 3 * _capacity_slope(x, 1 / x) / (at * (3 - at))
        x = x * (goal / (3 / at - 1)) ** (1 / slope)
    return x


@_inverse_capacity.defjvp
def _(primals, tangents):
    x = _inverse_capacity(*primals)
    return x, -x * tangents[0] / _capacity_slope(x, 1 / x)


def debye_temperature(
    heat_capacity: Float[Array, "..."], temperature: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Return the theta [K] of the Debye solid with this heat capacity.

    It is infinite where the heat capacity vanishes, and 0 where it is 3 R within
    rounding, or more.

    Args:
        heat_capacity: C_v [J/(K mol of atoms)].
        temperature: T > 0 [K].
    """
    capacity = heat_capacity / GAS_CONSTANT
    frozen = capacity < _FROZEN_CAPACITY
    full = capacity >= 3 * (1 - 32 * jnp.finfo(capacity.dtype).eps)
    x = _inverse_capacity(jnp.where(frozen | full, 1.0, capacity))
    theta = temperature * jnp.where(full, 0.0, x)
    return jnp.where(frozen, jnp.inf, theta)
