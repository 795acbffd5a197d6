"""Symmetry operations as arrays: whether they are a group, and fit a cell."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import gemmi
import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import SHORTEST_DISTANCE
from cloud_jax.structures.rejection import Rejection

_MAX_OPERATIONS = 8 * 192  # of the largest groups, in a cell twice as long each way
_MAX_DISTANCES = 20_000_000  # between points and their images; a second
_METRIC_TOLERANCE = 0.01  # half a percent of a length, half a degree

Operations = tuple[Float[np.ndarray, "m 3 3"], Float[np.ndarray, "m 3"]]
Lattice = Float[np.ndarray, "3 3"]


def as_arrays(operations: Iterable[gemmi.Op]) -> Operations:
    """Return the rotations and shifts of operations, fractional."""
    operations = list(operations)
    rotations = np.array([op.rot for op in operations]) / gemmi.Op.DEN
    return rotations, np.array([op.tran for op in operations]) / gemmi.Op.DEN


def misfit(operations: Operations, lattice: Lattice) -> str:
    """Say which operation changes lengths or angles of a cell; empty if none does.

    Args:
        operations: rotations and shifts, fractional.
        lattice: cell vectors in rows, angstrom; rounded ones pass.
    """
    rotations, _ = operations
    if len(rotations) == 1:  # the identity
        return ""
    metric = lattice @ lattice.T
    lengths = np.sqrt(metric.diagonal())
    change = rotations.transpose(0, 2, 1) @ metric @ rotations - metric
    worst = np.abs(change / np.outer(lengths, lengths)).max(axis=(1, 2))
    if worst.max() < _METRIC_TOLERANCE:
        return ""
    cell = " ".join(f"{value:g}" for value in (*lengths, *_angles(metric, lengths)))
    operation = _triplet(rotations[worst.argmax()])
    return f"{operation} does not fit the cell {cell}; correct the one or the other"


def extend(operations: Operations, others: Operations) -> bool:
    """Return whether operations hold all the others and more."""
    return len(operations[0]) > len(others[0]) and _set(operations) > _set(others)


def n_rotations(operations: Operations) -> int:
    """Return the number of different rotations: operations without centrings."""
    return len(np.unique(operations[0], axis=0))


def _set(operations: Operations) -> set[tuple[int, ...]]:
    rotations, shifts = operations
    parts = np.concatenate([rotations.reshape(-1, 9), shifts % 1], axis=1)
    return set(map(tuple, np.rint(parts * gemmi.Op.DEN).astype(int).tolist()))


def permute(
    operations: Operations, points: Float[np.ndarray, "n 3"], lattice: Lattice
) -> bool:
    """Return whether operations take every point near to one of the points.

    Args:
        operations: rotations and shifts, fractional.
        points: fractional coordinates; of too many, the answer is no.
        lattice: cell vectors in rows, angstrom.
    """
    if len(points) ** 2 * len(operations[0]) > _MAX_DISTANCES:
        return False
    for rotation, shift in zip(*operations, strict=True):
        steps = (points @ rotation.T + shift)[:, None] - points
        steps = (steps - np.rint(steps)) @ lattice
        if (steps**2).sum(axis=-1).min(axis=1).max() > SHORTEST_DISTANCE**2:
            return False
    return True


def _angles(metric: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    cosines = metric / np.outer(lengths, lengths)
    return np.degrees(np.arccos(cosines[[1, 0, 0], [2, 2, 1]])).round(3)


def _triplet(rotation: Float[np.ndarray, "3 3"]) -> str:
    op = gemmi.Op()
    op.rot = np.rint(rotation * gemmi.Op.DEN).astype(int).tolist()
    return op.triplet()


@lru_cache(maxsize=512)  # the lists of the 230 groups come again and again
def parse_operations(
    tag: str, triplets: tuple[str, ...], centrings: tuple[str, ...] = ()
) -> tuple[Operations, str]:
    """Parse listed operations, time reversal dropped.

    Returns:
        The operations, and why they are no group; empty if they are one.
    """
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
    operations = list({op.wrap().triplet(): op for op in operations}.values())
    missing = _not_closed(operations)
    if missing:
        missing = f"the {len(operations)} operations are no group: {missing}"
    return as_arrays(operations), missing


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
