"""Units of substance that a property is given per: cell, atom, formula or gram."""

from cloud_jax.physics.laws import UNITS, is_extensive

BASES = ("cell", "atom", "formula", "gram")


def atoms_per(
    basis: str, *, n_atoms: float, formula_atoms: float, molar_mass_g: float
) -> float:
    """Return the atoms per unit of the basis (for "gram", mol of atoms per gram).

    Args:
        basis: "cell" (the primitive cell), "atom", "formula" or "gram".
        n_atoms: atoms per primitive cell.
        formula_atoms: atoms per reduced formula.
        molar_mass_g: mass per mol of reduced formulas [g/mol].

    Raises:
        ValueError: there is no such basis; the message lists the choices.
    """
    _check(basis)
    return {
        "cell": n_atoms,
        "atom": 1.0,
        "formula": formula_atoms,
        "gram": formula_atoms / molar_mass_g,
    }[basis]


def unit_of(property: str, basis: str) -> str:
    """Return the unit of a property in a basis: per mol, or per gram for "gram".

    The unit of a property that does not scale with the amount is the same in every
    basis, and also in none, "".
    """
    if basis or is_extensive(property):
        _check(basis)
    return UNITS[property].replace("mol", "g" if basis == "gram" else "mol")


def _check(basis: str) -> None:
    if basis not in BASES:
        raise ValueError(f"basis {basis!r} is not one of {', '.join(BASES)}")
