"""Structure files to cells: CIF, POSCAR, and the JSON of pymatgen and ASE."""

import json
import math
import re
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import PurePath

import gemmi
import numpy as np

from cloud_jax.scope.cell import Cell
from cloud_jax.scope.rejection import Rejection

SITE_TOLERANCE = 1e-4  # fractional; images closer than this are one site, as pymatgen
_FRACTION_TOLERANCE = 1e-4  # 0.3333 is meant as 1/3 when this close, relative
_BOM = "\ufeff"  # some editors put it in front of a text
_FRACTIONAL = ["fract_x", "fract_y", "fract_z"]
_OPERATIONS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
)
# Magnetic CIFs: operations with a time reversal, and centrings to combine them with.
_MAGNETIC = (
    ("_space_group_symop_magn_operation.xyz", "_space_group_symop_magn_centering.xyz"),
    ("_space_group_symop.magn_operation_xyz", "_space_group_symop.magn_centering_xyz"),
    ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz"),
)
_HALL_NAMES = ("_symmetry_space_group_name_Hall", "_space_group_name_Hall")
_SPACE_GROUP_NAMES = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt")
_SPACE_GROUP_NUMBERS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")


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


def read_cif(text: str) -> Cell:
    """Read the first data block of a CIF that holds atoms.

    Where there are more, the cell is flagged `first_of_several`.

    The result is what pymatgen's parser gives, an order of magnitude faster: sites
    are expanded by the listed operations, images closer than 1e-4 merged, and
    coordinates within 1e-4 of 1/3 or 2/3 snapped to them.

    Raises:
        Rejection: not a CIF, no atoms, or values that are no structure.
    """
    try:
        document = gemmi.cif.read_string(text.removeprefix(_BOM))
    except (ValueError, RuntimeError, UnicodeError) as error:
        raise Rejection("unreadable", f"not a CIF: {str(error)[:200]}") from None
    tables = [block.find("_atom_site_", _FRACTIONAL) for block in document]
    filled = [i for i, table in enumerate(tables) if len(table)]
    if not filled:
        raise Rejection(
            "no_atoms", "found no data block with _atom_site_fract_x, _y and _z rows"
        )
    cell = _read_block(document[filled[0]], tables[filled[0]])
    return _flagged(cell, "first_of_several") if len(filled) > 1 else cell


def _flagged(cell: Cell, flag: str) -> Cell:
    return replace(cell, flags=tuple(sorted({*cell.flags, flag})))


def _read_block(block: gemmi.cif.Block, table: gemmi.cif.Table) -> Cell:
    fractional = np.array([[gemmi.cif.as_number(v) for v in row] for row in table])
    if not np.isfinite(fractional).all():
        row = int(np.flatnonzero(~np.isfinite(fractional).all(axis=1))[0])
        raise Rejection(
            "bad_coordinates",
            f"atom {row + 1}: found {list(table[row])}, expected three numbers",
        )
    for ideal in (1 / 3, 2 / 3):
        fractional[np.abs(fractional / ideal - 1) <= _FRACTION_TOLERANCE] = ideal
    sites = _occupants(block, len(fractional))
    operations = _operations(block)
    if len(operations) > 1 or any(amount != 1.0 for ((_, amount),) in sites):
        fractional, sites = _expand(fractional, sites, operations)
    return Cell.from_sites(_lattice(block), fractional, sites)


def _occupants(block: gemmi.cif.Block, n: int) -> list[tuple[tuple[str, float], ...]]:
    symbols = block.find_values("_atom_site_type_symbol")
    if not len(symbols):
        symbols = block.find_values("_atom_site_label")
    if len(symbols) != n:
        raise Rejection(
            "unreadable",
            "found neither _atom_site_type_symbol nor _atom_site_label beside the "
            "coordinates",
        )
    values = block.find_values("_atom_site_occupancy")
    amounts = [gemmi.cif.as_number(v) for v in values] if len(values) else [1.0] * n
    return [
        ((gemmi.cif.as_string(symbol), 1.0 if math.isnan(amount) else amount),)
        for symbol, amount in zip(symbols, amounts, strict=True)
    ]


def _lattice(block: gemmi.cif.Block) -> np.ndarray:
    names = [f"_cell_length_{i}" for i in "abc"]
    names += [f"_cell_angle_{i}" for i in ("alpha", "beta", "gamma")]
    values = {
        name: gemmi.cif.as_number(block.find_value(name) or "?") for name in names
    }
    for name, value in values.items():
        if not math.isfinite(value) or value <= 0:
            raise Rejection(
                "bad_lattice",
                f"{name}: found {block.find_value(name)!r}, expected a positive number",
            )
    lattice = np.array(gemmi.UnitCell(*values.values()).orth.mat.tolist()).T
    if max(list(values.values())[3:]) >= 180 or not np.isfinite(lattice).all():
        raise Rejection(
            "bad_lattice",
            f"found angles {list(values.values())[3:]}, which no cell can have",
        )
    return lattice


def _operations(block: gemmi.cif.Block) -> list[gemmi.Op]:
    """Return the operations that a block lists, names or numbers, in that order."""
    try:
        for tag in _OPERATIONS:
            if triplets := _strings(block, tag):
                return [gemmi.Op(triplet) for triplet in triplets]
        for tag, centring_tag in _MAGNETIC:
            if triplets := _strings(block, tag):
                centrings = _strings(block, centring_tag) or ["x,y,z"]
                return [
                    _without_time(a) * _without_time(b)
                    for a in centrings
                    for b in triplets
                ]
    except (RuntimeError, ValueError) as error:
        raise Rejection("unreadable", f"{tag}: {str(error)[:200]}") from None
    for tag in _HALL_NAMES:
        with suppress(RuntimeError, ValueError):  # then the other name has to do
            if name := _string(block, tag):
                return list(gemmi.symops_from_hall(name))
    for tag in _SPACE_GROUP_NAMES:
        if name := _string(block, tag):
            return _operations_of_name(block, tag, name)
    for tag in _SPACE_GROUP_NUMBERS:
        number = gemmi.cif.as_number(block.find_value(tag) or "?")
        if number in range(1, 231):
            return list(gemmi.find_spacegroup_by_number(int(number)).operations())
    return [gemmi.Op("x,y,z")]


def _strings(block: gemmi.cif.Block, tag: str) -> list[str]:
    """Values of a tag, whether it stands in a loop or alone."""
    return [gemmi.cif.as_string(value) for value in block.find_values(tag)]


def _string(block: gemmi.cif.Block, tag: str) -> str:
    return gemmi.cif.as_string(block.find_value(tag) or "")


def _without_time(triplet: str) -> gemmi.Op:
    return gemmi.Op(",".join(triplet.split(",")[:3]))


def _operations_of_name(block: gemmi.cif.Block, tag: str, name: str) -> list[gemmi.Op]:
    alpha, gamma = (
        gemmi.cif.as_number(block.find_value(f"_cell_angle_{angle}") or "?")
        for angle in ("alpha", "gamma")
    )
    # ICSD marks the origin choice by a last letter: S for the first, Z the second.
    usual = re.sub(r"\s+S$", ":1", re.sub(r"\s+Z$", ":2", name.replace("_", "")))
    group = gemmi.find_spacegroup_by_name(usual, alpha, gamma)
    if group is None:
        raise Rejection(
            "unreadable",
            f"{tag}: found {name!r}, which is no space group we know, and no list of "
            "operations; add _symmetry_equiv_pos_as_xyz rows",
        )
    return list(group.operations())


def _expand(
    fractional: np.ndarray,
    sites: list[tuple[tuple[str, float], ...]],
    operations: list[gemmi.Op],
) -> tuple[np.ndarray, list[tuple[tuple[str, float], ...]]]:
    """Merge rows on one point into mixed sites, then add all images."""
    rotations = np.array([op.rot for op in operations]) / gemmi.Op.DEN
    shifts = np.array([op.tran for op in operations]) / gemmi.Op.DEN
    points: list[np.ndarray] = []
    images: list[np.ndarray] = []
    occupants: list[tuple[tuple[str, float], ...]] = []
    for point, site in zip(fractional, sites, strict=True):
        orbit = rotations @ point + shifts
        match = next(
            (i for i, seen in enumerate(points) if _same_point(orbit, seen).any()), None
        )
        if match is None:
            points.append(point)
            images.append(_distinct(orbit - np.floor(orbit)))
            occupants.append(site)
        else:
            occupants[match] += site
    expanded = [
        site
        for site, orbit in zip(occupants, images, strict=True)
        for _ in range(len(orbit))
    ]
    return np.concatenate(images), expanded


def _same_point(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    difference = points - other
    return (np.abs(difference - np.rint(difference)) < SITE_TOLERANCE).all(axis=-1)


def _distinct(points: np.ndarray) -> np.ndarray:
    """Drop repeated images, keeping the first of each; [m, 3] to [k, 3]."""
    same = _same_point(points[:, None], points[None])
    return points[~np.triu(same, k=1).any(axis=0)]


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
