"""One structure in the JSON of pymatgen, ASE or JARVIS to a cell."""

import json

import numpy as np

from cloud_jax.structures.cell import Cell
from cloud_jax.structures.rejection import Rejection

_BOM = "\ufeff"  # the byte order mark that some editors put in front of a text


def read_json(content: str | dict) -> Cell:
    """Read a structure from JSON text or from the parsed object.

    Known are the JSON of pymatgen, the database format of ASE, JARVIS's `lattice_mat`,
    `coords` and `elements`, and plain dictionaries: `cell` with `positions` (cartesian,
    angstrom) or `scaled_positions` and `numbers` or `symbols`.

    Raises:
        Rejection: not JSON, or JSON that is not a structure.
    """
    try:
        values = content
        if isinstance(content, str):
            values = json.loads(content.removeprefix(_BOM))
        if isinstance(values, dict) and values.get("ids"):  # ase.io.write("x.json")
            first = read_json(values[str(values["ids"][0])])
            several = len(values["ids"]) > 1
            return first.flagged("first_of_several") if several else first
        if isinstance(values, dict):
            if "sites" in values and "lattice" in values:
                return _read_pymatgen(values)
            if "numbers" in values or "symbols" in values:
                return _read_ase(values)
            if "lattice_mat" in values:
                return _read_jarvis(values)
    except Rejection:
        raise
    except KeyError as error:
        raise Rejection("unreadable", f"structure JSON: {error} is missing") from None
    except Exception as error:
        raise Rejection.of_error("a structure JSON", error) from None
    raise Rejection(
        "unreadable",
        "JSON: expected a pymatgen structure (lattice, sites), an ASE atoms object "
        "(numbers, positions, cell) or a JARVIS one (lattice_mat, coords, elements)",
    )


def _read_pymatgen(values: dict) -> Cell:
    sites = [
        [
            (str(s["element"]), float(1 if s.get("occu") is None else s["occu"]))
            for s in site["species"]
        ]
        for site in values["sites"]
    ]
    cell = Cell.from_sites(
        np.array(values["lattice"]["matrix"], dtype=float),
        np.array([site["abc"] for site in values["sites"]], dtype=float),
        sites,
    )
    decorated = any(
        s.get("oxidation_state") or s.get("properties") or s.get("spin")
        for site in values["sites"]
        for s in site["species"]
    )
    return cell.flagged("decorated") if decorated else cell


def _array(value, dtype) -> np.ndarray:
    """Return the array of nested lists, or of a dict as ASE or pymatgen writes it."""
    if isinstance(value, dict) and "__ndarray__" in value:
        shape, _, flat = value["__ndarray__"]
        return np.array(flat, dtype=dtype).reshape(shape)
    if isinstance(value, dict):  # an ASE Cell, or a pymatgen Lattice
        return _array(value["array" if "array" in value else "matrix"], dtype)
    return np.array(value, dtype=dtype)


def _read_ase(values: dict) -> Cell:
    if values.get("pbc") is not None and not np.any(_array(values["pbc"], bool)):
        raise Rejection(
            "not_periodic", "found a molecule (pbc is false in all directions)"
        )
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
    lattice = np.array(values["lattice_mat"], dtype=float)
    coordinates = np.array(values["coords"], dtype=float)
    if values.get("cartesian"):
        coordinates = _fractional(lattice, coordinates)
    sites = [[(symbol, 1.0)] for symbol in values["elements"]]
    return Cell.from_sites(lattice, coordinates, sites)


def _fractional(lattice: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Turn cartesian positions [n, 3] into fractional ones."""
    whole = lattice.shape == (3, 3) and np.isfinite(lattice).all()
    if not whole or np.linalg.matrix_rank(lattice) < 3:
        raise Rejection(
            "bad_lattice",
            f"found the cell {lattice.tolist()}, expected three vectors that span it",
        )
    return positions @ np.linalg.inv(lattice)
