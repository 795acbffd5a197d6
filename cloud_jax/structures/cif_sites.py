"""The atoms of a CIF: rows, species, and their images under the operations."""

from dataclasses import dataclass

import gemmi
import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import FARTHEST, MAX_SITES, Cell
from cloud_jax.structures.operations import Lattice, Operations
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import Occupants

_SITE_TOLERANCE = 1e-4  # fractional; images closer than this are one site, as pymatgen
_FRACTION_TOLERANCE = 1e-4  # 0.3333 is meant as 1/3 when this close, relative
_MAX_IMAGES = 100_000  # rows times operations, before equal images are merged
_FRACTIONAL = ["fract_x", "fract_y", "fract_z"]


@dataclass(frozen=True)
class Rows:
    """The atoms that a data block lists, those of occupancy 0 left out.

    Attributes:
        fractional: fractional coordinates, [n, 3].
        sites: the (symbol, occupancy) of each row.
    """

    fractional: Float[np.ndarray, "n 3"]
    sites: list[Occupants]


def atom_table(block: gemmi.cif.Block) -> gemmi.cif.Table:
    """Return the fractional coordinates of a block as text; empty without atoms."""
    return block.find("_atom_site_", _FRACTIONAL)


def read_rows(block: gemmi.cif.Block) -> Rows:
    """Read the atoms of a block.

    Raises:
        Rejection: too many, none, or values that are no atoms.
    """
    table = atom_table(block)
    if len(table) > MAX_SITES:
        raise Rejection(
            "too_many_sites",
            f"found {len(table):,} rows of atoms, expected at most {MAX_SITES:,}",
        )
    fractional = np.array([[gemmi.cif.as_number(v) for v in row] for row in table])
    sites = _occupants(block, len(fractional))
    present = np.array([amount != 0.0 for ((_, amount),) in sites])
    if not present.any():
        raise Rejection("no_atoms", "all atoms have occupancy 0")
    if not present.all():  # listed, but not there
        table = [row for row, here in zip(table, present, strict=True) if here]
        sites = [site for site in sites if site[0][1] != 0.0]
        fractional = fractional[present]
    if not np.abs(fractional).max() <= FARTHEST:  # NaN neither
        usable = (np.abs(fractional) <= FARTHEST).all(axis=1)
        row = int(np.flatnonzero(~usable)[0])
        raise Rejection(
            "bad_coordinates",
            f"atom {row + 1} ({sites[row][0][0]}): found {', '.join(table[row])}, "
            "expected three numbers, such as 0.3333 or 0.3333(2)",
        )
    for ideal in (1 / 3, 2 / 3):
        fractional[np.abs(fractional / ideal - 1) <= _FRACTION_TOLERANCE] = ideal
    return Rows(fractional, sites)


def _occupants(block: gemmi.cif.Block, n: int) -> list[Occupants]:
    symbols = block.find_values("_atom_site_type_symbol")
    if not len(symbols):
        symbols = block.find_values("_atom_site_label")
    if len(symbols) != n:
        raise Rejection(
            "unreadable",
            "found neither _atom_site_type_symbol nor _atom_site_label beside the "
            "coordinates",
        )
    values = block.find_values("_atom_site_occupancy")
    amounts = [_occupancy(v) for v in values] if len(values) else [1.0] * n
    return [
        ((gemmi.cif.as_string(symbol), amount),)
        for symbol, amount in zip(symbols, amounts, strict=True)
    ]


def _occupancy(value: str) -> float:
    amount = 1.0 if gemmi.cif.is_null(value) else gemmi.cif.as_number(value)
    if not 0 <= amount <= 1.005:  # NaN neither; rounded sums may pass one a little
        raise Rejection(
            "occupancy", f"found occupancy {value}, expected a number from 0 to 1"
        )
    return amount


def expand(rows: Rows, operations: Operations, lattice: Lattice) -> Cell:
    """Return the cell that rows and their images make; rows on one point are mixed.

    Args:
        rows: the atoms of the file.
        operations: rotations and shifts of the space group, fractional.
        lattice: cell vectors in rows, angstrom.

    Raises:
        Rejection: too many images, or no cell (see `Cell.from_sites`).
    """
    fractional, sites = rows.fractional, rows.sites
    rotations, shifts = operations
    if len(rotations) == 1 and all(amount == 1.0 for ((_, amount),) in sites):
        return Cell.from_sites(lattice, fractional, sites)
    if len(fractional) * len(rotations) > _MAX_IMAGES:
        raise Rejection(
            "too_many_sites",
            f"found {len(fractional):,} rows of atoms and {len(rotations)} operations, "
            f"expected at most {_MAX_IMAGES:,} images",
        )
    points = np.empty_like(fractional)
    images: list[np.ndarray] = []
    occupants: list[Occupants] = []
    for point, site in zip(fractional, sites, strict=True):
        orbit = rotations @ point + shifts
        seen = points[: len(occupants)]
        match = np.flatnonzero(_same_point(orbit[:, None], seen).any(axis=0))
        if len(match):
            occupants[match[0]] += site
        else:
            points[len(occupants)] = point
            images.append(_distinct(orbit - np.floor(orbit)))
            occupants.append(site)
    expanded = [
        site
        for site, orbit in zip(occupants, images, strict=True)
        for _ in range(len(orbit))
    ]
    return Cell.from_sites(lattice, np.concatenate(images), expanded)


def _same_point(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    difference = points - other
    return (np.abs(difference - np.rint(difference)) < _SITE_TOLERANCE).all(axis=-1)


def _distinct(points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "k 3"]:
    """Drop repeated images, keeping the first of each."""
    same = _same_point(points[:, None], points[None])
    return points[~np.triu(same, k=1).any(axis=0)]
