"""The symmetry operations that a CIF lists, names or numbers."""

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

import gemmi
import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cif_text import string, strings
from cloud_jax.structures.rejection import Rejection

_MAX_OPERATIONS = 8 * 192  # of the largest groups, in a cell twice as long each way
_OPERATIONS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
)
# Magnetic CIFs: operations with a time reversal, and centrings to combine them with.
_MAGNETIC = (
    ("_space_group_symop_magn_operation.xyz", "_space_group_symop_magn_centering.xyz"),
    ("_space_group_symop.magn_operation_xyz", "_space_group_symop.magn_centering_xyz"),
    ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz"),
)
_HALL_NAMES = ("_symmetry_space_group_name_Hall", "_space_group_name_Hall")
_SPACE_GROUP_NAMES = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt")
_SPACE_GROUP_NUMBERS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")

Operations = tuple[Float[np.ndarray, "m 3 3"], Float[np.ndarray, "m 3"]]


def operations_of(block: gemmi.cif.Block) -> Operations:
    """Return the operations that a block lists, names or numbers, in that order."""
    for tag in _OPERATIONS:
        if triplets := strings(block, tag):
            return _listed(tag, tuple(triplets))
    for tag, centring_tag in _MAGNETIC:
        if triplets := strings(block, tag):
            centrings = strings(block, centring_tag)
            return _listed(tag, tuple(triplets), tuple(centrings))
    for tag in _HALL_NAMES:
        with suppress(RuntimeError, ValueError):  # then the other name has to do
            if name := string(block, tag):
                return _arrays(gemmi.symops_from_hall(name))
    for tag in _SPACE_GROUP_NAMES:
        if name := string(block, tag):
            return _operations_of_name(block, tag, name)
    for tag in _SPACE_GROUP_NUMBERS:
        number = gemmi.cif.as_number(block.find_value(tag) or "?")
        if number in range(1, 231):
            group = gemmi.find_spacegroup_by_number(int(number))
            return _arrays(group.operations())
    return _arrays([gemmi.Op("x,y,z")])


@lru_cache(maxsize=512)  # the lists of the 230 groups come again and again
def _listed(
    tag: str, triplets: tuple[str, ...], centrings: tuple[str, ...] = ()
) -> Operations:
    """Parse listed operations, time reversal dropped, and check that they close."""
    try:
        operations = [gemmi.Op(",".join(t.split(",")[:3])) for t in triplets]
        shifts = [gemmi.Op(",".join(t.split(",")[:3])) for t in centrings]
    except (RuntimeError, ValueError) as error:
        raise Rejection("bad_symmetry", f"{tag}: {str(error)[:200]}") from None
    count = len(operations) * max(1, len(shifts))
    if count > _MAX_OPERATIONS:
        raise Rejection(
            "bad_symmetry",
            f"{tag}: found {count:,} operations, a space group has at most 192",
        )
    if shifts:
        operations = [a * b for a in shifts for b in operations]
    missing = _not_closed(operations)
    if missing:
        raise Rejection(
            "bad_symmetry",
            f"{tag}: the {len(operations)} operations are no group: {missing}",
        )
    return _arrays(operations)


def _not_closed(operations: Sequence[gemmi.Op]) -> str:
    """Say why a list of operations is no space group; empty if it is one."""
    for op in operations:
        if abs(op.det_rot()) != gemmi.Op.DEN**3:
            return f"{op.triplet()} changes the volume"
    rotations = np.array([op.rot for op in operations]) // gemmi.Op.DEN
    shifts = np.array([op.tran for op in operations])
    # One number an operation; those of a group are closed under multiplication.
    weights = 31 ** np.arange(12)

    def numbers(r: np.ndarray, t: np.ndarray) -> np.ndarray:
        parts = np.concatenate([r.reshape(*r.shape[:-2], 9), t % gemmi.Op.DEN], axis=-1)
        return parts @ weights

    products = numbers(
        rotations[:, None] @ rotations[None],
        np.einsum("aij,bj->abi", rotations, shifts) + shifts[:, None],
    )
    outside = ~np.isin(products, numbers(rotations, shifts))
    if not outside.any():
        return ""
    first, second = (operations[i] for i in np.argwhere(outside)[0])
    product = (first * second).wrap()
    return (
        f"{first.triplet()} after {second.triplet()} is {product.triplet()}, which is "
        "not listed"
    )


def _arrays(operations: Sequence[gemmi.Op]) -> Operations:
    operations = list(operations)
    rotations = np.array([op.rot for op in operations]) / gemmi.Op.DEN
    return rotations, np.array([op.tran for op in operations]) / gemmi.Op.DEN


def _operations_of_name(block: gemmi.cif.Block, tag: str, name: str) -> Operations:
    alpha, gamma = (
        gemmi.cif.as_number(block.find_value(f"_cell_angle_{angle}") or "?")
        for angle in ("alpha", "gamma")
    )
    # ICSD marks the origin choice by a last letter: S for the first, Z the second.
    usual = re.sub(r"\s+S$", ":1", re.sub(r"\s+Z$", ":2", name.replace("_", "")))
    group = gemmi.find_spacegroup_by_name(usual, alpha, gamma)
    if group is None:
        raise Rejection(
            "bad_symmetry",
            f"{tag}: found {name!r}, which is no space group we know, and no list of "
            "operations; add _symmetry_equiv_pos_as_xyz rows",
        )
    return _arrays(group.operations())
