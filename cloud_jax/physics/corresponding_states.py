"""Solids with one characteristic temperature: F / (R T) depends on theta / T alone.

Six dimensionless functions of x = theta / T define a law of this kind. The properties
follow from them, each with its first derivatives written out instead of left to
autodiff, so that they keep their digits where terms cancel (theta << T) and vanish at
T = 0 without 0 / 0. The free energy G is F - F(0), the energy H is U - U(0); neither
loses its digits to the zero-point energy F(0) = U(0), which is much larger where it is
cold. With U_theta = dU/dtheta and C_v,T = dC_v/dT:

    dG = -S dT + H / theta dtheta       dS = C_v (dT / T - dtheta / theta)
    dU = C_v dT + U_theta dtheta        dC_v = T C_v,T (dT / T - dtheta / theta)
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from cloud_jax.physics.constants import GAS_CONSTANT

# theta / T is kept between this and its inverse, so that squares of either stay in the
# range of float32. Beyond, the logarithm in F and the slope of F stay constant.
LARGEST = 1e16
# Derivatives ignore a theta or T [K] below this; above, 1 / T^2 fits float32.
COLDEST = 1e-18

Property = Callable[..., Float[Array, "..."]]


class Reduced(NamedTuple):
    """A law per atom, as functions of x = theta / T and y = T / theta.

    Both ratios are arguments because either alone overflows at one end of the range.

    Attributes:
        zero_point: U / (R theta) at T = 0.
        thermal: (U - U(0)) / (R T).
        free: -(F - U(0)) / (R T).
        capacity: C_v / R.
        capacity_slope: (T / R) dC_v/dT.
        energy_slope: (dU/dtheta) / R at constant T.
    """

    zero_point: float
    thermal: Callable
    free: Callable
    capacity: Callable
    capacity_slope: Callable
    energy_slope: Callable


class Properties(NamedTuple):
    """Functions of (theta [K], temperature [K], n_atoms), in the units of ``laws``."""

    internal_energy: Property
    heat_capacity: Property
    entropy: Property
    gibbs_energy: Property
    helmholtz: Property


@jax.custom_jvp
def _divide(a: Array, b: Array) -> Array:
    return a / b


@_divide.defjvp
def _(primals, tangents):
    # Not da / b - a db / b^2, whose square leaves float32 long before the ratio does.
    ratio = _divide(*primals)
    return ratio, _divide(tangents[0] - ratio * tangents[1], primals[1])


def _ratios(theta: Array, temperature: Array) -> tuple[Array, Array]:
    """Return theta / T and T / theta, both finite, the first above 0."""
    warm = temperature > theta / LARGEST
    x = jnp.where(warm, _divide(theta, jnp.where(warm, temperature, 1.0)), LARGEST)
    stiff = theta > temperature / LARGEST
    y = jnp.where(stiff, _divide(temperature, jnp.where(stiff, theta, 1.0)), LARGEST)
    return jnp.maximum(x, 1.0 / LARGEST), y


def _relative(change: Array, value: Array) -> Array:
    """Return change / value, and 0 where value is (nearly) 0."""
    return _divide(change, jnp.where(value > COLDEST, value, jnp.inf))


def properties(reduced: Reduced) -> Properties:
    """Return the properties of a law, with their derivatives."""

    def times_r(function: Callable) -> Callable:
        return lambda theta, t: GAS_CONSTANT * function(theta, t, *_ratios(theta, t))

    @jax.custom_jvp
    @times_r
    def internal_energy(theta, t, x, y):
        return reduced.zero_point * theta + t * reduced.thermal(x, y)

    @jax.custom_jvp
    @times_r
    def heat_capacity(theta, t, x, y):
        return reduced.capacity(x, y)

    @jax.custom_jvp
    @times_r
    def entropy(theta, t, x, y):
        return reduced.thermal(x, y) + reduced.free(x, y)

    @jax.custom_jvp
    @times_r
    def gibbs_energy(theta, t, x, y):
        return -t * reduced.free(x, y)

    @jax.custom_jvp
    @times_r
    def enthalpy_over_theta(theta, t, x, y):
        return y * reduced.thermal(x, y)

    def helmholtz(theta, t):
        return GAS_CONSTANT * reduced.zero_point * theta + gibbs_energy(theta, t)

    energy_slope = times_r(lambda theta, t, x, y: reduced.energy_slope(x, y))
    capacity_slope = times_r(lambda theta, t, x, y: reduced.capacity_slope(x, y))

    def warming(primals, tangents):
        """Return the change of ln(T / theta)."""
        (theta, t), (d_theta, d_t) = primals, tangents
        return _relative(d_t, t) - _relative(d_theta, theta)

    @internal_energy.defjvp
    def _(primals, tangents):
        d_theta, d_t = tangents
        slope = energy_slope(*primals) * d_theta + heat_capacity(*primals) * d_t
        return internal_energy(*primals), slope

    @heat_capacity.defjvp
    def _(primals, tangents):
        slope = capacity_slope(*primals) * warming(primals, tangents)
        return heat_capacity(*primals), slope

    @entropy.defjvp
    def _(primals, tangents):
        slope = heat_capacity(*primals) * warming(primals, tangents)
        return entropy(*primals), slope

    @gibbs_energy.defjvp
    def _(primals, tangents):
        d_theta, d_t = tangents
        slope = enthalpy_over_theta(*primals) * d_theta - entropy(*primals) * d_t
        return gibbs_energy(*primals), slope

    @enthalpy_over_theta.defjvp
    def _(primals, tangents):
        slope = _ratios(*primals)[1] * heat_capacity(*primals)
        return enthalpy_over_theta(*primals), slope * warming(primals, tangents)

    functions = internal_energy, heat_capacity, entropy, gibbs_energy, helmholtz
    return Properties(*map(_public, functions))


def _public(per_atom: Callable) -> Property:
    """Return a property that broadcasts, is at least float32 and scales by n_atoms."""

    @jax.jit
    def of(
        theta: Float[ArrayLike, "..."],
        temperature: Float[ArrayLike, "..."],
        n_atoms: Float[ArrayLike, "..."] = 1.0,
    ) -> Float[Array, "..."]:
        dtype = jnp.promote_types(jnp.result_type(theta, temperature, 1.0), "float32")
        arrays = jnp.broadcast_arrays(theta, temperature)
        return per_atom(*(a.astype(dtype) for a in arrays)) * n_atoms

    return of
