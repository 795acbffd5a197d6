"""The symmetry search of moyopy, a Rust package several times as fast as spglib.

    pip install moyopy

Wyckoff letters are those of the setting that spglib uses, the smallest Hall number of
the group. The two differ in three ways (`scripts/check_sentences.py` counts them):

- they may choose different origins and axes among those that the group's normaliser
  makes equal, so the paper dialect may differ; the canonical one does not;
- moyopy measures how far atoms miss their images after the best translation, spglib
  after the one that brings a first atom to its place: at one tolerance moyopy may find
  the higher symmetry of a crystal that nearly has it;
- where the operations found form no group, spglib lowers the tolerance by 5 % and
  moyopy by half, until they do.
"""

import logging
from functools import cache
from math import hypot, radians
from types import ModuleType

import numpy as np
from jaxtyping import Float, Int

from cloud_jax.scope.record import Sites

# moyopy multiplies the lattice symmetries that it finds until they close. If the
# angle tolerance admits a shear they never close, and moyopy never returns. A shear
# moves lattice points by a good part of a lattice vector, which is at least 2 angstrom:
# a tenth of that excludes shears, also by half or a quarter of a vector.
_MAX_DISPLACEMENT = 0.2  # angstrom


@cache
def moyopy() -> ModuleType:
    """Import moyopy and return the module.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    try:
        import moyopy as module
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'symmetry="moyopy" needs the package moyopy, which is not installed: '
            'pip install moyopy, or use symmetry="spglib"',
            name="moyopy",
        ) from error
    # It warns of each lowered tolerance, which the record flags already.
    logging.getLogger("moyo").setLevel(logging.ERROR)
    return module


def find(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: Int[np.ndarray, " n"] | list[int],
    symprec: float,
    angle_tolerance: float,
) -> Sites | None:
    """Search the symmetry of a cell.

    Args:
        lattice: cell vectors in rows, angstrom.
        fractional: fractional coordinates, one row per atom.
        kinds: equal numbers for equal atoms.
        symprec: distance tolerance, angstrom.
        angle_tolerance: degrees, lowered in long cells to an angle that moves the end
            of the longest vector by 0.2 angstrom; below 0 leaves it to moyopy.

    Returns:
        The symmetry of each site, None if no space group was found.

    Raises:
        ModuleNotFoundError: moyopy is not installed.
    """
    moyo = moyopy()
    basis = lattice.tolist()
    angle = None
    if angle_tolerance >= 0:
        longest = max(hypot(*vector) for vector in basis)
        angle = min(radians(angle_tolerance), _MAX_DISPLACEMENT / longest)
    try:
        dataset = moyo.MoyoDataset(
            moyo.Cell(basis, fractional.tolist(), kinds),
            symprec=symprec,
            angle_tolerance=angle,
            setting=moyo.Setting.spglib(),
            rotate_basis=False,
        )
    except ValueError:
        return None
    return Sites(
        space_group=dataset.number,
        n_primitive=max(dataset.mapping_std_prim) + 1,
        letters=dataset.wyckoffs,
        orbits=dataset.orbits,
        symprec=dataset.symprec,
        angle_tolerance=angle_tolerance,
    )
