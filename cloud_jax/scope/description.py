"""One description for every description of the same crystal.

The result of a symmetry search depends on the description where atoms lie about as far
from their symmetric places as the tolerance allows: spglib compares all atoms with the
first one of a kind, and adds up their displacements. Here atoms are sorted by their
surroundings and the cell is reduced, so that neither their order nor origin, axes,
rotation or hand remain.
"""

import numpy as np
import spglib
from jaxtyping import Float, Int

_RESOLUTION = 4.0  # 1 / angstrom; waves shorter than 1.6 angstrom are left out
_COARSE = 2.0  # of cells with many atoms
_CHUNK = 2**22  # waves times atoms: 64 MB of complex numbers


def surroundings(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    *,
    coarse: bool = False,
) -> Float[np.ndarray, " n"]:
    """Return one number per atom that says what surrounds it.

    It is the sum over all atoms j of a smooth function of their distance, times a
    weight of their kind: sum_G w(|G|) Re(exp(-i G r) sum_j q_j exp(i G r_j)). The sum
    runs over all waves G up to a cutoff where w ends, so it depends neither on the cell
    nor on its orientation. A neighbour that moves by x changes it by at most x times
    its weight.

    Args:
        lattice: cell vectors in rows, angstrom.
        fractional: fractional coordinates.
        kinds: equal numbers for equal atoms.
        coarse: take longer waves, an eighth as many.
    """
    cutoff = _COARSE if coarse else _RESOLUTION
    reciprocal = 2 * np.pi * np.linalg.inv(lattice).T
    highest = (cutoff * np.linalg.norm(lattice, axis=1) / (2 * np.pi)).astype(int)
    axes = [np.arange(-n, n + 1) for n in highest]
    axes[0] = axes[0][highest[0] :]  # the other half are complex conjugates
    waves = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    square = np.square(waves @ reciprocal).sum(axis=1)
    inside = (square > 0) & (square < cutoff**2)
    waves, square = waves[inside], square[inside]
    weight = np.where(waves[:, 0] > 0, 2, 1) * (1 - square / cutoff**2) ** 2
    charge = 1 + kinds / np.pi  # no two sums of few of them are equal
    values = np.zeros(len(kinds))
    step = max(1, _CHUNK // len(kinds))
    for start in range(0, len(waves), step):
        chunk = slice(start, start + step)
        phases = np.exp(2j * np.pi * (fractional @ waves[chunk].T))
        values += (phases.conj() @ (weight[chunk] * (charge @ phases))).real
    return values / max(weight @ np.sqrt(square), 1e-9)


def standard_description(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    *,
    coarse: bool = False,
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, "n 3"], Int[np.ndarray, " n"]]:
    """Return the Niggli cell, coordinates in it, and the order of the atoms.

    Coordinates are those of the atoms given; the order sorts them by kind and
    surroundings.
    """
    order = np.lexsort((surroundings(lattice, fractional, kinds, coarse=coarse), kinds))
    reduced = spglib.niggli_reduce(lattice)
    if reduced is None:
        return lattice, fractional, order
    return reduced, fractional @ lattice @ np.linalg.inv(reduced), order


def kinds_by_surroundings(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"],
    gap: float,
) -> Int[np.ndarray, " n"]:
    """Return kinds that also tell atoms in different surroundings apart.

    The time of a symmetry search grows with the number of atoms of the rarest kind. In
    a large cell with one vacancy these are now its few neighbours.

    Args:
        lattice: cell vectors in rows, angstrom.
        fractional: fractional coordinates.
        kinds: equal numbers for equal atoms.
        gap: between the surroundings of atoms that count as different, angstrom.
    """
    values = surroundings(lattice, fractional, kinds, coarse=True)
    order = np.lexsort((values, kinds))
    new = (np.diff(values[order]) > gap) | (np.diff(kinds[order]) > 0)
    refined = np.empty_like(kinds)
    refined[order] = np.concatenate([[1], 1 + np.cumsum(new)])
    return refined
