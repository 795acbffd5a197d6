"""Physical laws between a network's outputs and a measured property.

A law is a list of variables, which a head predicts, and two functions of them: the
zero-point energy F(0), and the free energy G = F - F(0), F being the Helmholtz energy.
Every other property follows by differentiation at constant volume and zero pressure:
S = -dG/dT, H = G + T S, C_v = T dS/dT = dH/dT. Here H and G count from absolute zero,
U and F from the minimum of the potential. The law "debye" is that of the paper's
CLOUD-DEBYE (Eqs. 7 to 10), with the Debye temperature as its only variable.
"""

import importlib
import math
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from cloud_jax.physics import debye, einstein
from cloud_jax.physics.constants import GAS_CONSTANT

# Per mol of atoms, except for the Debye temperature.
UNITS = {
    "heat_capacity": "J/(mol K)",
    "entropy": "J/(mol K)",
    "enthalpy": "J/mol",
    "gibbs_energy": "J/mol",
    "internal_energy": "J/mol",
    "helmholtz": "J/mol",
    "debye_temperature": "K",
    "zero_point_energy": "J/mol",
}
PROPERTIES = tuple(UNITS)
# The property that is the same at every temperature.
CONSTANT = "zero_point_energy"

# T / theta at which every part of a solid is as cold as at T = 0, and T^3 fits float32.
_COLDEST = 1e-6
# Theta [K] below which a solid counts as classical at every temperature.
_SOFTEST = 1e-9

# The number that softplus, ln(1 + exp(x)), maps to 1.
_SOFTPLUS_INVERSE_OF_1 = math.log(math.e - 1)
# A magnitude is at most e^4 = 55 times its typical value, and at least 1/55 of it.
_LARGEST_LOG = 4.0


class Variable(NamedTuple):
    """One physical variable of a law.

    Attributes:
        name: key in the dictionaries of variables.
        unit: "K", or "1" for a dimensionless number.
        kind: "positive", "magnitude" (positive, over several orders of magnitude) or
            "fraction" (between 0 and 1).
        typical: value that an output of 0 stands for, in ``unit``.
    """

    name: str
    unit: str
    kind: str
    typical: float


class Law(NamedTuple):
    """A physical law.

    Attributes:
        name: key in ``LAWS``, in configurations and in model folders.
        variables: the variables that a head predicts, in the order of its outputs.
        free_energy: G = F - F(0) [J per mol of atoms] of (variables, temperature [K]),
            elementwise, with finite first and second derivatives for T >= 0.
        zero_point_energy: F(0) [J per mol of atoms] of the variables.
    """

    name: str
    variables: tuple[Variable, ...]
    free_energy: Callable[[dict[str, Array], Array], Array]
    zero_point_energy: Callable[[dict[str, Array]], Array]


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

    def free_energy(values: dict[str, Array], temperature: Array) -> Array:
        return sum(
            share * solid.gibbs_energy(theta, temperature)
            for share, solid, theta in parts(values)
        )

    def zero_point_energy(values: dict[str, Array]) -> Array:
        return GAS_CONSTANT * sum(
            share * solid.ZERO_POINT * theta for share, solid, theta in parts(values)
        )

    return Law(name, variables, free_energy, zero_point_energy)


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


def get_law(name: str) -> Law:
    """Return the law of this name, or import the one at "package.module:ATTRIBUTE".

    Raises:
        ValueError: there is no such law; the message lists the choices.
    """
    if name in LAWS:
        return LAWS[name]
    module, _, attribute = name.partition(":")
    try:
        law = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"law {name!r} is neither one of {', '.join(LAWS)} nor an importable "
            f'"package.module:ATTRIBUTE" ({error})'
        ) from error
    if not isinstance(law, Law):
        raise ValueError(f"law {name!r} is a {type(law).__name__}, expected a Law")
    return law


def constrain(law: Law, raw: Float[Array, "... n"]) -> dict[str, Float[Array, "..."]]:
    """Return a law's variables by name, from the unbounded outputs of a network.

    An output of 0 becomes the typical value, so that training starts from an ordinary
    solid. Softplus, exponential and sigmoid keep a variable in the range of its kind.

    Args:
        law: the law, with n variables.
        raw: outputs, one per variable on the last axis.

    Raises:
        ValueError: the last axis does not have n numbers, or a kind is unknown.
    """
    if raw.shape[-1] != len(law.variables):
        raise ValueError(
            f"law {law.name!r} has {len(law.variables)} variables "
            f"({', '.join(v.name for v in law.variables)}), got {raw.shape[-1]} outputs"
        )
    values = {}
    for index, (name, _, kind, typical) in enumerate(law.variables):
        number = raw[..., index]
        if kind == "positive":
            values[name] = typical * jax.nn.softplus(number + _SOFTPLUS_INVERSE_OF_1)
        elif kind == "magnitude":
            logarithm = _LARGEST_LOG * jnp.tanh(number / _LARGEST_LOG)
            values[name] = typical * jnp.exp(logarithm)
        elif kind == "fraction":
            offset = math.log(typical / (1 - typical))
            values[name] = jax.nn.sigmoid(number + offset)
        else:
            raise ValueError(
                f"variable {name!r} of law {law.name!r} has kind {kind!r}, expected "
                '"positive", "magnitude" or "fraction"'
            )
    return values


def scale_temperatures(
    law: Law,
    variables: dict[str, Float[Array, "..."]],
    factor: Float[ArrayLike, "..."],
) -> dict[str, Float[Array, "..."]]:
    """Return the variables with those in kelvin multiplied by a factor.

    Args:
        law: the law.
        variables: the law's variables by name.
        factor: dimensionless; broadcasts against each variable.
    """
    kelvin = {variable.name for variable in law.variables if variable.unit == "K"}
    return {
        name: value * factor if name in kelvin else value
        for name, value in variables.items()
    }


def evaluate_all(
    law: Law,
    variables: dict[str, Float[ArrayLike, "..."]],
    temperature: Float[ArrayLike, "..."],
) -> dict[str, Float[Array, "..."]]:
    """Return every property of a law by name, in ``UNITS``.

    All arrays broadcast; the results are at least float32.

    Args:
        law: the law.
        variables: the law's variables by name.
        temperature: T >= 0 [K].
    """
    dtype = jnp.promote_types(
        jnp.result_type(temperature, *variables.values(), 1.0), "float32"
    )
    variables = {name: jnp.asarray(value, dtype) for name, value in variables.items()}
    temperature = jnp.asarray(temperature, dtype)
    free_energy, entropy, heat_capacity = _derivatives(law, variables, temperature)
    enthalpy = free_energy + temperature * entropy
    ground = jnp.broadcast_to(law.zero_point_energy(variables), enthalpy.shape)
    return {
        "heat_capacity": heat_capacity,
        "entropy": entropy,
        "enthalpy": enthalpy,
        "gibbs_energy": free_energy,
        "internal_energy": ground + enthalpy,
        "helmholtz": ground + free_energy,
        "debye_temperature": _debye_temperature(law, variables, temperature),
        "zero_point_energy": ground,
    }


def _derivatives(
    law: Law, variables: dict[str, Array], temperature: Array
) -> tuple[Array, Array, Array]:
    """Return F - F(0), S and C_v of a law."""

    def free_energy_and_entropy(t: Array) -> tuple[Array, Array]:
        """Return F - F(0) and, along dT = -1, its change S = -dF/dT."""
        return jax.jvp(
            lambda t: law.free_energy(variables, t), (t,), (-jnp.ones_like(t),)
        )

    # Along dT = T the change of S is T dS/dT = C_v, without a division by T = 0.
    (free_energy, entropy), (_, heat_capacity) = jax.jvp(
        free_energy_and_entropy, (temperature,), (temperature,)
    )
    return free_energy, entropy, heat_capacity


def _debye_temperature(
    law: Law, variables: dict[str, Array], temperature: Array
) -> Array:
    """Return the temperature of the Debye solid that has the C_v of a law.

    It is constant towards both ends of the scale, where C_v does not determine it to
    the digits of the numbers: C_v is 0 at the one, and at the other 3 R less a part
    that falls with (theta / T)^2, as does what is left of the slope.
    """
    ground = jax.lax.stop_gradient(law.zero_point_energy(variables))
    theta = jnp.maximum(ground / (debye.ZERO_POINT * GAS_CONSTANT), _SOFTEST)
    rounding = 1e3 * float(jnp.finfo(temperature.dtype).eps)
    safe = jnp.clip(temperature, _COLDEST * theta, rounding**-0.25 * theta)
    return debye.debye_temperature(_derivatives(law, variables, safe)[2], safe)


def is_extensive(property: str) -> bool:
    """Return whether a property scales with the amount of substance."""
    return "mol" in UNITS[property]


def evaluate(
    law: Law,
    property: str,
    variables: dict[str, Float[ArrayLike, "..."]],
    temperature: Float[ArrayLike, "..."],
    n_atoms: Float[ArrayLike, "..."] = 1.0,
) -> Float[Array, "..."]:
    """Return one property of a law; all arrays broadcast.

    Inside ``jax.jit`` the compiler drops what the other properties alone would need.

    Args:
        law: the law.
        property: one of ``PROPERTIES``; its unit is in ``UNITS``.
        variables: the law's variables by name.
        temperature: T >= 0 [K]; of no effect on the zero-point energy.
        n_atoms: atoms per unit of substance that the result is a mol of, from
            ``basis.atoms_per``; of no effect on the Debye temperature.

    Raises:
        ValueError: there is no such property; the message lists the choices.
    """
    if property not in PROPERTIES:
        raise ValueError(f"property {property!r} is not one of {', '.join(PROPERTIES)}")
    value = evaluate_all(law, variables, temperature)[property]
    return value * n_atoms if is_extensive(property) else value
