"""How many atoms a labelled amount of substance holds: what a law is multiplied by."""

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
    """Mol of atoms in a unit of each target's basis, divided by its unit's factor to J.

    Args:
        law: of the head; without one all amounts are 1.
        targets: what is learned.
        table: labelled crystals.
        dialect: of their sentences.

    Raises:
        ValueError: a law does not give that unit, a basis is missing, or the table
            cannot say how many atoms it holds.
    """
    if law is None:
        return np.ones(table.targets.shape)
    columns = []
    for target in targets:
        kilo = _factor(target)
        if target.basis == "cell" and not table.n_atoms.all():
            raise ValueError(
                f"target {target.name} is of a mol of primitive cells: name the column "
                "with their numbers of atoms in config.data.n_atoms_column"
            )
        if target.basis in ("formula", "gram") and dialect != "canonical":
            raise ValueError(
                f"target {target.name} has basis {target.basis!r}, and {dialect} "
                "sentences give rounded fractions: use the canonical dialect, or "
                "convert the column to basis 'cell' or 'atom'"
            )
        columns.append(_atoms(target.basis, table) / kilo)
    return np.stack(columns, axis=1)


def _factor(target: Target) -> float:
    """Joule in the target's unit of energy."""
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


def _atoms(basis: str, table: Table) -> Float[np.ndarray, " N"]:
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
    """Elements and counts of the reduced formula of a canonical sentence."""
    words = sentence.rpartition("|")[2].split()
    return {e: int(n) for e, n in zip(words[::2], words[1::2], strict=True)}


def _masses(formulas: Iterable[dict[str, int]]) -> dict[str, float]:
    """Atomic masses, g/mol, of the elements that occur."""
    elements = {element for formula in formulas for element in formula}
    return {element: tables.element(element).mass for element in elements}
