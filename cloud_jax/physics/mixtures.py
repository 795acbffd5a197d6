"""Laws of solids whose modes are shared among Debye and Einstein solids."""

from collections.abc import Callable, Iterable
from types import ModuleType

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from cloud_jax.physics import debye, einstein
from cloud_jax.physics.constants import GAS_CONSTANT
from cloud_jax.physics.law import Law, Variable

# (share of the modes, ``debye`` or ``einstein``, theta [K])
Part = tuple[ArrayLike, ModuleType, ArrayLike]


def mixture(
    name: str,
    variables: tuple[Variable, ...],
    parts: Callable[[dict[str, Array]], Iterable[Part]],
) -> Law:
    """Return the law of a solid whose modes are shared among Debye and Einstein solids.

    Args:
        name: of the law.
        variables: of the law.
        parts: the parts of the solid, of the variables; the shares add up to 1.
    """

    def of_each_solid(values: dict[str, Array]) -> Iterable[tuple]:
        """Yield a solid, and shares and thetas of its parts on a last axis.

        One function of an array compiles much faster than one per part.
        """
        for solid in (debye, einstein):
            chosen = [(share, theta) for share, s, theta in parts(values) if s is solid]
            if chosen:
                yield solid, *(_stack(numbers) for numbers in zip(*chosen, strict=True))

    def free_energy(values: dict[str, Array], temperature: Array) -> Array:
        return sum(
            (shares * solid.gibbs_energy(thetas, temperature[..., None])).sum(axis=-1)
            for solid, shares, thetas in of_each_solid(values)
        )

    def zero_point_energy(values: dict[str, Array]) -> Array:
        return GAS_CONSTANT * sum(
            solid.ZERO_POINT * (shares * thetas).sum(axis=-1)
            for solid, shares, thetas in of_each_solid(values)
        )

    return Law(name, variables, free_energy, zero_point_energy)


def _stack(numbers: Iterable[ArrayLike]) -> Array:
    """Return numbers on a last axis, broadcast against each other."""
    return jnp.stack(jnp.broadcast_arrays(*numbers), axis=-1)


def _kelvin(name: str, typical: float) -> Variable:
    return Variable(name, "K", "positive", typical)


def _magnitude(name: str, typical: float) -> Variable:
    return Variable(name, "K", "magnitude", typical)


def _fraction(name: str, typical: float) -> Variable:
    return Variable(name, "1", "fraction", typical)


def _debye_einstein(values: dict[str, Array]) -> Iterable[Part]:
    share = values["debye_fraction"]
    yield share, debye, values["theta_debye"]
    yield 1 - share, einstein, values["theta_einstein"]


def _two_debye(values: dict[str, Array]) -> Iterable[Part]:
    share = values["low_fraction"]
    yield share, debye, values["theta_low"]
    yield 1 - share, debye, values["theta_high"]


def _debye_two_einstein(values: dict[str, Array]) -> Iterable[Part]:
    acoustic, low = values["debye_fraction"], values["low_fraction"]
    yield acoustic, debye, values["theta_debye"]
    yield (1 - acoustic) * low, einstein, values["theta_low"]
    yield (1 - acoustic) * (1 - low), einstein, values["theta_high"]


_LEVELS = 8  # of the law "density"


def _density(values: dict[str, Array]) -> Iterable[Part]:
    """Yield a density of states on equal intervals of frequency, the lowest Debye-like.

    The others are levels in the middle of their intervals. Each fraction is of the
    modes that lower intervals leave, so that all shares are positive and add up to 1.
    """
    width, left = values["theta_max"] / _LEVELS, 1.0
    for number in range(1, _LEVELS):
        fraction = values[f"fraction_{number}"]
        if number == 1:
            yield fraction, debye, width
        else:
            yield left * fraction, einstein, (number - 0.5) * width
        left = left * (1 - fraction)
    yield left, einstein, (_LEVELS - 0.5) * width


LAWS = {
    law.name: law
    for law in (
        mixture(
            "debye",
            (_kelvin("theta", 450.0),),
            lambda values: [(1.0, debye, values["theta"])],
        ),
        mixture(
            "einstein",
            (_kelvin("theta", 350.0),),
            lambda values: [(1.0, einstein, values["theta"])],
        ),
        mixture(
            "debye_einstein",
            (
                _kelvin("theta_debye", 350.0),
                _kelvin("theta_einstein", 420.0),
                _fraction("debye_fraction", 0.5),
            ),
            _debye_einstein,
        ),
        mixture(
            "two_debye",
            (
                _magnitude("theta_low", 300.0),
                _magnitude("theta_high", 570.0),
                _fraction("low_fraction", 0.5),
            ),
            _two_debye,
        ),
        mixture(
            "debye_two_einstein",
            (
                _magnitude("theta_debye", 250.0),
                _magnitude("theta_low", 300.0),
                _magnitude("theta_high", 527.0),
                _fraction("debye_fraction", 0.4),
                _fraction("low_fraction", 0.5),
            ),
            _debye_two_einstein,
        ),
        mixture(
            "density",
            (
                _magnitude("theta_max", 585.0),
                _fraction("fraction_1", 0.06),
                # All other shares are equal.
                *(
                    _fraction(f"fraction_{number}", 1 / (_LEVELS + 1 - number))
                    for number in range(2, _LEVELS)
                ),
            ),
            _density,
        ),
    )
}
