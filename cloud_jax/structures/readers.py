"""Structure files to cells: CIF, POSCAR, and the JSON of pymatgen and ASE."""

import codecs
import json
import re
import warnings
from dataclasses import replace
from io import StringIO
from pathlib import PurePath

import numpy as np

from cloud_jax.structures.cell import MAX_SITES, Cell
from cloud_jax.structures.cif import read_cif
from cloud_jax.structures.poscar import read_poscar
from cloud_jax.structures.rejection import Rejection

_BOM = "\ufeff"  # some editors put it in front of a text
_MAGIC = {  # first bytes of what is no text
    b"\x1f\x8b": "gzip-compressed data (gunzip it)",
    b"PK\x03\x04": "a zip archive (name it .zip)",
    b"BZh": "bzip2-compressed data (bunzip2 it)",
    b"\xfd7zXZ": "xz-compressed data (unxz it)",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG image",
}


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


def decode(data: bytes) -> str:
    """Turn the bytes of a structure file into text.

    Raises:
        Rejection: they are no text.
    """
    for mark, kind in _MAGIC.items():
        if data.startswith(mark):
            raise Rejection("binary", f"found {kind}, expected text")
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return data.decode("utf-16", "replace")
    if b"\0" in data:
        raise Rejection("binary", "found a zero byte, expected text (UTF-8 or ASCII)")
    return data.decode("utf-8", "replace")  # authors' names in old encodings


def read_extxyz(text: str) -> Cell:
    """Read one frame of an extended XYZ file, with the `ase` package.

    Raises:
        Rejection: not such a frame, or one without a cell.
    """
    from ase.io import extxyz

    count = text.lstrip().partition("\n")[0].strip()
    if not count.isdecimal():
        found = f"found {count[:40]!r}, expected the number of atoms"
        raise Rejection("unreadable", f"not a frame of extended XYZ: {found}")
    if int(count[:20]) > MAX_SITES:  # the parser would look for as many lines
        raise Rejection(
            "too_many_sites",
            f"found {count[:20]} atoms, expected at most {MAX_SITES:,}",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            atoms = next(extxyz.read_xyz(StringIO(text.lstrip()), 0))
        except Exception as error:
            raise _not_a("frame of extended XYZ", error) from None
    return read_json(
        {
            "numbers": atoms.numbers,
            "positions": atoms.positions,
            "cell": atoms.cell.array,
            "pbc": atoms.pbc,
        }
    )


def read_json(content: str | dict) -> Cell:
    """Read a structure from the JSON of pymatgen or of ASE (or the parsed object).

    ASE's database format is understood, JARVIS's `lattice_mat`, `coords`, `elements`,
    and plain dictionaries: `cell` with `positions` (cartesian) or `scaled_positions`
    and `numbers` or `symbols`.

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
            if "numbers" in values or "symbols" in values:
                return _read_ase(values)
            if "lattice_mat" in values:
                return _read_jarvis(values)
    except Rejection:
        raise
    except KeyError as error:
        raise Rejection("unreadable", f"structure JSON: {error} is missing") from None
    except Exception as error:
        raise _not_a("structure JSON", error) from None
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
    return _flagged(cell, "decorated") if decorated else cell


def _array(value, dtype) -> np.ndarray:
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
    whole = lattice.shape == (3, 3) and np.isfinite(lattice).all()
    if not whole or np.linalg.matrix_rank(lattice) < 3:
        raise Rejection(
            "bad_lattice",
            f"found the cell {lattice.tolist()}, expected three vectors that span it",
        )
    return positions @ np.linalg.inv(lattice)


def _not_a(kind: str, error: Exception) -> Rejection:
    reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:200]
    return Rejection("unreadable", f"not a {kind}: {reason}")
