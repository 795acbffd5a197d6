"""The symmetry search: which package, at which tolerances, on which description."""

from functools import cache
from typing import NamedTuple

import numpy as np
import spglib
from jaxtyping import Float, Int

from cloud_jax.scope import lattice_symmetry, moyo
from cloud_jax.scope.description import kinds_by_surroundings, standard_description
from cloud_jax.scope.record import Sites
from cloud_jax.scope.space_groups import point_group_order
from cloud_jax.structures.rejection import Rejection

# Lattice vectors in rows, fractional coordinates, kinds: what spglib takes.
Crystal = tuple[
    Float[np.ndarray, "3 3"], Float[np.ndarray, "n 3"], Int[np.ndarray, " n"]
]
FINDERS = ("spglib", "moyopy")
_LADDER = (1.0, 0.1, 0.01)  # factors on symprec, tried until a group is found
LARGE = 500  # atoms; of larger cells kinds tell surroundings apart, for speed
_GAP = 5.0  # tolerances between surroundings that count as different
# Tolerances that atoms are off their symmetric places, at most: in a clean crystal, and
# where four of them together stay within the tolerance of a symmetry.
_CLEAN, _SURE = 0.05, 0.25
_TRICLINIC, _MONOCLINIC, _HEXAGONAL = 2, 15, 194  # the last group of each


class Search(NamedTuple):
    """Settings of a symmetry search.

    Attributes:
        symmetry: package that searches, `spglib` or `moyopy`.
        symprec: distance tolerance, angstrom.
        angle_tolerance: degrees; below 0 leaves it to the package.
        as_given: whether the description given is searched whatever comes out.
    """

    symmetry: str
    symprec: float
    angle_tolerance: float
    as_given: bool


@cache
def finder(symmetry: str) -> str:
    """Return name and version of the package that searches, as `spglib 2.8.0`.

    Raises:
        ValueError: neither `spglib` nor `moyopy`.
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    if symmetry not in FINDERS:
        raise ValueError(f"symmetry={symmetry!r}: expected one of {FINDERS}")
    package = spglib if symmetry == "spglib" else moyo.moyopy()
    return f"{symmetry} {package.__version__}"


def find_sites(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    search: Search,
) -> Sites:
    """Find the symmetry of a cell, lowering the tolerance until there is one.

    Where atoms are so far from their symmetric places that another description of the
    crystal might give another group, its standard description decides.

    Args:
        lattice: cell vectors in rows, angstrom.
        fractional: fractional coordinates.
        kinds: equal numbers for equal atoms.
        search: package and tolerances.

    Raises:
        Rejection: no space group found.
    """
    large = len(kinds) > LARGE
    if large:
        gap = _GAP * search.symprec
        kinds = kinds_by_surroundings(lattice, fractional, kinds, gap)
    given = _descend(lattice, fractional, kinds, search)
    if search.as_given or not given.uncertain:
        return given
    reduced, moved, order = standard_description(
        lattice, fractional, kinds, coarse=large
    )
    # The first atom decides what spglib finds: try the two extremes.
    orders = order, order[::-1]
    found = [_descend(reduced, moved[o], kinds[o], search) for o in orders]
    best = int(_symmetry(found[1]) > _symmetry(found[0]))
    sites, back = found[best], np.argsort(orders[best])
    if _symmetry(sites) == _symmetry(given) and sites[:2] == given[:2]:
        return given._replace(uncertain=False)
    return sites._replace(
        letters=[sites.letters[i] for i in back],
        orbits=[sites.orbits[i] for i in back],
        uncertain=True,
    )


def _symmetry(sites: Sites) -> tuple[float, int]:
    """Return what is greater for a higher symmetry: per atom, and of fewer orbits."""
    per_atom = point_group_order(sites.space_group) / sites.n_primitive
    return per_atom, -len(set(sites.orbits))


def _descend(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    search: Search,
) -> Sites:
    """Search at lower and lower tolerances until a group is found."""
    find = _spglib if search.symmetry == "spglib" else moyo.find
    tolerances = [search.symprec * factor for factor in _LADDER]
    for symprec in tolerances:
        sites = find(lattice, fractional, kinds, symprec, search.angle_tolerance)
        if sites is not None:
            return sites
    raise Rejection(
        "symmetry_failed",
        f"{search.symmetry} finds no space group at symprec "
        f"{tolerances[0]:g}, {tolerances[1]:g} or {tolerances[2]:g}",
    )


def _spglib(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    symprec: float,
    angle_tolerance: float,
) -> Sites | None:
    cell = lattice, fractional, kinds
    # Without an angle the search ends soon. With one it finds more where the crystal
    # keeps the symmetries of a lattice that is strained within the angle, and does not
    # end where these form no group.
    dataset, angle = _dataset(cell, symprec, -1.0), angle_tolerance
    if dataset is None:
        return None
    if angle > 0 and _is_oblique(dataset):
        basis = spglib.delaunay_reduce(dataset.primitive_lattice)
        matrices, strained = lattice_symmetry.symmetries(
            basis, symprec, angle, if_strained=True
        )
        if _n_kept(matrices[strained], basis, cell, symprec):
            if lattice_symmetry.is_group(matrices):
                dataset = _dataset(cell, symprec, angle) or dataset
            else:
                angle = -1.0
    n_primitive = int(dataset.mapping_to_primitive.max()) + 1
    # With one atom of a kind there is no other to begin with.
    begins = np.bincount(kinds)[1:].min() * n_primitive / len(kinds)
    return Sites(
        space_group=int(dataset.number),
        n_primitive=n_primitive,
        letters=dataset.wyckoffs,
        orbits=dataset.crystallographic_orbits.tolist(),
        symprec=symprec,
        angle_tolerance=angle,
        uncertain=begins > 1 and _is_uncertain(dataset, cell, symprec, angle),
    )


def _is_uncertain(
    dataset: spglib.SpglibDataset, cell: Crystal, symprec: float, angle: float
) -> bool:
    """Return whether a search that begins with another atom may find another group."""
    deviation = _deviation(dataset, cell[1])
    if deviation > _SURE * symprec or dataset.number == 1:
        return True
    if deviation < _CLEAN * symprec and dataset.number > _TRICLINIC:
        return False
    # The group is found from any atom. A higher one needs a lattice that has it.
    basis = spglib.delaunay_reduce(dataset.primitive_lattice)
    matrices, _ = lattice_symmetry.symmetries(basis, symprec, angle)
    own = {rotation.tobytes() for rotation in dataset.rotations}
    own |= {(-rotation).tobytes() for rotation in dataset.rotations}
    return len(own) < len(matrices) and len(own) < _n_kept(
        matrices, basis, cell, symprec
    )


def _dataset(
    cell: Crystal, symprec: float, angle_tolerance: float
) -> spglib.SpglibDataset | None:
    try:
        dataset = spglib.get_symmetry_dataset(cell, symprec, angle_tolerance)
    except spglib.SpglibError:
        return None
    return dataset if dataset is not None and dataset.number else None


def _is_oblique(dataset: spglib.SpglibDataset) -> bool:
    """Return whether angles between primitive vectors of equal length may vary."""
    number = dataset.number
    right = number > _MONOCLINIC and dataset.international[0] == "P"
    return not right and number <= _HEXAGONAL


def _n_kept(
    matrices: Int[np.ndarray, "m 3 3"],
    basis: Float[np.ndarray, "3 3"],
    cell: Crystal,
    symprec: float,
) -> int:
    """Return how many symmetries of its lattice a crystal or its inverse may keep."""
    if not len(matrices):
        return 0
    lattice, fractional, kinds = cell
    coordinates = fractional @ lattice @ np.linalg.inv(basis)
    kept = lattice_symmetry.kept_by_crystal(
        matrices, basis, coordinates, kinds, symprec
    )
    return int(np.count_nonzero(kept))


def _deviation(
    dataset: spglib.SpglibDataset, fractional: Float[np.ndarray, "n 3"]
) -> float:
    """Return how far the worst atom is, along an axis, from its symmetric place, A."""
    standard = fractional @ dataset.transformation_matrix.T + dataset.origin_shift
    to_primitive = dataset.std_mapping_to_primitive
    representative = np.empty(to_primitive.max() + 1, dtype=int)
    representative[to_primitive] = np.arange(len(to_primitive))
    ideal = dataset.std_positions[representative[dataset.mapping_to_primitive]]
    # Centring moves atoms by halves and thirds, which is no deviation.
    off = 6 * (standard - ideal)
    off -= np.rint(off)
    return float(np.abs(off @ dataset.std_lattice).max()) / 6
