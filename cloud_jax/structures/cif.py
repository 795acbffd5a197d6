"""CIFs to cells: what pymatgen's parser gives, an order of magnitude faster."""

import math
import re
from collections import Counter

import gemmi
import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import Cell, check_lattice
from cloud_jax.structures.cif_sites import atom_table, expand, read_rows
from cloud_jax.structures.cif_symmetry import readings_of
from cloud_jax.structures.cif_text import number, parse, string
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import element_of

_FORMULA_TOLERANCE = 0.02  # relative; formulas are rounded


def read_cif(text: str) -> Cell:
    """Read the first data block of a CIF that holds atoms.

    Where there are more, the cell is flagged `first_of_several`; where the atoms are
    not those of `_chemical_formula_sum`, `formula_differs`.

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
    """Return the crystal of the first reading that all the block says agrees with."""
    rows, lattice = read_rows(block), _lattice(block)
    formula, units = _formula(block), number(block, "_cell_formula_units_Z")
    doubtful: list[Cell] = []
    refused: list[Rejection] = []
    for readings in readings_of(block, lattice):
        agreeing: list[Cell] = []
        for operations in readings.groups:
            try:
                cell = expand(rows, operations, lattice)
                if readings.refusal:
                    raise Rejection("bad_symmetry", readings.refusal)
            except Rejection as rejection:
                refused.append(rejection)
                continue
            problem = _contradiction(formula, units, cell)
            if not problem:
                agreeing.append(cell)
            elif not readings.unique:
                doubtful.append(cell.flagged(problem))
        if len(agreeing) == 1 or (agreeing and not readings.unique):
            flags = {readings.flag, "setting_assumed" if len(agreeing) > 1 else ""}
            return agreeing[0].flagged(*filter(None, flags))
    if doubtful:
        return doubtful[0]
    raise refused[0]


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


def _formula(block: gemmi.cif.Block) -> Counter[str]:
    """Return how many atoms of each element a formula unit has; empty if unknown."""
    said: Counter[str] = Counter()
    text = string(block, "_chemical_formula_sum")
    try:
        for symbol, amount in re.findall(r"([A-Z][a-z]?)\s?([\d.]*)", text):
            said[element_of(symbol)] += float(amount or 1)
    except ValueError:  # a formula with variables; a Rejection is one too
        return Counter()
    return said


def _contradiction(formula: Counter[str], units: float, cell: Cell) -> str:
    """Return the flag of a cell that has other atoms than its file says.

    Args:
        formula: atoms of a formula unit, empty if the file does not say.
        units: formula units in the cell, NaN if the file does not say.
        cell: what was read.
    """
    found: Counter[str] = Counter()
    for kind, n in Counter(cell.species).items():
        for element, amount in ((kind, 1.0),) if isinstance(kind, str) else kind:
            found[element] += n * amount
    if not sum(formula.values()):
        return ""
    scale = sum(found.values()) / sum(formula.values())
    if any(
        abs(formula[e] * scale - found[e]) > _FORMULA_TOLERANCE * found[e]
        for e in formula | found
    ):
        return "formula_differs"
    # Some files give the formula of the whole cell, which holds that many units.
    whole = all(amount % units == 0 for amount in formula.values())
    if min(abs(scale - units), abs(scale - 1) if whole else units) > (
        _FORMULA_TOLERANCE * units
    ):
        return "formula_units_differ"
    return ""
