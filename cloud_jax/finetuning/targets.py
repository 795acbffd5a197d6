"""Targets: what is learned, and how it follows from the numbers of the head.

A regression head puts out scaled targets. A physics head puts out the variables of a
law; the law makes every target of them, each at its own temperature, and gradients
flow through it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cloud_jax.physics.basis import BASES
from cloud_jax.physics.laws import PROPERTIES, Law, constrain, evaluate

# (raw outputs [..., O], amounts [..., P], mean [P] and standard deviation [P] of the
# training rows) -> values [..., P] in the units of the table
Predict = Callable[[Array, Array, Array, Array], Array]


class Target(NamedTuple):
    """One column that is learned.

    Attributes:
        name: of the column.
        property: what it holds: for a physics head one of `physics.laws.PROPERTIES`.
        unit: for labels of predictions, such as "J/(mol K)".
        basis: "cell", "atom", "formula" or "gram"; empty where that means nothing.
        temperature_k: of the property; None where it has none.
    """

    name: str
    property: str
    unit: str
    basis: str
    temperature_k: float | None


def make_targets(settings: Any) -> tuple[Target, ...]:
    """Return the targets that `config.targets` lists.

    Raises:
        ValueError: lists of different lengths, no target, a column named twice, or an
            unknown basis.
    """
    lists = {
        "columns": settings.columns,
        "properties": settings.properties,
        "units": settings.units,
        "bases": settings.bases,
        "temperatures_k": settings.temperatures_k,
    }
    lengths = {name: len(values) for name, values in lists.items()}
    if not settings.columns or len(set(lengths.values())) > 1:
        raise ValueError(
            f"config.targets: expected one entry per target in each list, found "
            f"{lengths}"
        )
    if len(set(settings.columns)) < len(settings.columns):
        raise ValueError(
            f"config.targets.columns: a column is named twice: {settings.columns}"
        )
    for basis in settings.bases:
        if basis and basis not in BASES:
            raise ValueError(
                f"config.targets.bases: found {basis!r}, expected one of "
                f"{', '.join(BASES)}, or nothing"
            )
    return tuple(
        Target(column, property or column, unit, basis, float(kelvin) or None)
        for column, property, unit, basis, kelvin in zip(*lists.values(), strict=True)
    )


def check_physics(targets: Sequence[Target]) -> None:
    """Raise ValueError for a target that no law can give."""
    for target in targets:
        if target.property not in PROPERTIES:
            raise ValueError(
                f"target {target.name}: a law predicts one of "
                f"{', '.join(PROPERTIES)}, found property {target.property!r}; "
                "name it in config.targets.properties"
            )
        if target.temperature_k is None or not 0 <= target.temperature_k < np.inf:
            raise ValueError(
                f"target {target.name}: a physics head needs the temperature of "
                f"{target.property} in kelvin, found {target.temperature_k}; give it "
                "in config.targets.temperatures_k"
            )


def n_outputs(law: Law | None, targets: Sequence[Target]) -> int:
    """Return how many numbers the head puts out per crystal."""
    return len(law.variables) if law else len(targets)


def prediction(law: Law | None, targets: Sequence[Target]) -> Predict:
    """Return the function from raw outputs to targets.

    Args:
        law: of a physics head; None for regression.
        targets: in the order of the last axis.

    Raises:
        ValueError: a target that the law cannot give.
    """
    if law is None:
        return lambda raw, amounts, mean, std: raw * std + mean
    check_physics(targets)

    def through_law(
        raw: Float[Array, "*N O"], amounts: Float[Array, "*N P"], mean: Any, std: Any
    ) -> Float[Array, "*N P"]:
        variables = constrain(law, raw)
        values = [
            evaluate(law, target.property, variables, target.temperature_k)
            for target in targets
        ]
        # A law counts per mol of atoms.
        return jnp.stack(values, axis=-1) * amounts

    return through_law
