"""Crystals whose heat capacity is well known: figure 5 of the paper, and salts."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from pymatgen.core import Lattice, Structure


class Known(NamedTuple):
    """A crystal with a well-known heat capacity.

    The model takes only the space group, the Wyckoff positions and the elements, so
    that the last digits of the cell and the coordinates do not matter.

    Attributes:
        space_group: Hermann-Mauguin symbol.
        lattice: conventional cell, angstrom.
        elements: one per orbit.
        sites: fractional coordinates of one atom per orbit.
        melting_k: melting point, where its curve ends; from the CRC Handbook of
            Chemistry and Physics unless said otherwise.
    """

    space_group: str
    lattice: Lattice
    elements: Sequence[str]
    sites: Sequence[Sequence[float]]
    melting_k: float


def _rocksalt(cation: str, anion: str, a: float, melting_k: float) -> Known:
    """Return a rock salt; Wyckoff, Crystal Structures, vol. 1, 2nd ed. (1963), ch. III.

    Args:
        cation: its element.
        anion: its element.
        a: edge of the conventional cell, angstrom.
        melting_k: melting point.
    """
    sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return Known("Fm-3m", Lattice.cubic(a), [cation, anion], sites, melting_k)


KNOWN = {
    # Newnham and de Haan, Z. Kristallogr. 117 (1962) 235.
    "Al2O3": Known(
        "R-3c",
        Lattice.hexagonal(4.757, 12.988),
        ["Al", "O"],
        [[0, 0, 0.352], [0.3064, 0, 0.25]],
        2327.0,
    ),
    # Zintl, Harder and Dauth, Z. Elektrochem. 40 (1934) 588.
    "Li2O": Known(
        "Fm-3m",
        Lattice.cubic(4.619),
        ["Li", "O"],
        [[0.25, 0.25, 0.25], [0, 0, 0]],
        1711.0,
    ),
    # Sasaki et al., Acta Cryst. C 43 (1987) 1668, from their setting Pbnm.
    "CaTiO3": Known(
        "Pnma",
        Lattice.orthorhombic(5.442, 7.640, 5.380),
        ["Ca", "Ti", "O", "O"],
        [
            [0.0360, 0.25, 0.9932],
            [0.5, 0, 0],
            [0.4838, 0.25, 0.0714],
            [0.2888, 0.0371, 0.7108],
        ],
        2253.0,
    ),
    # Schulz and Thiemann, Solid State Commun. 23 (1977) 815. Melts at 6 GPa, below
    # which it decomposes: Utsumi et al., Nat. Mater. 2 (2003) 735.
    "GaN": Known(
        "P6_3mc",
        Lattice.hexagonal(3.190, 5.189),
        ["Ga", "N"],
        [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.377]],
        2493.0,
    ),
    "MgO": _rocksalt("Mg", "O", 4.211, 3098.0),
    "CaO": _rocksalt("Ca", "O", 4.811, 2886.0),
    "LiF": _rocksalt("Li", "F", 4.017, 1121.0),
    "NaCl": _rocksalt("Na", "Cl", 5.641, 1074.0),
}


@cache
def known_structure(name: str) -> Structure:
    """Return a known crystal; cached, because pymatgen's space groups are slow."""
    known = KNOWN[name]
    return Structure.from_spacegroup(
        known.space_group, known.lattice, known.elements, known.sites
    )


def formula_atoms(name: str) -> float:
    """Return the number of atoms per formula unit of a known crystal."""
    return known_structure(name).composition.reduced_composition.num_atoms
