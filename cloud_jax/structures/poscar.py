"""POSCAR and CONTCAR files of VASP to cells.

A reader of our own, so that prediction installs without pymatgen; the tests compare it
with pymatgen's. Format: VASP manual, https://www.vasp.at/wiki/index.php/POSCAR.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import MAX_SITES, Cell
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import ELEMENTS, element_of

_COMMENT = re.compile(r"[#!].*")
_COUNTS = re.compile(r"\d+(?:\s+\d+)*(?=\s|$)")
_NAMED = re.compile(r"([A-Z][a-z]?)(\d*)")  # Na or Na4
_EXPONENT = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")
_MINUS = re.compile(r"(?<=[\d.])-")


class _Head(NamedTuple):
    """What stands between the cell vectors and the sites.

    Attributes:
        symbols: one per group of atoms; None in a file of VASP 4.
        counts: atoms per group.
        selective: whether logicals follow the coordinates.
        cartesian: whether the coordinates are multiples of the scale.
        end: number of lines before the sites.
    """

    symbols: list[str] | None
    counts: list[int]
    selective: bool
    cartesian: bool
    end: int


def read_poscar(text: str) -> Cell:
    """Read a POSCAR that names its elements.

    VASP 5 and 6 name them on line 6. A file of VASP 4 may name them behind the sites;
    where its comment alone does, the cell is flagged `symbols_from_comment`.

    Raises:
        Rejection: not a POSCAR, or one without element symbols.
    """
    # The first line is a comment and may hold anything.
    comment, *rest = re.split(r"\r\n?|\n", text)
    lines = [comment, *(_COMMENT.sub("", line).strip() for line in rest)]
    try:
        lattice, scale = _lattice(lines)
        head = _head(lines)
        n_sites = sum(head.counts)
        sites = lines[head.end : head.end + n_sites]
        coordinates = np.array(
            [_three(line, number) for number, line in enumerate(sites, head.end + 1)]
        ).reshape(-1, 3)
        if len(sites) < n_sites:
            raise ValueError(f"found {len(sites)} sites, expected {n_sites}")
        if head.cartesian:
            coordinates = coordinates * scale @ np.linalg.inv(lattice)
    except Rejection:
        raise
    except IndexError:
        found = f"not a POSCAR: the file ends after line {len(lines)}"
        raise Rejection("unreadable", f"{found}, before its sites") from None
    except (ValueError, np.linalg.LinAlgError) as error:
        raise Rejection.of_error("a POSCAR", error) from None
    symbols, names = head.symbols, None
    if symbols is None:
        names = _symbols_behind(sites, 6 if head.selective else 3)
    if symbols is None and names is None:
        symbols = _symbols_in(comment, head.counts)
    names = names or np.repeat(symbols, head.counts).tolist()
    cell = Cell.from_sites(lattice, coordinates, [[(name, 1.0)] for name in names])
    from_comment = symbols is not None and head.symbols is None
    return cell.flagged("symbols_from_comment") if from_comment else cell


def _lattice(
    lines: Sequence[str],
) -> tuple[Float[np.ndarray, "3 3"], Float[np.ndarray, " 3"]]:
    """Return the cell vectors, angstrom, and what scales the x, y and z of all vectors.

    The second line has one factor, or one for each direction; a negative one is the
    volume of the cell, angstrom^3.
    """
    factors = []
    for word in lines[1].split()[:3]:
        try:
            factors.append(float(_EXPONENT.sub("e", word)))
        except ValueError:  # a comment after the factor
            break
    lattice = np.array([_three(lines[i], i + 1) for i in (2, 3, 4)])
    known = len(factors) == 1 and factors[0] != 0
    if not known and not (len(factors) == 3 and min(factors) > 0):
        found = f"line 2: found {lines[1][:40]!r}"
        raise ValueError(f"{found}, expected a scaling factor, or three above 0")
    if len(factors) == 3:
        scale = np.array(factors)
    elif factors[0] < 0:
        volume = abs(np.linalg.det(lattice))
        if volume == 0:
            raise ValueError("the cell has no volume")
        scale = np.full(3, (-factors[0] / volume) ** (1 / 3))
    else:
        scale = np.full(3, factors[0])
    return lattice * scale, scale


def _head(lines: Sequence[str]) -> _Head:
    """Read symbols and counts, and how the coordinates are given.

    VASP writes more than 20 groups of atoms on several lines of symbols and as many
    lines of counts.
    """
    first = 5
    while not _COUNTS.match(lines[first]):  # an IndexError at the end
        if re.match(r"[-+.\d]", lines[first]):
            found = f"line {first + 1}: found {lines[first][:60]!r}"
            raise ValueError(f"{found}, expected the number of atoms of each element")
        first += 1
    end = first + max(first - 5, 1)
    found = [_COUNTS.match(line) for line in lines[first:end]]
    counts = [int(word) for match in found if match for word in match[0].split()]
    if sum(counts) > MAX_SITES:
        raise Rejection(
            "too_many_sites",
            f"POSCAR: found {sum(counts):,} atoms, expected at most {MAX_SITES:,}",
        )
    symbols = None
    if first > 5:
        # VASP 6 writes the name of the potential and its hash: Mg_pv/f474ac0d.
        words = " ".join(lines[5:first]).split()
        symbols = [re.split("[/_]", word)[0] for word in words]
        if len(symbols) != len(counts):
            raise ValueError(f"found {len(symbols)} symbols and {len(counts)} counts")
    selective = lines[end][:1] in tuple("sS")
    end += selective
    return _Head(symbols, counts, selective, lines[end][:1] in tuple("cCkK"), end + 1)


def _symbols_behind(sites: Sequence[str], place: int) -> list[str] | None:
    """Return the symbols behind the coordinates of the sites, None if one has none."""
    try:
        names = [site.split()[place] for site in sites]
        for name in names:
            element_of(name)
    except (IndexError, Rejection):
        return None
    return names


def _symbols_in(comment: str, counts: Sequence[int]) -> list[str]:
    """Return the symbols of the groups in a comment such as `Na Cl` or `Na4 Cl4`.

    Raises:
        Rejection: the comment is not a list of elements, one per group.
    """
    found = [_NAMED.fullmatch(word) for word in comment.split()]
    if len(found) == len(counts) and all(
        match and match[1] in ELEMENTS and match[2] in ("", str(count))
        for match, count in zip(found, counts, strict=True)
    ):
        return [match[1] for match in found]
    raise Rejection(
        "unreadable",
        "POSCAR: found no element symbols, expected them on line 6 (VASP 5), behind "
        "the coordinates, or in the comment on line 1",
    )


def _three(line: str, number: int) -> list[float]:
    """Return the first three numbers of a line; its number is for the message."""
    try:
        x, y, z = map(float, line.split()[:3])
    except ValueError:
        # Fortran reads 1.0D-3, commas, and a minus sign without a space before it.
        plain = _EXPONENT.sub("e", line.replace(",", " "))
        try:
            x, y, z = map(float, _MINUS.sub(" -", plain).split()[:3])
        except ValueError:
            found = f"line {number}: found {line[:60]!r}"
            raise ValueError(f"{found}, expected three numbers") from None
    return [x, y, z]
