"""The cell that the rows of a CIF make with their images under the space group."""

import re
from collections import Counter
from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from cloud_jax.structures.cell import SHORTEST_DISTANCE, Cell
from cloud_jax.structures.cif_rows import Row, Rows
from cloud_jax.structures.operations import Lattice, Operations
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import FULL, MAX_AMOUNT

_SITE_TOLERANCE = 1e-4  # fractional; images closer than this are one site, as pymatgen
_COINCIDENT = 0.01  # angstrom; images that no symmetry search tells apart
_SPLIT_DISTANCE = 0.1  # angstrom; half-occupied images further apart are alternatives
_MAX_IMAGES = 100_000  # rows times operations, before equal images are merged
_DECIMALS = re.compile(r"[+-]?\d*\.?(\d*)(?:\((\d+)\))?")


def expand(atoms: Rows, operations: Operations, lattice: Lattice) -> Cell:
    """Return the cell that rows and their images make; rows on one point are mixed.

    Images of a row that fall together within the rounding of its coordinates are one
    atom, on the special position.

    Args:
        atoms: the rows of the file.
        operations: rotations and shifts of the space group, fractional.
        lattice: cell vectors in rows, angstrom.

    Raises:
        Rejection: too many images, or not a cell (see `Cell.from_sites`).
    """
    rotations, shifts = operations
    n = len(atoms.rows)
    if len(rotations) == 1 and all(row.amount == 1.0 for row in atoms.rows):
        sites, counts = [[row] for row in atoms.rows], [1] * n
        return _cell(sites, counts, atoms.fractional, atoms.flags, lattice)
    if n * len(rotations) > _MAX_IMAGES:
        raise Rejection(
            "too_many_sites",
            f"found {n:,} rows of atoms and {len(rotations)} operations, expected at "
            f"most {_MAX_IMAGES:,} images",
        )
    points = np.empty((3, n))
    sites: list[list[Row]] = []
    orbits: list[np.ndarray] = []
    for row, point in zip(
        atoms.rows, _on_special_positions(atoms, operations, lattice), strict=True
    ):
        images = rotations @ point + shifts
        seen = points[:, None, : len(sites)]
        match = np.flatnonzero(_same_point(images.T[:, :, None], seen).any(axis=0))
        if len(match):
            sites[match[0]].append(row)
        else:
            points[:, len(sites)] = point
            sites.append([row])
            orbits.append(_distinct(images - np.floor(images)))
    counts = [len(orbit) for orbit in orbits]
    return _cell(sites, counts, np.concatenate(orbits), atoms.flags, lattice)


def _cell(
    sites: list[list[Row]],
    counts: list[int],
    fractional: Float[np.ndarray, "k 3"],
    flags: Iterable[str],
    lattice: Lattice,
) -> Cell:
    """Return the cell of sites, each given by its rows and its number of images."""
    occupants: list[list[tuple[str, float]]] = []
    labels: list[str] = []
    for rows, count in zip(sites, counts, strict=True):
        if len(rows) > 1:
            _check_amounts(rows)
        occupants += [[(row.element, row.amount) for row in rows]] * count
        labels += ["/".join([row.label for row in rows])] * count
    return Cell.from_sites(lattice, fractional, occupants, labels).flagged(*flags)


def _check_amounts(rows: list[Row]) -> None:
    """Reject rows on one point that together occupy it more than once."""
    total = sum(row.amount for row in rows)
    if total <= MAX_AMOUNT:
        return
    names = ", ".join(row.label for row in rows)
    if all(row.written == rows[0].written for row in rows):
        amounts = Counter()
        for row in rows:
            amounts[row.element] += row.amount
        raise Rejection(
            "occupancy",
            f"rows {names}: found occupancies {dict(amounts)} on one site, expected a "
            "sum in (0, 1]: is an atom listed twice?",
        )
    raise Rejection(
        "overlapping_sites",
        f"rows {names} fall on one point, occupied {total:g} times, expected at most "
        "once: list an atom without its images, or all atoms without operations",
    )


def _on_special_positions(
    atoms: Rows, operations: Operations, lattice: Lattice
) -> Float[np.ndarray, "n 3"]:
    """Return the coordinates of rows, rounded special positions made exact."""
    rotations, shifts = operations
    written = atoms.fractional
    moves = written @ rotations.transpose(0, 2, 1) + shifts[:, None] - written
    moves -= np.rint(moves)  # from each row to its images, [m, n, 3]
    same = (np.abs(moves) < _SITE_TOLERANCE).all(axis=-1)
    points = written + (moves * same[..., None]).sum(axis=0) / same.sum(axis=0)[:, None]
    distances = np.sqrt(np.square(moves @ lattice).sum(axis=-1))
    rounded = (distances < SHORTEST_DISTANCE) & ~same
    amounts = np.array([row.amount for row in atoms.rows])
    for i in np.flatnonzero(rounded.any(axis=0)):
        amount = amounts[(written == written[i]).all(axis=1)].sum()
        shift, one = _special_position(
            atoms.rows[i], amount, moves[:, i], distances[:, i], rotations
        )
        points[i] = written[i] + shift
        if amount > FULL and not one[rounded[:, i]].all():
            apart = distances[:, i][rounded[:, i] & ~one].min()
            raise Rejection(
                "overlapping_sites",
                f"{atoms.rows[i].label}: an image under the space group is {apart:.4f} "
                f"A apart, expected at least {SHORTEST_DISTANCE:g} A or the same point "
                "within the digits of the coordinates",
            )
    return points


def _special_position(
    row: Row,
    amount: float,
    moves: Float[np.ndarray, "m 3"],
    distances: Float[np.ndarray, " m"],
    rotations: Float[np.ndarray, "m 3 3"],
) -> tuple[Float[np.ndarray, " 3"], Bool[np.ndarray, " m"]]:
    """Return the shift to the special position that a row means, and its images there.

    Args:
        row: an atom with images nearer than any bond.
        amount: occupancy of its site. Above a half, such images cannot be alternatives.
        moves: from the atom to its nearest image under each operation, fractional.
        distances: their lengths, angstrom.
        rotations: of the operations, fractional.
    """
    same = (np.abs(moves) < _SITE_TOLERANCE).all(axis=-1)
    near = distances < SHORTEST_DISTANCE
    split = amount <= 0.5  # into alternatives, where the images may be told apart
    if split and _confirmed(row, same):
        near = same
    elif not _confirmed(row, near):
        change = np.abs(rotations - np.eye(3))
        reach = change @ [_last_digit(text) for text in row.written]
        if split:  # a half of the last digit is rounding; more is cutting off, or split
            reach /= 2
            near &= same | (distances < _SPLIT_DISTANCE)
        rounded = (np.abs(moves) <= reach + 1e-9).all(axis=-1)
        near &= same | rounded | (distances < _COINCIDENT)
    shift = moves[near].mean(axis=0)
    left = moves[near] + (rotations[near] - np.eye(3)) @ shift
    if (np.abs(left) < _SITE_TOLERANCE).all():
        return shift, near
    return np.zeros(3), same


def _confirmed(row: Row, here: Bool[np.ndarray, " m"]) -> bool:
    """Return whether a row says that these operations keep it in place."""
    return row.multiplicity in (here.sum(), len(here) / here.sum())


def _last_digit(text: str) -> float:
    """Return the place value of the last digit of a coordinate, or its uncertainty.

    Zeros at the end are not digits, as tables are printed with columns of one width;
    with an uncertainty, `0.3330(2)`, they are. 0 and 0.5 have two digits at least.
    """
    found = _DECIMALS.fullmatch(text)
    if not found:
        return 0.0
    decimals, uncertainty = found.groups()
    if uncertainty:
        return max(1, int(uncertainty)) / 10 ** len(decimals)
    return 10.0 ** -max(2, len(decimals.rstrip("0")))


def _same_point(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return which points are equal up to whole cells; coordinates along axis 0."""
    difference = points - other
    return (np.abs(difference - np.rint(difference)) < _SITE_TOLERANCE).all(axis=0)


def _distinct(points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "k 3"]:
    """Drop repeated images, keeping the first of each."""
    # Equal ones to the sixth digit first: that needs no table of all pairs.
    digits = np.rint(points * 10**6 + 0.1).astype(int) % 10**6
    _, first = np.unique(digits @ [10**12, 10**6, 1], return_index=True)
    points = points[np.sort(first)]
    same = _same_point(points.T[:, :, None], points.T[:, None])
    return points[same.argmax(axis=0) == np.arange(len(points))]
