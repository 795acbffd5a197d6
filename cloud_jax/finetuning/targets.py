"""Targets: what is learned, and how it follows from the numbers of the head.

A regression head puts out scaled targets, of two classes the logit of one. A physics
head puts out the variables of a law; the law makes every target of them, each at its
own temperature, and gradients flow through it. A law counts per mol of atoms and in J,
so it is multiplied by the amount of each label: mol of atoms per unit of its basis, per
J of its unit.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from cloud_jax.finetuning.table import Table
from cloud_jax.physics.basis import BASES, unit_of
from cloud_jax.physics.laws import PROPERTIES, UNITS, Law, constrain, evaluate_all
from cloud_jax.scope import tables

# (raw outputs [..., O], amounts [..., P], mean [P] and standard deviation [P] of the
# training rows) -> values [..., P] in the units of the table
Predict = Callable[[Array, Array, Array, Array], Array]

TRUE_WORDS = ("true", "yes", "1", "y", "t", "on")  # of a label, as `class_word` has it
_KILO = {"": 1.0, "k": 1000.0}
# Properties of which no temperature means 0 K.
_AT_ZERO = ("zero_point_energy", "debye_temperature")


class Target(NamedTuple):
    """One column that is learned.

    Attributes:
        name: of the column.
        property: what it holds: for a physics head one of `physics.laws.PROPERTIES`.
        unit: for labels of predictions, such as "J/(mol K)".
        basis: "cell", "atom", "formula" or "gram"; empty where that means nothing.
        temperature_k: of the property; None where it has none.
        weight: of its errors in the loss; what has weight 0 is calibrated only.
        factor: ratio of its labels to what the law gives: the bias of a model, where
            they come from one.
        positive: of two classes, the one whose probability is learned; empty for
            numbers.
    """

    name: str
    property: str
    unit: str
    basis: str
    temperature_k: float | None
    weight: float = 1.0
    factor: float = 1.0
    positive: str = ""

    @property
    def at_k(self) -> float:
        """Return the temperature that a law is asked at, 0 K where there is none."""
        return self.temperature_k or 0.0


def make_targets(settings: Any) -> tuple[Target, ...]:
    """Return the targets that `config.targets` lists.

    Raises:
        ValueError: lists of different lengths, no target, a column named twice, an
            unknown basis, or a weight or a factor out of its range.
    """
    lists = {
        "columns": settings.columns,
        "properties": settings.properties,
        "units": settings.units,
        "bases": settings.bases,
        "temperatures_k": settings.temperatures_k,
        "weights": settings.weights or (1.0,) * len(settings.columns),
        "factors": settings.factors or (1.0,) * len(settings.columns),
        "positives": settings.positives or ("",) * len(settings.columns),
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
    weights = lists["weights"]
    if min(weights) < 0 or not any(weights):
        raise ValueError(
            f"config.targets.weights: found {weights}, expected no negative number and "
            "at least one above 0"
        )
    if min(lists["factors"]) <= 0:
        raise ValueError(
            f"config.targets.factors: found {settings.factors}, expected numbers "
            "above 0"
        )
    return tuple(
        Target(
            column,
            property or property_of(column, others[-1]),
            unit,
            basis,
            float(kelvin) or None,
            *others,
        )
        for column, property, unit, basis, kelvin, *others in zip(
            *lists.values(), strict=True
        )
    )


def property_of(column: str, positive: str) -> str:
    """Return the name of what a column without a property of its own holds.

    Where the class is `true` or the like, it is the column that says what is true.
    """
    if not positive:
        return column
    return f"probability of {column if positive in TRUE_WORDS else positive}"


def validation_measure(targets: Sequence[Target]) -> str:
    """Return the name of the number that chooses a member's best epoch.

    With a class among the targets it is a mean of MAE/MAD and of log losses, these in
    units of the log loss of the training share.
    """
    if any(target.positive for target in targets):
        return "validation_loss_over_baseline"
    return "validation_mae_over_mad"


def are_classes(targets: Sequence[Target]) -> Bool[np.ndarray, " P"]:
    """Return which targets are classes."""
    return np.array([bool(target.positive) for target in targets])


def check_physics(targets: Sequence[Target]) -> None:
    """Raise ValueError for a target that no law can give."""
    for target in targets:
        if target.positive:
            raise ValueError(
                f"target {target.name}: a law predicts numbers, found the class "
                f"{target.positive!r} in config.targets.positives: leave config.head."
                "law out for classes"
            )
        if target.property not in PROPERTIES:
            raise ValueError(
                f"target {target.name}: a law predicts one of "
                f"{', '.join(PROPERTIES)}, found property {target.property!r}; "
                "name it in config.targets.properties"
            )
        kelvin = target.temperature_k
        if kelvin is None and target.property in _AT_ZERO:
            kelvin = 0.0
        if kelvin is None or not 0 <= kelvin < np.inf:
            raise ValueError(
                f"target {target.name}: a physics head needs the temperature of "
                f"{target.property} in kelvin, found {kelvin}; give it "
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
        kelvin = {target.at_k for target in targets}
        found = {t: evaluate_all(law, variables, t) for t in kelvin}
        values = [found[target.at_k][target.property] for target in targets]
        return jnp.stack(values, axis=-1) * amounts

    return through_law


def target_amounts(
    law: Law | None, targets: Sequence[Target], table: Table, *, dialect: str
) -> Float[np.ndarray, "N P"]:
    """Return mol of atoms per unit of each target's basis, per J of its unit.

    They are multiplied by the factor of the target.

    Args:
        law: of the head; without one all amounts are 1.
        targets: what is learned.
        table: labelled crystals.
        dialect: of their sentences.

    Raises:
        ValueError: a law does not give that unit, a basis is missing, or the table
            does not hold the number of atoms.
    """
    if law is None:
        if any(target.factor != 1 for target in targets):
            raise ValueError("config.targets.factors: they need a law, config.head.law")
        return np.ones(table.targets.shape)
    columns = []
    for target in targets:
        if UNITS[target.property] == "K":
            check_kelvin(target)
            columns.append(np.full(len(table.ids), target.factor))
            continue
        if target.basis == "cell" and not table.n_atoms.all():
            raise ValueError(
                f"target {target.name} is per mol of primitive cells: name the column "
                "with their numbers of atoms in config.data.n_atoms_column"
            )
        if target.basis in ("formula", "gram") and dialect != "canonical":
            raise ValueError(
                f"target {target.name} has basis {target.basis!r}, and {dialect} "
                "sentences give rounded fractions: use the canonical dialect, or "
                "convert the column to basis 'cell' or 'atom'"
            )
        atoms = atoms_per_basis(target.basis, table)
        columns.append(target.factor * atoms / joule_per_unit(target))
    return np.stack(columns, axis=1)


def check_kelvin(target: Target) -> None:
    """Raise ValueError for a temperature with another unit than K, or with a basis."""
    if target.unit != "K" or target.basis:
        raise ValueError(
            f"target {target.name}: found unit {target.unit!r} and basis "
            f"{target.basis!r}, expected K and no basis for {target.property}"
        )


def joule_per_unit(target: Target) -> float:
    """Return how many J the target's unit of energy is.

    Raises:
        ValueError: a unit that is not J or kJ of the property and the basis.
    """
    if not target.basis:
        raise ValueError(
            f"target {target.name}: a law needs to know what a mol of it counts: name "
            "cell, atom, formula or gram in config.targets.bases"
        )
    joule = unit_of(target.property, target.basis)
    units = {prefix + joule: factor for prefix, factor in _KILO.items()}
    if target.unit not in units:
        raise ValueError(
            f"target {target.name}: found unit {target.unit!r}, expected "
            f"{' or '.join(units)} for {target.property} of basis {target.basis!r}; "
            "correct config.targets.units or convert the column"
        )
    return units[target.unit]


def atoms_per_basis(basis: str, table: Table) -> Float[np.ndarray, " N"]:
    """Return the atoms per primitive cell, atom, formula or gram (mol) of each row."""
    if basis == "atom":
        return np.ones(len(table.ids))
    if basis == "cell":
        return table.n_atoms.astype(float)
    formulas = [composition(sentence) for sentence in table.sentences]
    atoms = np.array([sum(formula.values()) for formula in formulas], float)
    if basis == "formula":
        return atoms
    masses = _masses(formulas)
    return atoms / [
        sum(masses[element] * n for element, n in formula.items())
        for formula in formulas
    ]


def composition_words(sentence: str) -> dict[str, str]:
    """Return the elements of a sentence with their counts or fractions, as written."""
    words = sentence.rpartition("|")[2].split()
    return dict(zip(words[::2], words[1::2], strict=True))


def composition(sentence: str) -> dict[str, int]:
    """Return the elements and counts of the formula of a canonical sentence."""
    return {e: int(n) for e, n in composition_words(sentence).items()}


def _masses(formulas: Iterable[dict[str, int]]) -> dict[str, float]:
    """Return the atomic masses, g/mol, of the elements that occur."""
    elements = {element for formula in formulas for element in formula}
    return {element: tables.element(element).mass for element in elements}
