"""From the numbers that a head puts out to properties in the units of the table.

A regression head predicts scaled targets. A physics head predicts the variables of a
law; the law makes every target of them, at its own temperature, and gradients flow
through it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from cloud_jax.physics.laws import PROPERTIES, Law, constrain, evaluate

# (raw outputs [..., O], atoms in a unit of each target's basis [..., P],
#  mean [P] and scale [P] of the training rows) -> values [..., P]
Predict = Callable[[Array, Array, Array, Array], Array]


class Target(NamedTuple):
    """One column that is learned.

    Attributes:
        name: the column.
        property: what it is: for a physics head one of `physics.laws.PROPERTIES`.
        unit: as predictions are to be labelled, for instance "J/(mol K)".
        basis: "cell", "atom", "formula" or "gram"; empty where that means nothing.
        temperature_k: of the property, None where it has none.
    """

    name: str
    property: str
    unit: str
    basis: str
    temperature_k: float | None


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
    """Numbers that the head puts out."""
    return len(law.variables) if law else len(targets)


def prediction(law: Law | None, targets: Sequence[Target]) -> Predict:
    """The function from raw outputs to targets.

    Args:
        law: of a physics head; None for regression.
        targets: in the order of the last axis.

    Raises:
        ValueError: a target that the law cannot give.
    """
    if law is None:
        return lambda raw, atoms, mean, scale: raw * scale + mean
    check_physics(targets)

    def through_law(
        raw: Float[Array, "*N O"], atoms: Float[Array, "*N P"], mean: Any, scale: Any
    ) -> Float[Array, "*N P"]:
        variables = constrain(law, raw)
        values = [
            evaluate(law, target.property, variables, target.temperature_k)
            for target in targets
        ]
        return jnp.stack(values, axis=-1) * atoms

    return through_law
