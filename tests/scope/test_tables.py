"""The package's tables are those of the installed pymatgen.

python tests/scope/test_tables.py      writes them anew
"""

import gzip
import json
import warnings
from importlib import resources
from pathlib import Path

from pymatgen.core import Element
from pymatgen.symmetry.groups import SYMM_DATA

import cloud_jax.scope
from cloud_jax.structures.species import ELEMENTS

FILE = Path(cloud_jax.scope.__file__).parent / "tables.json.gz"


def prototype_table(name: str) -> dict:
    """Read a table that pymatgen ships beside its prototypes."""
    path = resources.files("pymatgen.analysis") / "prototypes" / f"{name}.json.gz"
    return json.loads(gzip.decompress(path.read_bytes()))


def element_row(symbol: str) -> list:
    element = Element(symbol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # "No Pauling electronegativity"
        known = [element.X, element.row, element.group, element.block]
        known += [element.atomic_radius, element.average_ionic_radius or None]
        known += [element.mendeleev_no, element.melting_point]
    row = [float(element.atomic_mass), *known]
    row = [None if value is None else value for value in row]
    return [value if isinstance(value, str | int | None) else None
            if value != value else float(value) for value in row]  # fmt: skip


def tables_of_pymatgen() -> dict:
    encoded = SYMM_DATA["space_group_encoding"].values()
    relabelings = prototype_table("wyckoff-position-relabelings")
    return {
        "generators": {str(e["int_number"]): e["enc"] for e in encoded},
        "matrices": SYMM_DATA["generator_matrices"],
        "translations": SYMM_DATA["translations"],
        "multiplicities": prototype_table("wyckoff-position-multiplicities"),
        "relabelings": {
            number: [{chr(int(old)): new for old, new in one.items()} for one in many]
            for number, many in relabelings.items()
        },
        "elements": {symbol: element_row(symbol) for symbol in ELEMENTS},
    }


def test_the_tables_are_those_of_pymatgen():
    found = json.loads(gzip.decompress(FILE.read_bytes()))
    assert found == json.loads(json.dumps(tables_of_pymatgen()))


if __name__ == "__main__":
    text = json.dumps(tables_of_pymatgen(), separators=(",", ":"), sort_keys=True)
    FILE.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
    print(f"{FILE}: {FILE.stat().st_size:,} bytes")
