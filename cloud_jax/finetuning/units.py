"""Amounts: mol of atoms per unit of a label, by which a law is multiplied."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Float

from cloud_jax.finetuning.table import Table
from cloud_jax.finetuning.targets import Target
from cloud_jax.physics.basis import unit_of
from cloud_jax.physics.laws import Law
from cloud_jax.scope import tables

_KILO = {"": 1.0, "k": 1000.0}


def target_amounts(
    law: Law | None, targets: Sequence[Target], table: Table, *, dialect: str
) -> Float[np.ndarray, "N P"]:
    """Return mol of atoms per unit of each target's basis, per J of its unit.

    A law counts per mol of atoms and in J; times this amount it is the label.

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
        return np.ones(table.targets.shape)
    columns = []
    for target in targets:
        factor = joule_per_unit(target)
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
        columns.append(atoms_per_basis(target.basis, table) / factor)
    return np.stack(columns, axis=1)


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


def composition(sentence: str) -> dict[str, int]:
    """Return the elements and counts of the formula of a canonical sentence."""
    words = sentence.rpartition("|")[2].split()
    return {e: int(n) for e, n in zip(words[::2], words[1::2], strict=True)}


def _masses(formulas: Iterable[dict[str, int]]) -> dict[str, float]:
    """Return the atomic masses, g/mol, of the elements that occur."""
    elements = {element for formula in formulas for element in formula}
    return {element: tables.element(element).mass for element in elements}
