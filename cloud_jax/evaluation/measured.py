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
        source: where the numbers are published.
    """

    temperature_k: Float[np.ndarray, " M"]
    cp: Float[np.ndarray, " M"]
    source: str


def find_measured(
    formula: Iterable[tuple[str, int]], space_group: int
) -> Measured | None:
    """Return the measured points of a crystal, None where the table has none.

    Args:
        formula: (element, count) pairs of the reduced formula, in any order.
        space_group: number.
    """
    return _table().get((frozenset(formula), space_group))


@cache
def _table() -> dict[tuple[frozenset[tuple[str, int]], int], Measured]:
    found = {}
    for name, entry in json.loads(FILE.read_text("utf-8"))["materials"].items():
        words = re.findall(r"([A-Z][a-z]?)(\d*)", name)
        formula = frozenset((element, int(count or 1)) for element, count in words)
        points = np.array(entry["T"], float), np.array(entry["Cp"], float)
        measured = Measured(*points, entry["source"])
        found |= {(formula, group): measured for group in entry["space_groups"]}
    return found
