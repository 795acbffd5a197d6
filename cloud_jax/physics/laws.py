"""Physical laws between a network's outputs and a measured property.

A law is a list of variables, which a head predicts, and one function of them and of T,
the Helmholtz energy F. Every other property follows by differentiation at constant
volume: S = -dF/dT, U = F + T S, C_v = T dS/dT = dU/dT. The law "debye" is that of the
paper's CLOUD-DEBYE (Eqs. 7 to 10), with the Debye temperature as its only variable.
"""

import importlib
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from cloud_jax.physics import debye, einstein

UNITS = {
    "heat_capacity": "J/(mol K)",
    "internal_energy": "J/mol",
    "entropy": "J/(mol K)",
    "helmholtz": "J/mol",
}
PROPERTIES = tuple(UNITS)

# The number that softplus, ln(1 + exp(x)), maps to 1.
_SOFTPLUS_INVERSE_OF_1 = math.log(math.e - 1)


class Variable(NamedTuple):
    """One physical variable of a law.

    Attributes:
        name: key in the dictionaries of variables.
        unit: "K", or "1" for a dimensionless number.
        kind: "positive" or "fraction" (between 0 and 1).
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
        helmholtz: F [J per mol of atoms] of (variables, temperature [K]), elementwise,
            with finite first and second derivatives for T >= 0.
    """

    name: str
    variables: tuple[Variable, ...]
    helmholtz: Callable[[dict[str, Array], Array], Array]


def _debye_einstein(variables: dict[str, Array], temperature: Array) -> Array:
    """Return F of a solid with a share of Debye modes and the rest Einstein modes."""
    share = variables["debye_fraction"]
    acoustic = debye.helmholtz(variables["theta_debye"], temperature)
    optical = einstein.helmholtz(variables["theta_einstein"], temperature)
    return share * acoustic + (1 - share) * optical


LAWS = {
    law.name: law
    for law in (
        Law(
            "debye",
            (Variable("theta", "K", "positive", 450.0),),
            lambda variables, t: debye.helmholtz(variables["theta"], t),
        ),
        Law(
            "einstein",
            (Variable("theta", "K", "positive", 350.0),),
            lambda variables, t: einstein.helmholtz(variables["theta"], t),
        ),
        Law(
            "debye_einstein",
            (
                Variable("theta_debye", "K", "positive", 350.0),
                Variable("theta_einstein", "K", "positive", 420.0),
                Variable("debye_fraction", "1", "fraction", 0.5),
            ),
            _debye_einstein,
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
    solid. Softplus and sigmoid keep every variable within the range of its kind.

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
        elif kind == "fraction":
            offset = math.log(typical / (1 - typical))
            values[name] = jax.nn.sigmoid(number + offset)
        else:
            raise ValueError(
                f"variable {name!r} of law {law.name!r} has kind {kind!r}, expected "
                '"positive" or "fraction"'
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
    """Return every property of a law by name, per mol of atoms, in ``UNITS``.

    All arrays broadcast; the results are at least float32.

    Args:
        law: the law.
        variables: the law's variables by name.
        temperature: T >= 0 [K].
    """
    variables = {name: jnp.asarray(value) for name, value in variables.items()}
    dtype = jnp.promote_types(
        jnp.result_type(temperature, *variables.values(), 1.0), "float32"
    )
    temperature = jnp.asarray(temperature, dtype)

    def free_energy_and_entropy(t: Array) -> tuple[Array, Array]:
        """Return F and, along dT = -1, its change S = -dF/dT."""
        return jax.jvp(
            lambda t: law.helmholtz(variables, t), (t,), (-jnp.ones_like(t),)
        )

    # Along dT = T the change of S is T dS/dT = C_v, without a division by T = 0.
    (free_energy, entropy), (_, heat_capacity) = jax.jvp(
        free_energy_and_entropy, (temperature,), (temperature,)
    )
    return {
        "heat_capacity": heat_capacity,
        "internal_energy": free_energy + temperature * entropy,
        "entropy": entropy,
        "helmholtz": free_energy,
    }


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
        temperature: T >= 0 [K].
        n_atoms: atoms per unit of substance that the result is a mol of, from
            ``basis.atoms_per``.

    Raises:
        ValueError: there is no such property; the message lists the choices.
    """
    if property not in PROPERTIES:
        raise ValueError(f"property {property!r} is not one of {', '.join(PROPERTIES)}")
    return evaluate_all(law, variables, temperature)[property] * n_atoms
