"""The symmetry search of moyopy: Rust, several times as fast as spglib.

    pip install moyopy

Wyckoff letters are those of the setting that spglib takes, the smallest Hall number of
the group. The two differ in three ways (`scripts/check_sentences.py` counts them):

- of origins and axes that the group's normaliser makes equal they may take different
  ones, so the paper dialect may differ; the canonical one does not hang on it;
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

# moyopy multiplies the lattice symmetries that it finds until they close, and where
# the tolerance of angles lets in shears they never do: it runs for ever. A shear moves
# lattice points by a good part of a lattice vector, which is 2 angstrom at least: an
# angle that moves them by a tenth of that is no shear, nor half or a quarter of one.
_MAX_DISPLACEMENT = 0.2  # angstrom


@cache
def moyopy() -> ModuleType:
    """Import moyopy.

    Raises:
        ModuleNotFoundError: it is not installed; the message says how to.
    """
    try:
        import moyopy as module
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'symmetry="moyopy" needs the package moyopy, which is not installed: '
            'pip install moyopy, or use symmetry="spglib"',
            name="moyopy",
        ) from error
    # It warns of each tolerance that it lowers; the record says so as well.
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
        fractional: fractional coordinates.
        kinds: equal numbers for equal atoms.
        symprec: angstrom.
        angle_tolerance: degrees, lowered in long cells to an angle that moves the end
            of the longest vector by 0.2 angstrom; below 0 leaves it to moyopy.

    Returns:
        What was found, None if nothing was.

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
        letters=dataset.wyckoffs,
        orbits=dataset.orbits,
        n_primitive=max(dataset.mapping_std_prim) + 1,
        symprec=dataset.symprec,
    )
