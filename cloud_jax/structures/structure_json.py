"""One structure in the JSON of pymatgen, ASE, JARVIS or OPTIMADE to a cell."""

import json
import re
from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import Cell, flag_of_pbc
from cloud_jax.structures.optimade import read_optimade
from cloud_jax.structures.rejection import Rejection

_BOM = "\ufeff"  # the byte order mark that some editors put in front of a text
_TRUE = frozenset(("true", "t", ".true.", "yes", "1", "1.0"))
_FALSE = frozenset(("false", "f", ".false.", "no", "0", "0.0"))


def read_json(content: str | dict) -> Cell:
    """Read a structure from JSON text or from the parsed object.

    Known are the JSON of pymatgen, the database format of ASE, JARVIS's `lattice_mat`,
    `coords` and `elements`, an entry of OPTIMADE, and plain dictionaries: `cell` with
    `positions` (cartesian, angstrom) or `scaled_positions` and `numbers` or `symbols`.
    A structure that repeats in one or two directions only is flagged `low_dimensional`.

    Raises:
        Rejection: not JSON, JSON that is not a structure, or a molecule.
    """
    try:
        values = content
        if isinstance(content, str):
            values = json.loads(content.removeprefix(_BOM))
        cell = _read_object(values) if isinstance(values, dict) else None
    except Rejection:
        raise
    except KeyError as error:
        raise Rejection("unreadable", f"structure JSON: {error} is missing") from None
    except Exception as error:
        raise Rejection.of_error("a structure JSON", error) from None
    if cell is None:
        raise Rejection(
            "unreadable",
            "JSON: expected a pymatgen structure (lattice, sites), an ASE atoms object "
            "(numbers, positions, cell), a JARVIS one (lattice_mat, coords, elements) "
            "or an OPTIMADE entry (attributes)",
        )
    return cell


def _read_object(values: dict) -> Cell | None:
    """Return the cell of an object, None if it is of an unknown kind."""
    if values.get("ids"):  # ase.io.write("x.json")
        return _first([values[str(name)] for name in values["ids"]])
    if values.get("data") and "meta" in values:  # the answer of an OPTIMADE server
        return _first(values["data"])
    if "attributes" in values:
        return read_optimade(values)
    flag = _flag_of_pbc(values)
    if "sites" in values and "lattice" in values:
        cell = _read_pymatgen(values)
    elif "sites" in values:
        raise Rejection("not_periodic", "found a molecule (sites without a lattice)")
    elif "numbers" in values or "symbols" in values:
        cell = _read_ase(values)
    elif "lattice_mat" in values:
        cell = _read_jarvis(values)
    else:
        return None
    return cell.flagged(flag)


def _first(structures: list[dict] | dict) -> Cell:
    """Return the first cell of a list, or the only one; a longer list is flagged."""
    if isinstance(structures, dict):
        return read_json(structures)
    cell = read_json(structures[0])
    return cell.flagged("first_of_several") if len(structures) > 1 else cell


def _flag_of_pbc(values: dict) -> str:
    """Return `low_dimensional` where some of the cell vectors do not repeat, else "".

    Raises:
        Rejection: none repeats, or it cannot be said.
    """
    pbc = values.get("pbc")
    if pbc is None and isinstance(values.get("lattice"), dict):
        pbc = values["lattice"].get("pbc")
    if pbc is None:
        return ""
    if isinstance(pbc, str):
        pbc = re.findall(r"[\w.]+", pbc)
    repeats = [_truth(x, "pbc") for x in np.atleast_1d(_array(pbc, object)).tolist()]
    if len(repeats) not in (1, 3):
        raise Rejection(
            "bad_lattice", f"pbc: found {pbc}, expected three of true, false"
        )
    return flag_of_pbc(repeats)


def _truth(value: Any, name: str) -> bool:
    """Return a boolean that JSON may hold as a number or as text.

    Raises:
        Rejection: neither true nor false.
    """
    word = str(value).strip().lower()
    if word not in _TRUE | _FALSE:
        raise Rejection(
            "unreadable", f"{name}: found {value!r}, expected true or false"
        )
    return word in _TRUE


def _read_pymatgen(values: dict) -> Cell:
    sites = [
        [
            (str(s["element"]), float(1 if s.get("occu") is None else s["occu"]))
            for s in site["species"]
        ]
        for site in values["sites"]
    ]
    cell = Cell.from_sites(
        _array(values["lattice"]["matrix"], float),
        _array([site["abc"] for site in values["sites"]], float),
        sites,
    )
    decorated = any(
        s.get("oxidation_state")
        or s.get("spin")
        or any(value is not None for value in (s.get("properties") or {}).values())
        for site in values["sites"]
        for s in site["species"]
    )
    return cell.flagged("decorated") if decorated else cell


def _array(value: Any, dtype: type) -> np.ndarray:
    """Return the array of nested lists, or of a dict as ASE or pymatgen writes it."""
    if isinstance(value, dict) and "__ndarray__" in value:
        shape, _, flat = value["__ndarray__"]
        return np.array(flat, dtype=dtype).reshape(shape)
    if isinstance(value, dict):  # an ASE Cell, or a pymatgen Lattice
        return _array(value["array" if "array" in value else "matrix"], dtype)
    return np.array(value, dtype=dtype)


def _read_ase(values: dict) -> Cell:
    lattice = _array(values["cell"], float)
    lattice = lattice.reshape(3, 3) if lattice.shape == (9,) else lattice
    if "scaled_positions" in values:
        fractional = _array(values["scaled_positions"], float)
    else:
        fractional = _fractional(lattice, _array(values["positions"], float))
    if "symbols" in values:
        symbols = [[(str(symbol), 1.0)] for symbol in values["symbols"]]
        return Cell.from_sites(lattice, fractional, symbols)
    numbers = _array(values["numbers"], float)
    whole = numbers.astype(int)
    if not np.array_equal(whole, numbers):
        raise Rejection(
            "unknown_species",
            f"found atomic numbers {numbers.tolist()[:5]}, expected whole numbers",
        )
    return Cell.from_arrays(lattice, fractional, whole.tolist())


def _read_jarvis(values: dict) -> Cell:
    lattice = _array(values["lattice_mat"], float)
    coordinates = _array(values["coords"], float)
    if _truth(values.get("cartesian") or False, "cartesian"):
        coordinates = _fractional(lattice, coordinates)
    sites = [[(symbol, 1.0)] for symbol in values["elements"]]
    return Cell.from_sites(lattice, coordinates, sites)


def _fractional(
    lattice: Float[np.ndarray, "3 3"], positions: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 3"]:
    """Return the fractional coordinates of cartesian positions, angstrom."""
    whole = lattice.shape == (3, 3) and np.isfinite(lattice).all()
    if not whole or np.linalg.matrix_rank(lattice) < 3:
        raise Rejection(
            "bad_lattice",
            f"found the cell {lattice.tolist()}, expected three vectors that span it",
        )
    return positions @ np.linalg.inv(lattice)
