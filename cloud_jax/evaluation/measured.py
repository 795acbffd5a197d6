"""Measured heat capacities of well-known crystals, from cited tables."""

import json
import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

FILE = files("cloud_jax") / "evaluation" / "measured_heat_capacities.json"


class Measured(NamedTuple):
    """Measured C_p of one crystal, below its melting point and transitions.

    Attributes:
        temperature_k: [M], ascending.
        cp: [M] J/(mol K) per mol of formula units.
        space_groups: numbers; two where the crystal may be left- or right-handed.
        source: where the numbers are published.
    """

    temperature_k: Float[np.ndarray, " M"]
    cp: Float[np.ndarray, " M"]
    space_groups: tuple[int, ...]
    source: str


@cache
def measured_heat_capacities() -> dict[str, Measured]:
    """Return the measured points of each crystal by its formula, such as `Al2O3`."""
    materials = json.loads(FILE.read_text("utf-8"))["materials"]
    return {
        name: Measured(
            np.array(entry["T"], float),
            np.array(entry["Cp"], float),
            tuple(entry["space_groups"]),
            entry["source"],
        )
        for name, entry in materials.items()
    }


def find_measured(
    formula: Iterable[tuple[str, int]], space_group: int
) -> Measured | None:
    """Return the measured points of a crystal, None where the table has none.

    Args:
        formula: (element, count) pairs of the reduced formula, in any order.
        space_group: number.
    """
    return _by_crystal().get((frozenset(formula), space_group))


@cache
def _by_crystal() -> dict[tuple[frozenset[tuple[str, int]], int], Measured]:
    found = {}
    for name, measured in measured_heat_capacities().items():
        words = re.findall(r"([A-Z][a-z]?)(\d*)", name)
        formula = frozenset((element, int(count or 1)) for element, count in words)
        found |= {(formula, group): measured for group in measured.space_groups}
    return found
