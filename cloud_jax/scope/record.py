"""The frozen record of one crystal, from which sentences are written."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

MAX_COUNT = 256  # largest count of an element in a sentence of the canonical dialect
UNKNOWN_ORBITS = "[MASK]"  # in the place of Wyckoff symbols that nobody knows


@dataclass(frozen=True, slots=True)
class Orbit:
    """Atoms that the space group maps onto each other.

    Attributes:
        element: chemical symbol; on a mixed site the most abundant one.
        multiplicity: atoms of the orbit in the conventional cell.
        letter: Wyckoff letter, case kept (space group 47 has an upper-case `A`).
    """

    element: str
    multiplicity: int
    letter: str

    @property
    def symbol(self) -> str:
        """Return the Wyckoff symbol, for instance `4e`."""
        return f"{self.multiplicity}{self.letter}"


class Sites(NamedTuple):
    """The result of a symmetry search.

    Attributes:
        space_group: number, 1 to 230.
        n_primitive: atoms in the primitive cell.
        letters: Wyckoff letter of each site.
        orbits: one number per site, equal for the sites of one orbit.
        symprec: distance tolerance that gave the space group, angstrom.
        angle_tolerance: that gave it, degrees; -1 where the distance alone decided.
        uncertain: whether another description of the crystal may give another group.
    """

    space_group: int
    n_primitive: int
    letters: Sequence[str]
    orbits: Sequence[int]
    symprec: float
    angle_tolerance: float
    uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """One crystal without its coordinates.

    Attributes:
        space_group: number, 1 to 230.
        orbits: in the order of each orbit's first atom, atoms sorted by
            electronegativity as pymatgen does.
        composition: (element, integer count) of the reduced formula, in the order
            of the elements' first atoms.
        n_atoms: atoms in the primitive cell.
        volume_per_atom: angstrom^3.
        symprec: distance tolerance that gave the space group, angstrom.
        angle_tolerance: that gave it, degrees; -1 where the distance alone decided.
        finder: package that gave the space group and its version, `spglib 2.8.0`.
        flags: names of `structures.flags.FLAGS`, sorted.
    """

    space_group: int
    orbits: tuple[Orbit, ...]
    composition: tuple[tuple[str, int], ...]
    n_atoms: int
    volume_per_atom: float
    symprec: float
    angle_tolerance: float
    finder: str
    flags: tuple[str, ...] = ()

    @property
    def formula(self) -> str:
        """Return the reduced formula in alphabetical order, as `Ca1 O3 Ti1`."""
        return " ".join(
            f"{element}{count}" for element, count in sorted(self.composition)
        )

    def to_dict(self) -> dict:
        """Return plain lists, numbers and strings, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> "Scope":
        """Rebuild a record from `to_dict`, also after a trip through JSON."""
        return cls(
            **{
                **values,
                "orbits": tuple(Orbit(**orbit) for orbit in values["orbits"]),
                "composition": tuple((e, n) for e, n in values["composition"]),
                "flags": tuple(values["flags"]),
            }
        )
