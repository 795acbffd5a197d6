"""Symmetries of a lattice within tolerances, as spglib counts them.

Two criteria say whether a matrix maps a lattice onto itself: lengths of vectors must
agree within a distance, and angles between them within an angle. An angle of several
degrees admits the shears of a slightly strained lattice, and their products are not
always among them: then spglib tries smaller tolerances for half a minute and fails.
"""

import math
from itertools import product

import numpy as np
from jaxtyping import Bool, Float, Int

_VECTORS = np.array([v for v in product((-1, 0, 1), repeat=3) if any(v)])  # [26, 3]
_EDGES = np.array([_VECTORS.tolist().index(row) for row in np.eye(3).tolist()])
_PAIRS = np.array([[0, 0, 1], [1, 2, 2]])  # of edges: the three corners
# Few, and of no plane or axis that a symmetry might leave in place.
_REFLECTIONS = np.array([[1, 1, 1], [2, 1, 1], [1, 2, 1], [1, 2, 3]])
_MOST = 48  # symmetries of a cubic lattice
_NONE = np.empty((0, 3, 3), dtype=int), np.empty(0, dtype=bool)


def symmetries(
    basis: Float[np.ndarray, "3 3"],
    symprec: float,
    angle_tolerance: float,
    *,
    if_strained: bool = False,
) -> tuple[Int[np.ndarray, "m 3 3"], Bool[np.ndarray, " m"]]:
    """Return the symmetries of a lattice, and whether each strains it.

    Args:
        basis: reduced primitive vectors in rows, angstrom.
        symprec: distance tolerance, angstrom.
        angle_tolerance: degrees; below 0 the distance limits angles too.
        if_strained: return none where none strains the lattice, which is quick.

    Returns:
        Matrices that act on the rows of the basis, and whether one moves the end of a
        vector by more than the distance tolerance.
    """
    vectors = _VECTORS @ basis
    products = vectors @ vectors.T
    length = np.sqrt(products.diagonal())
    cosine = products / np.multiply.outer(length, length)
    angle = np.arccos(np.minimum(np.maximum(cosine, -1.0), 1.0))
    like = np.abs(length - length[_EDGES, None]) < symprec  # [3, 26]
    first, second = _EDGES[_PAIRS]
    turn = np.abs(angle - angle[first, second][:, None, None])  # [3, 26, 26]
    near = (2 * symprec / (length[first] + length[second]))[:, None, None]
    limit = math.radians(angle_tolerance) if angle_tolerance > 0 else near
    fits = like[_PAIRS[0], :, None] & like[_PAIRS[1], None] & (turn < limit)
    strains = fits & (turn >= near)
    if if_strained and not strains.any():
        return _NONE
    ab, ac, bc = fits
    found = np.argwhere(ab[:, :, None] & ac[:, None] & bc)
    u, v, w = found.T
    strained = strains[0, u, v] | strains[1, u, w] | strains[2, v, w]
    matrices = _VECTORS[found]
    proper = np.abs(np.rint(np.linalg.det(matrices))) == 1
    return matrices[proper], strained[proper]


def is_group(matrices: Int[np.ndarray, "m 3 3"]) -> bool:
    """Return whether the product of any two matrices is among them."""
    if len(matrices) > _MOST:
        return False
    products = np.einsum("aij,bjk->abik", matrices, matrices).reshape(-1, 9)
    known = {tuple(matrix) for matrix in matrices.reshape(-1, 9).tolist()}
    return known.issuperset(map(tuple, products.tolist()))


def kept_by_crystal(
    matrices: Int[np.ndarray, "m 3 3"],
    basis: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    symprec: float,
) -> Bool[np.ndarray, " m"]:
    """Return which symmetries of a lattice its crystal may have, quickly.

    A symmetry of a crystal maps each of its reflections on one of equal strength. A few
    reflections are compared, within the change when atoms are off by twice the
    distance tolerance.

    Args:
        matrices: act on the rows of the basis.
        basis: primitive vectors in rows, angstrom.
        fractional: coordinates in that basis.
        kinds: equal numbers for equal atoms.
        symprec: distance tolerance, angstrom.
    """

    def strength(waves: Int[np.ndarray, "... 3"]) -> Float[np.ndarray, "..."]:
        phases = np.exp(2j * np.pi * (waves @ fractional.T))
        return np.abs(phases @ kinds) / kinds.sum()

    differ = strength(_REFLECTIONS @ matrices.swapaxes(1, 2)) - strength(_REFLECTIONS)
    lengths = 2 * np.pi * np.linalg.norm(_REFLECTIONS @ np.linalg.inv(basis).T, axis=1)
    return (np.abs(differ) < 2 * symprec * lengths).all(axis=1)
