"""Crystals whose heat capacity is well known: figure 5 of the paper, and salts."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pymatgen.core import Structure


class Known(NamedTuple):
    """A crystal of figure 5 of the paper, or one whose heat capacity is as well known.

    Attributes:
        structure: function that makes it; angstrom. The model takes only the space
            group, the Wyckoff positions and the elements, so that the last digits of
            the coordinates do not matter.
        melting_k: melting point, where its curve ends; from the CRC Handbook of
            Chemistry and Physics unless said otherwise.
    """

    structure: Callable[[], "Structure"]
    melting_k: float


def _corundum() -> "Structure":
    """Newnham and de Haan, Z. Kristallogr. 117 (1962) 235."""
    from pymatgen.core import Lattice, Structure

    lattice = Lattice.hexagonal(4.757, 12.988)
    sites = [[0, 0, 0.352], [0.3064, 0, 0.25]]
    return Structure.from_spacegroup("R-3c", lattice, ["Al", "O"], sites)


def _antifluorite() -> "Structure":
    """Zintl, Harder and Dauth, Z. Elektrochem. 40 (1934) 588."""
    from pymatgen.core import Lattice, Structure

    sites = [[0.25, 0.25, 0.25], [0, 0, 0]]
    lattice = Lattice.cubic(4.619)
    return Structure.from_spacegroup("Fm-3m", lattice, ["Li", "O"], sites)


def _perovskite() -> "Structure":
    """Sasaki et al., Acta Cryst. C 43 (1987) 1668, from their setting Pbnm."""
    from pymatgen.core import Lattice, Structure

    sites = [
        [0.0360, 0.25, 0.9932],
        [0.5, 0, 0],
        [0.4838, 0.25, 0.0714],
        [0.2888, 0.0371, 0.7108],
    ]
    lattice = Lattice.orthorhombic(5.442, 7.640, 5.380)
    return Structure.from_spacegroup("Pnma", lattice, ["Ca", "Ti", "O", "O"], sites)


def _wurtzite() -> "Structure":
    """Schulz and Thiemann, Solid State Commun. 23 (1977) 815."""
    from pymatgen.core import Lattice, Structure

    sites = [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.377]]
    lattice = Lattice.hexagonal(3.190, 5.189)
    return Structure.from_spacegroup("P6_3mc", lattice, ["Ga", "N"], sites)


def _rocksalt(cation: str, anion: str, a: float) -> Callable[[], "Structure"]:
    """Wyckoff, Crystal Structures, vol. 1, 2nd ed. (1963), ch. III."""

    def structure() -> "Structure":
        from pymatgen.core import Lattice, Structure

        sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
        lattice = Lattice.cubic(a)
        return Structure.from_spacegroup("Fm-3m", lattice, [cation, anion], sites)

    return structure


KNOWN = {
    "Al2O3": Known(_corundum, 2327.0),
    "Li2O": Known(_antifluorite, 1711.0),
    "CaTiO3": Known(_perovskite, 2253.0),
    # At 6 GPa, below which it decomposes: Utsumi et al., Nat. Mater. 2 (2003) 735.
    "GaN": Known(_wurtzite, 2493.0),
    "MgO": Known(_rocksalt("Mg", "O", 4.211), 3098.0),
    "CaO": Known(_rocksalt("Ca", "O", 4.811), 2886.0),
    "LiF": Known(_rocksalt("Li", "F", 4.017), 1121.0),
    "NaCl": Known(_rocksalt("Na", "Cl", 5.641), 1074.0),
}
PAPER = ("Al2O3", "Li2O", "CaTiO3", "GaN")  # in figure 5


@cache
def known_structure(name: str) -> "Structure":
    """Return a known crystal; cached, because pymatgen's space groups are slow."""
    return KNOWN[name].structure()


def formula_atoms(name: str) -> float:
    """Return the number of atoms per formula unit of a known crystal."""
    return known_structure(name).composition.reduced_composition.num_atoms
