"""A periodic structure as plain arrays, decorations stripped."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from cloud_jax.structures.flags import FLAGS
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import ELEMENTS, Occupants, occupants_of

MAX_SITES = 10_000  # a sentence needs none so large; the symmetry search takes 10 s
_LENGTHS = (0.1, 1e4)  # of cell vectors, angstrom
FARTHEST = 1e3  # fractional coordinate: beyond it the last digits are lost
# Angstrom: below every bond, also H-H of 0.74 and X-H as X-rays see it, 0.6 and more.
SHORTEST_DISTANCE = 0.5
_LEAST_VOLUME = 0.5  # angstrom^3 per atom; hydrogen at 500 GPa has 1.2


@dataclass(frozen=True)
class Cell:
    """One unit cell.

    Attributes:
        lattice: rows are the cell vectors, angstrom, [3, 3].
        fractional: fractional coordinates, [n, 3].
        species: of each site an element symbol, or for a partially occupied site
            ((element, occupancy), ...) sorted by element.
        flags: names of `flags.FLAGS`.
        labels: names of the sites in their file, for messages; may be empty.
    """

    lattice: Float[np.ndarray, "3 3"]
    fractional: Float[np.ndarray, "n 3"]
    species: tuple[str | Occupants, ...]
    flags: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def __post_init__(self):
        if unknown := set(self.flags) - FLAGS.keys():
            raise ValueError(f"unknown flags {unknown}: expected some of {[*FLAGS]}")
        if not self.species:
            raise Rejection("no_atoms", "found no atomic site, expected at least one")
        if len(self.species) > MAX_SITES:
            raise Rejection(
                "too_many_sites",
                f"found {len(self.species):,} atoms in the cell, expected at most "
                f"{MAX_SITES:,}",
            )
        if self.fractional.shape != (len(self.species), 3):
            raise Rejection(
                "bad_coordinates",
                f"found coordinates of shape {self.fractional.shape} for "
                f"{len(self.species)} sites, expected ({len(self.species)}, 3)",
            )
        farthest = np.abs(self.fractional).max()
        if not farthest <= FARTHEST:  # NaN neither
            raise Rejection(
                "bad_coordinates",
                f"found the fractional coordinate {farthest:g}, expected about 0 to 1",
            )
        check_lattice(self.lattice)
        if self.volume < _LEAST_VOLUME * len(self.species):
            raise Rejection(
                "bad_lattice",
                f"the cell has {self.volume / len(self.species):.3g} A^3 per atom, "
                f"expected at least {_LEAST_VOLUME:g}: is it in nm?",
            )

    @cached_property
    def volume(self) -> float:
        """Cell volume, angstrom^3."""
        return _volume(self.lattice)

    @cached_property
    def is_disordered(self) -> bool:
        """Return whether any site is mixed or partially occupied."""
        return not all(isinstance(species, str) for species in self.species)

    def flagged(self, *flags: str) -> "Cell":
        """Return the same cell with more flags; an empty name is none."""
        more = {*self.flags, *filter(None, flags)}
        if len(more) == len(self.flags):
            return self
        return replace(self, flags=tuple(sorted(more)))

    @classmethod
    def from_arrays(
        cls,
        lattice: Float[np.ndarray, "3 3"],
        fractional: Float[np.ndarray, "n 3"],
        numbers: Int[np.ndarray, " n"] | Sequence[int],
    ) -> "Cell":
        """Build a cell from atomic numbers.

        Raises:
            Rejection: an atomic number outside 1 to 103, or unusable arrays.
        """
        for number in numbers:
            if not 1 <= number <= len(ELEMENTS):
                raise Rejection(
                    "unknown_species",
                    f"found atomic number {number}, expected 1 to {len(ELEMENTS)}",
                )
        return cls(
            np.asarray(lattice, dtype=float),
            np.asarray(fractional, dtype=float).reshape(-1, 3),
            tuple(ELEMENTS[number - 1] for number in numbers),
        )

    @classmethod
    def from_structure(cls, structure) -> "Cell":
        """Build a cell from a pymatgen `Structure`; oxidation states and spins go.

        Raises:
            Rejection: a species that is not an element, unusable arrays, or a lattice
                that repeats in no direction.
        """
        pbc = getattr(structure.lattice, "pbc", (True, True, True))
        flag = flag_of_pbc(pbc)
        cell = cls.from_sites(
            structure.lattice.matrix,
            structure.frac_coords,
            [list(site.species.as_dict().items()) for site in structure],
        )
        return cell.flagged(flag)

    @classmethod
    def from_sites(
        cls,
        lattice: Float[np.ndarray, "3 3"],
        fractional: Float[np.ndarray, "n 3"],
        sites: Iterable[Sequence[tuple[str, float]]],
        labels: Iterable[str] = (),
    ) -> "Cell":
        """Build a cell from the labelled occupants of each site.

        Args:
            lattice: cell vectors in rows, angstrom.
            fractional: fractional coordinates.
            sites: of each site (symbol, occupancy) pairs; symbols may carry
                charges and labels (`Fe2+`, `O1`).
            labels: names of the sites in their file, for messages; may be empty.

        Raises:
            Rejection: an unknown species, an occupancy outside (0, 1], or unusable
                arrays.
        """
        flags: set[str] = set()
        cache: dict[tuple, str | Occupants] = {}
        species = []
        for site in sites:
            key = tuple(site)
            if key not in cache:
                cache[key] = occupants_of(key, flags)
            species.append(cache[key])
        return cls(
            np.asarray(lattice, dtype=float),
            np.asarray(fractional, dtype=float).reshape(-1, 3),
            tuple(species),
            tuple(sorted(flags)),
            tuple(labels),
        )


def flag_of_pbc(pbc: Sequence[bool]) -> str:
    """Return `low_dimensional` where not all cell vectors repeat, else "".

    Raises:
        Rejection: none repeats.
    """
    if not any(pbc):
        raise Rejection(
            "not_periodic", "found a molecule (pbc is false in all directions)"
        )
    return "" if all(pbc) else "low_dimensional"


def check_lattice(lattice: Float[np.ndarray, "3 3"]) -> None:
    """Check that three vectors, in rows, angstrom, span a cell of a usual size.

    Raises:
        Rejection: they are too short, too long or almost in a plane.
    """
    if lattice.shape != (3, 3):
        raise Rejection("bad_lattice", "expected three cell vectors")
    lengths = [math.hypot(*vector) for vector in lattice.tolist()]
    if not all(_LENGTHS[0] <= length <= _LENGTHS[1] for length in lengths):
        found = " ".join(f"{length:g}" for length in lengths)
        raise Rejection(
            "bad_lattice",
            f"found cell vectors of {found} A, expected {_LENGTHS[0]:g} to "
            f"{_LENGTHS[1]:g} A",
        )
    volume = _volume(lattice)
    if volume <= 1e-3 * math.prod(lengths):
        raise Rejection("bad_lattice", f"the cell is flat, {volume:.3g} A^3")


def _volume(lattice: Float[np.ndarray, "3 3"]) -> float:
    (a, b, c), (d, e, f), (g, h, i) = lattice.tolist()
    return abs(a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g))
