"""Structure files to cells: CIF, POSCAR, and the JSON of pymatgen and ASE."""

import json
import re
import warnings
from dataclasses import replace
from pathlib import PurePath

import numpy as np

from cloud_jax.scope.cell import Cell
from cloud_jax.scope.cif import read_cif
from cloud_jax.scope.rejection import Rejection

_BOM = "\ufeff"  # some editors put it in front of a text


def read_text(text: str, name: str) -> Cell:
    """Read one structure, choosing the reader by the file's name.

    Args:
        text: content of the file.
        name: its name; `.cif`, `.json`, `.vasp`, `.poscar` and names that start
            with POSCAR or CONTCAR are known.

    Raises:
        Rejection: unknown kind of file, or a file without a usable structure.
    """
    path = PurePath(name.lower())
    if path.suffix in (".cif", ".mcif"):
        return read_cif(text)
    if path.suffix == ".json":
        return read_json(text)
    if path.suffix in (".vasp", ".poscar") or path.name.startswith(
        ("poscar", "contcar")
    ):
        return read_poscar(text)
    raise Rejection(
        "unreadable",
        f"found a file named {PurePath(name).name!r}, expected *.cif, *.json, *.vasp, "
        "*.poscar, POSCAR* or CONTCAR*",
    )


def _flagged(cell: Cell, flag: str) -> Cell:
    return replace(cell, flags=tuple(sorted({*cell.flags, flag})))


def read_poscar(text: str) -> Cell:
    """Read a VASP 5 POSCAR (with element symbols).

    Raises:
        Rejection: not a POSCAR, or one without element symbols.
    """
    from pymatgen.io.vasp import Poscar

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            structure = Poscar.from_str(text, read_velocities=False).structure
        except Warning as warning:
            # VASP 4 files lack the symbols and pymatgen would invent H, He, Li...
            raise Rejection("unreadable", f"POSCAR: {str(warning)[:200]}") from None
        except Exception as error:
            raise _not_a("POSCAR", error) from None
    return Cell.from_structure(structure)


def read_json(content: str | dict) -> Cell:
    """Read a structure from the JSON of pymatgen or of ASE (or the parsed object).

    ASE's database format and plain dictionaries with `numbers`, `positions` and
    `cell` are understood, and JARVIS's `lattice_mat`, `coords`, `elements`.

    Raises:
        Rejection: not JSON, or JSON that is no structure.
    """
    try:
        values = content
        if isinstance(content, str):
            values = json.loads(content.removeprefix(_BOM))
        if isinstance(values, dict) and values.get("ids"):  # ase.io.write("x.json")
            first = read_json(values[str(values["ids"][0])])
            several = len(values["ids"]) > 1
            return _flagged(first, "first_of_several") if several else first
        if isinstance(values, dict):
            if "sites" in values and "lattice" in values:
                return _read_pymatgen(values)
            if "numbers" in values:
                return _read_ase(values)
            if "lattice_mat" in values:
                return _read_jarvis(values)
    except Rejection:
        raise
    except Exception as error:
        raise _not_a("structure JSON", error) from None
    raise Rejection(
        "unreadable",
        "JSON: expected a pymatgen structure (lattice, sites), an ASE atoms object "
        "(numbers, positions, cell) or a JARVIS one (lattice_mat, coords, elements)",
    )


def _read_pymatgen(values: dict) -> Cell:
    sites = [
        [(str(s["element"]), float(s.get("occu", 1))) for s in site["species"]]
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
    return _flagged(cell, "decorated") if decorated else cell


def _array(value, dtype) -> np.ndarray:
    if isinstance(value, dict) and "__ndarray__" in value:
        shape, _, flat = value["__ndarray__"]
        return np.array(flat, dtype=dtype).reshape(shape)
    if isinstance(value, dict):  # an ASE Cell object
        return _array(value["array"], dtype)
    return np.array(value, dtype=dtype)


def _read_ase(values: dict) -> Cell:
    lattice = _array(values["cell"], float)
    positions = _array(values["positions"], float)
    numbers = _array(values["numbers"], int).tolist()
    if lattice.shape != (3, 3) or np.linalg.matrix_rank(lattice) < 3:
        raise Rejection("bad_lattice", "the ASE object has no three-dimensional cell")
    return Cell.from_arrays(lattice, positions @ np.linalg.inv(lattice), numbers)


def _read_jarvis(values: dict) -> Cell:
    lattice = np.array(values["lattice_mat"], dtype=float)
    coordinates = np.array(values["coords"], dtype=float)
    if values.get("cartesian"):
        coordinates = coordinates @ np.linalg.inv(lattice)
    sites = [[(symbol, 1.0)] for symbol in values["elements"]]
    return Cell.from_sites(lattice, coordinates, sites)


def _not_a(kind: str, error: Exception) -> Rejection:
    reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:200]
    return Rejection("unreadable", f"not a {kind}: {reason}")
