"""Laws by name, their variables from a network, and every property of them.

Everything follows from the two functions of a law (``law``) by differentiation.
"""

import importlib
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from cloud_jax.physics import debye
from cloud_jax.physics.constants import GAS_CONSTANT
from cloud_jax.physics.law import Law
from cloud_jax.physics.mixtures import LAWS

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

# What a variable of each kind is below.
_HIGHEST = {"positive": math.inf, "magnitude": math.inf, "fraction": 1.0}
# The number that softplus, ln(1 + exp(x)), maps to 1.
_SOFTPLUS_INVERSE_OF_1 = math.log(math.e - 1)
# A magnitude is at most e^4 = 55 times its typical value, and at least 1/55 of it.
_LARGEST_LOG = 4.0


def get_law(name: str) -> Law:
    """Return the law of this name, or import the one at "package.module:ATTRIBUTE".

    Raises:
        ValueError: there is no such law, or it is not one; says what is expected.
    """
    if name in LAWS:
        return LAWS[name]
    module, _, attribute = name.partition(":")
    try:
        law = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a module may raise anything, an old Law a TypeError
        raise ValueError(
            f"law {name!r} is neither one of {', '.join(LAWS)} nor an importable "
            f'"package.module:ATTRIBUTE" ({type(error).__name__}: {error}); a Law has '
            f"{', '.join(Law._fields)}"
        ) from error
    if not isinstance(law, Law):
        raise ValueError(
            f"law {name!r} is a {type(law).__name__}, expected a Law of "
            f"cloud_jax.physics.law, with {', '.join(Law._fields)}"
        )
    _check_variables(name, law)
    return law


def _check_variables(name: str, law: Law) -> None:
    """Raise ValueError for variables that no output of a network can become."""
    if not law.variables:
        raise ValueError(f"law {name!r} has no variables, expected one at least")
    for variable in law.variables:
        highest = _HIGHEST.get(variable.kind)
        if highest is None or not 0 < variable.typical < highest:
            raise ValueError(
                f"law {name!r}: variable {variable.name!r} has kind {variable.kind!r} "
                f"and the typical value {variable.typical}, expected a kind of "
                f"{', '.join(_HIGHEST)}, and a value above 0 (of a fraction below 1)"
            )


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
