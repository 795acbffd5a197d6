"""Tables of space groups and elements, as data of the package.

`tables.json.gz` holds what pymatgen-core 2026.10.16 ships (MIT licence, Ong et al.,
Comput. Mater. Sci. 68, 314, 2013), so that sentences need no pymatgen and stay the same
whatever its version: generator strings (De Graef & McHenry 2012), Wyckoff positions and
their relabelings by the Euclidean normaliser, and properties of the elements. A test
compares it with the installed pymatgen, and `python tests/scope/test_tables.py` writes
it anew.
"""

import gzip
import json
import math
from functools import cache
from importlib import resources
from typing import Any, NamedTuple


class Element(NamedTuple):
    """Properties of an element; NaN where a value is unknown.

    Attributes:
        mass: g/mol.
        electronegativity: on Pauling's scale.
        row: row of the periodic table.
        group: column of the periodic table.
        block: `s`, `p`, `d` or `f`.
        atomic_radius: angstrom (Slater).
        ionic_radius: mean over the oxidation states (Shannon), angstrom.
        mendeleev: Mendeleev number.
        melting_point: kelvin.
    """

    mass: float
    electronegativity: float
    row: int
    group: int
    block: str
    atomic_radius: float
    ionic_radius: float
    mendeleev: float
    melting_point: float


@cache
def _tables() -> dict[str, Any]:
    path = resources.files("cloud_jax.scope") / "tables.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


@cache
def element(symbol: str) -> Element:
    """Return the properties of an element, H to Lr.

    Raises:
        KeyError: `symbol` is not an element up to Lr.
    """
    values = _tables()["elements"][symbol]
    return Element(*(math.nan if value is None else value for value in values))


def space_group_table(name: str) -> dict[str, Any]:
    """Return one table of space groups.

    Args:
        name: `generators` (number to string), `matrices` and `translations` (letter
            to its value), `multiplicities` (number to {Wyckoff letter:
            multiplicity}) or `relabelings` (number to a list of {letter: new
            letter}).
    """
    return _tables()[name]
