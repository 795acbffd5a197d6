"""CIFs to cells: what pymatgen's parser gives, an order of magnitude faster."""

import math

import gemmi
import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import Cell, check_lattice
from cloud_jax.structures.cif_formula import Contents
from cloud_jax.structures.cif_rows import Rows, atom_table, read_rows
from cloud_jax.structures.cif_sites import expand
from cloud_jax.structures.cif_symmetry import IDENTITY, REPAIRED, readings_of
from cloud_jax.structures.cif_text import number, parse
from cloud_jax.structures.operations import Lattice, Operations, permute
from cloud_jax.structures.rejection import Rejection

_MOST_ROWS = 500  # of a file for which other readings are tried; with more, for seconds


def read_cif(text: str) -> Cell:
    """Read the first data block of a CIF that holds atoms.

    Where there are more, the cell is flagged `first_of_several`. Symmetry must fit the
    lattice, and the atoms the formula and Z; `flags.FLAGS` says what else is flagged.

    The result is what pymatgen's parser gives: sites are expanded by the listed
    operations, images closer than 1e-4 merged, and coordinates within 1e-4 of 1/3 or
    2/3 snapped to them.

    Raises:
        Rejection: not a CIF, no atoms, or values that are no structure.
    """
    filled = [block for block in parse(text) if len(atom_table(block))]
    if not filled:
        raise Rejection(
            "no_atoms", "found no data block with _atom_site_fract_x, _y and _z rows"
        )
    cell = _read_block(filled[0])
    if len(filled) > 1:
        cell = cell.flagged("first_of_several")
    return cell


def _read_block(block: gemmi.cif.Block) -> Cell:
    """Return the crystal of the first reading that agrees with what the block says."""
    rows, lattice = read_rows(block), _lattice(block)
    contents = Contents.of_block(block)
    doubtful: list[Cell] = []
    refused: list[Rejection] = []
    for readings in readings_of(block, lattice):
        if doubtful and not contents.could_be_those_of(doubtful[0]):
            break  # no symmetry adds an element
        if readings.unique and len(rows.rows) > _MOST_ROWS:
            break
        agreeing: list[Cell] = []
        for operations in readings.groups:
            try:
                cell = _cell(rows, operations, lattice, readings.flag)
                if readings.refusal:
                    raise Rejection("bad_symmetry", readings.refusal)
            except Rejection as rejection:
                if readings.refusal and rejection.code == "overlapping_sites":
                    rejection = Rejection("bad_symmetry", readings.refusal)
                refused.append(rejection)
                continue
            agrees, flag = contents.compare(cell)
            cell = cell.flagged(flag)
            if agrees:
                agreeing.append(cell)
            elif readings.flag != REPAIRED:
                doubtful.append(cell)
        if len(agreeing) == 1 or (agreeing and not readings.unique):
            return _first(agreeing)
    if not doubtful:
        raise refused[0]
    return _first(doubtful)


def _cell(rows: Rows, operations: Operations, lattice: Lattice, flag: str) -> Cell:
    """Return the crystal of one reading, also where all atoms are listed already."""
    try:
        cell = expand(rows, operations, lattice)
        return cell.flagged(flag) if len(cell.species) > len(rows.rows) else cell
    except Rejection as rejection:
        doubled = rejection.code in ("occupancy", "overlapping_sites")
        if flag == REPAIRED or not doubled:
            raise
        if not permute(operations, rows.fractional, lattice):
            raise
        return expand(rows, IDENTITY, lattice).flagged(REPAIRED)


def _first(candidates: list[Cell]) -> Cell:
    """Return the first of the crystals that a file may mean, as the usual one."""
    return candidates[0].flagged("setting_assumed" if len(candidates) > 1 else "")


def _lattice(block: gemmi.cif.Block) -> Float[np.ndarray, "3 3"]:
    names = [f"_cell_length_{i}" for i in "abc"]
    names += [f"_cell_angle_{i}" for i in ("alpha", "beta", "gamma")]
    values = {name: number(block, name) for name in names}
    for name, value in values.items():
        if not math.isfinite(value) or value <= 0:
            found = block.find_value(name)
            raise Rejection(
                "bad_lattice",
                f"{name}: found {found or 'nothing'}, expected a positive number",
            )
    lattice = np.array(gemmi.UnitCell(*values.values()).orth.mat.tolist()).T
    if max(list(values.values())[3:]) >= 180 or not np.isfinite(lattice).all():
        raise Rejection(
            "bad_lattice",
            f"found angles {list(values.values())[3:]}, which no cell can have",
        )
    check_lattice(lattice)
    return lattice
