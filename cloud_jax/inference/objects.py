"""Structures as Python objects, known by their attributes: no package is imported."""

import math
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from cloud_jax.scope import Cell, Rejection
from cloud_jax.structures.columns import ID_COLUMNS, STRUCTURE_COLUMNS
from cloud_jax.structures.structure_json import read_json

if TYPE_CHECKING:
    import pandas as pd


class PymatgenStructure(Protocol):
    """What is read of pymatgen's `Structure` and `IStructure`."""

    @property
    def lattice(self) -> Any:
        """Return the lattice."""

    @property
    def frac_coords(self) -> Any:
        """Return the fractional coordinates."""


class AseAtoms(Protocol):
    """What is read of ASE's `Atoms`."""

    @property
    def numbers(self) -> Any:
        """Return the atomic numbers."""

    @property
    def pbc(self) -> Any:
        """Return along which axes the cell repeats."""

    def get_positions(self) -> Any:
        """Return the positions, in angstrom."""


class JarvisAtoms(Protocol):
    """What is read of JARVIS's `Atoms`."""

    lattice_mat: Any
    coords: Any
    elements: Any
    cartesian: Any


StructureLike: TypeAlias = (
    Cell
    | PymatgenStructure
    | AseAtoms
    | JarvisAtoms
    | dict[str, Any]
    | str
    | bytes
    | os.PathLike[str]
)
Structures: TypeAlias = (
    "StructureLike | Iterable[StructureLike | None] | pd.Series[Any] | pd.DataFrame"
)
ACCEPTED = (
    "expected a pymatgen Structure, an ASE or JARVIS Atoms, a cloud_jax.scope.Cell, a "
    "dictionary of one of these, the text of a structure file, a path, or a list, "
    "array, Series or DataFrame of them"
)


def named_structures(structures: Any) -> list[tuple[str, Any]]:
    """Return each structure with its name: index, label of a Series, id of a row.

    Args:
        structures: one, or several in anything that can be iterated.

    Raises:
        TypeError: neither.
        ValueError: a DataFrame without a column of structures.
    """
    if getattr(structures, "ndim", None) == 0:  # an array that holds one object
        structures = structures.item()
    if _is_one(structures):
        return [("0", structures)]
    names: Iterable[Any] | None = None
    if type(structures).__name__ == "DataFrame":
        names, structures = _columns(structures)
    elif hasattr(structures, "items"):  # a Series
        names = structures.index
    try:
        values = iter(structures)
    except TypeError:
        raise TypeError(
            f"structures have type {_type(structures)}; {ACCEPTED}"
        ) from None
    if names is None:
        return [(str(index), value) for index, value in enumerate(values)]
    return [(str(name), value) for name, value in zip(names, values, strict=True)]


def _is_one(value: Any) -> bool:
    known = isinstance(value, str | bytes | os.PathLike | dict | Cell)
    # pymatgen's and ASE's structures can be iterated too, over their sites, and open
    # files over their lines.
    names = ("cart_coords", "get_positions", "readlines")
    return known or any(hasattr(value, name) for name in names)


def _columns(frame: Any) -> tuple[Iterable[Any], Iterable[Any]]:
    """Return the names and the structures of the rows of a DataFrame."""
    columns = list(frame.columns)
    known = [name for name in STRUCTURE_COLUMNS if name in columns]
    if len(columns) == 1:
        known = columns
    if not known or columns.count(known[0]) > 1:
        raise ValueError(
            f"found a DataFrame with columns {', '.join(map(str, columns))[:200]}; "
            f"expected one called {' or '.join(STRUCTURE_COLUMNS)}, or the column "
            "itself: predict(frame[NAME])"
        )
    ids = [name for name in ID_COLUMNS if name in columns and name != known[0]]
    names = frame[ids[0]] if ids else getattr(frame, "index", range(len(frame)))
    return names, frame[known[0]]


def is_missing(value: Any) -> bool:
    """Return whether a value is what tables hold in an empty cell."""
    if isinstance(value, str | bytes):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def without_arrays(value: Any) -> Any:
    """Return a dictionary with lists in place of arrays, which pandas may nest."""
    if isinstance(value, dict):
        return {key: without_arrays(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return [without_arrays(one) for one in value] if isinstance(value, list) else value


def cell_of(value: Any) -> Cell | None:
    """Return the cell of a structure object, None for an object of another type.

    Raises:
        Rejection: the structure is not one of a crystal.
    """
    try:
        if isinstance(value, Cell):
            return value
        if hasattr(value, "lattice_mat"):  # JARVIS
            names = ("lattice_mat", "coords", "elements", "cartesian")
            return read_json({name: getattr(value, name) for name in names})
        if hasattr(value, "lattice") and hasattr(value, "frac_coords"):  # pymatgen
            return Cell.from_structure(value)
        if hasattr(value, "get_positions") and hasattr(value, "pbc"):  # ASE
            names = ("numbers", "positions", "cell", "pbc")
            return read_json({name: getattr(value, name) for name in names})
    except Rejection:
        raise
    except Exception as error:  # whatever an object does that is not what it seems
        raise Rejection.of_error(f"a usable {_type(value)}", error) from None
    return None


def refusal(name: str, value: Any) -> str:
    """Return the message about an object that is not a structure of a crystal."""
    why = ""
    if hasattr(value, "cart_coords"):
        why = ", a molecule without a lattice"
    return f"structure {name} has type {_type(value)}{why}; {ACCEPTED}"


def _type(value: Any) -> str:
    return type(value).__name__
