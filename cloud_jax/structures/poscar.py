"""POSCAR and CONTCAR files of VASP to cells.

A reader of our own, so that prediction installs without pymatgen; the tests compare it
with pymatgen's. Format: VASP manual, https://www.vasp.at/wiki/index.php/POSCAR.
"""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import MAX_SITES, Cell
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import element_of

_COMMENT = re.compile(r"[#!].*")


def read_poscar(text: str) -> Cell:
    """Read a POSCAR that names its elements: VASP 5 and 6, or symbols after the sites.

    Raises:
        Rejection: not a POSCAR, or one without element symbols.
    """
    # The first line is a comment and may hold anything.
    comment, *rest = text.split("\n")
    lines = [comment, *(_COMMENT.sub("", line).strip() for line in rest)]
    try:
        lattice, scale = _lattice(lines)
        symbols, counts, at = _species(lines)
        words = lines[at].split()
        selective = words[0][0] in "sS"
        at += selective
        cartesian = lines[at].split()[0][0] in "cCkK"
        sites = [line.split() for line in lines[at + 1 : at + 1 + sum(counts)]]
        if symbols is None:
            names = _symbols_after(sites, 6 if selective else 3)
        else:
            names = np.repeat(symbols, counts).tolist()
        coordinates = np.array([_three(site) for site in sites]).reshape(-1, 3)
        if len(sites) < sum(counts):
            raise ValueError(f"found {len(sites)} sites, expected {sum(counts)}")
        if cartesian:
            coordinates = coordinates * scale @ np.linalg.inv(lattice)
    except Rejection:
        raise
    except (ValueError, IndexError, np.linalg.LinAlgError) as error:
        raise Rejection.of_error("a POSCAR", error) from None
    return Cell.from_sites(lattice, coordinates, [[(name, 1.0)] for name in names])


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
            factors.append(float(word))
        except ValueError:  # a comment after the factor
            break
    lattice = np.array([_three(line.split()) for line in lines[2:5]])
    if len(factors) == 3:
        scale = np.array(factors)
    elif factors and factors[0] < 0:
        volume = abs(np.linalg.det(lattice))
        if volume == 0:
            raise ValueError("the cell has no volume")
        scale = np.full(3, (-factors[0] / volume) ** (1 / 3))
    else:
        scale = np.full(3, float(lines[1].split()[0]))
    return lattice * scale, scale


def _species(lines: Sequence[str]) -> tuple[list[str] | None, list[int], int]:
    """Return symbols (None in VASP 4), their counts, and the number of the next line.

    VASP writes more than 20 groups of atoms on several lines of symbols and as many
    lines of counts.
    """
    first = 5
    while not re.match(r"\d+(\s|$)", lines[first]):  # an IndexError at the end
        first += 1
    n_lines = first - 5
    counts = [
        int(word)
        for line in lines[first : first + max(n_lines, 1)]
        for word in line.split()
    ]
    if sum(counts) > MAX_SITES:
        raise Rejection(
            "too_many_sites",
            f"POSCAR: found {sum(counts):,} atoms, expected at most {MAX_SITES:,}",
        )
    if not n_lines:
        return None, counts, 6
    # VASP 6 writes the name of the potential and its hash: Mg_pv/f474ac0d.
    symbols = [
        re.split("[/_]", word)[0] for line in lines[5:first] for word in line.split()
    ]
    if len(symbols) != len(counts):
        raise ValueError(f"found {len(symbols)} symbols and {len(counts)} counts")
    return symbols, counts, first + n_lines


def _symbols_after(sites: Sequence[Sequence[str]], place: int) -> list[str]:
    """Return the symbols that stand behind the coordinates of each site."""
    names = [site[place] if len(site) > place else "" for site in sites]
    try:
        for name in names:
            element_of(name)
    except Rejection:
        raise Rejection(
            "unreadable",
            "POSCAR: found no element symbols, expected them on line 6 (VASP 5) or "
            "behind the coordinates",
        ) from None
    return names


def _three(words: Sequence[str]) -> list[float]:
    """Return the first three numbers; a minus sign may stand without a space before."""
    if len(words) < 3:
        words = re.sub(r"(?<=[\d.])-", " -", " ".join(words)).split()
    if len(words) < 3:
        raise ValueError(f"found {' '.join(words)!r}, expected three numbers")
    return [float(word) for word in words[:3]]
