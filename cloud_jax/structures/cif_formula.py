"""What a CIF says of its contents: the formula, and how often the cell holds it."""

import math
import re
from collections import Counter
from dataclasses import dataclass

import gemmi

from cloud_jax.structures.cell import Cell
from cloud_jax.structures.cif_text import number, string
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import element_of

_TOLERANCE = 0.02  # relative; formulas are rounded


@dataclass(frozen=True)
class Contents:
    """The atoms that a cell should have.

    Attributes:
        formula: atoms of each element in a formula unit; empty if unknown.
        units: formula units in the cell; NaN if unknown.
    """

    formula: dict[str, float]
    units: float

    @classmethod
    def of_block(cls, block: gemmi.cif.Block) -> "Contents":
        """Read `_chemical_formula_sum` and `_cell_formula_units_Z`."""
        formula: Counter[str] = Counter()
        text = string(block, "_chemical_formula_sum")
        try:
            for symbol, amount in re.findall(r"([A-Z][a-z]?)\s?([\d.]*)", text):
                formula[element_of(symbol)] += float(amount or 1)
        except (Rejection, ValueError):  # a formula with variables
            formula.clear()
        units = number(block, "_cell_formula_units_Z")
        return cls(+formula, units if units > 0 else math.nan)

    def could_be_those_of(self, cell: Cell) -> bool:
        """Return whether a cell has the right elements, hydrogen aside."""
        return not self.formula or not (self.formula.keys() ^ _atoms(cell)) - {"H"}

    def compare(self, cell: Cell) -> tuple[bool, str]:
        """Return whether a cell has these contents, and a flag or "".

        Hydrogen may be missing altogether, since it often has no positions.
        """
        found, formula = _atoms(cell), self.formula
        bare = "H" in formula and "H" not in found
        if bare:
            formula = {e: n for e, n in formula.items() if e != "H"}
        if not formula:
            return True, ""
        scale = sum(found.values()) / sum(formula.values())
        if any(
            abs(formula.get(e, 0) * scale - found[e]) > _TOLERANCE * found[e]
            for e in formula.keys() | found
        ):
            return False, "formula_differs"
        allowed = [self.units]
        if all(n % self.units == 0 for n in formula.values()):
            allowed.append(1.0)  # some files give the formula of the whole cell
        if all(abs(scale - units) > _TOLERANCE * units for units in allowed):
            return False, "formula_units_differ"
        return True, "formula_differs" if bare else ""


def _atoms(cell: Cell) -> Counter[str]:
    atoms: Counter[str] = Counter()
    for kind, n in Counter(cell.species).items():
        for element, amount in ((kind, 1.0),) if isinstance(kind, str) else kind:
            atoms[element] += n * amount
    return atoms
