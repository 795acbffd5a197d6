"""The symmetry of a cell, found by spglib or moyopy, as a record."""

import math
from collections import Counter
from fractions import Fraction
from functools import cache, cmp_to_key

import numpy as np
import spglib
from jaxtyping import Float

from cloud_jax.scope import moyo, tables
from cloud_jax.scope.record import MAX_COUNT, Orbit, Scope, Sites
from cloud_jax.scope.space_groups import wyckoff_multiplicities
from cloud_jax.structures.cell import SHORTEST_DISTANCE, Cell
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import Occupants, is_full

DISORDER_POLICIES = ("majority", "reject")
FINDERS = ("spglib", "moyopy")
_SORTED = "sorted by electronegativity"
_LADDER = (1.0, 0.1, 0.01)  # factors on symprec, tried until a group is found
_MAX_DENOMINATOR = 100  # makes occupancies such as 1/3, 0.05 and 0.98 exact
_EXACT_DENOMINATOR = 10**6  # occupancies are rounded to six decimals


def encode(
    cell: Cell,
    *,
    symprec: float = 0.01,
    angle_tolerance: float = 5.0,
    disorder: str = "majority",
    symmetry: str = "spglib",
) -> Scope:
    """Find the symmetry of a cell and return its record.

    Args:
        cell: the structure; its atoms may come in any order.
        symprec: distance tolerance of the symmetry search, angstrom. Where no group is
            found, a tenth and a hundredth are tried and the record is flagged
            `symprec_lowered`.
        angle_tolerance: degrees; -1 leaves it to the package that searches.
        disorder: what to do with a partially occupied site: `majority` names the
            orbit by its most abundant element and flags the record `disordered`,
            `reject` refuses.
        symmetry: package that searches, `spglib` or `moyopy`.

    Raises:
        Rejection: disordered (policy), overlapping atoms, or no symmetry found.
        ValueError: an unknown policy or search.
        ModuleNotFoundError: moyopy is not installed.
    """
    if disorder not in DISORDER_POLICIES:
        raise ValueError(f"disorder={disorder!r}: expected one of {DISORDER_POLICIES}")
    if cell.is_disordered and disorder == "reject":
        raise Rejection("disordered", "a site is partially occupied")
    order = _electronegativity_order(cell.species)
    species = [cell.species[i] for i in order]
    numbers = {kind: i + 1 for i, kind in enumerate(dict.fromkeys(species))}
    kinds = [numbers[kind] for kind in species]
    fractional = cell.fractional[order]
    names = [cell.labels[i] for i in order] if cell.labels else []
    _check_distances(cell.lattice, fractional, species, names, symprec)
    name = finder(symmetry)
    sites = _search(symmetry, cell.lattice, fractional, kinds, symprec, angle_tolerance)
    flags = set(cell.flags)
    if cell.is_disordered:
        flags.add("disordered")
    if sites.symprec < symprec:
        flags.add("symprec_lowered")
    composition = _reduced_composition(species)
    if max(count for _, count in composition) > MAX_COUNT:
        flags.add("composition_rounded")
    return Scope(
        space_group=sites.space_group,
        orbits=_orbits(sites, species),
        composition=composition,
        n_atoms=sites.n_primitive,
        volume_per_atom=cell.volume / len(species),
        symprec=sites.symprec,
        angle_tolerance=angle_tolerance,
        finder=name,
        flags=tuple(sorted(flags)),
    )


@cache
def finder(symmetry: str) -> str:
    """Return name and version of the package that searches, as `spglib 2.8.0`.

    Raises:
        ValueError: neither `spglib` nor `moyopy`.
        ModuleNotFoundError: it is not installed; the message says how to install it.
    """
    if symmetry not in FINDERS:
        raise ValueError(f"symmetry={symmetry!r}: expected one of {FINDERS}")
    package = spglib if symmetry == "spglib" else moyo.moyopy()
    return f"{symmetry} {package.__version__}"


def _search(
    symmetry: str,
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: list[int],
    symprec: float,
    angle_tolerance: float,
) -> Sites:
    find = _spglib if symmetry == "spglib" else moyo.find
    for factor in _LADDER:
        sites = find(lattice, fractional, kinds, symprec * factor, angle_tolerance)
        if sites is not None:
            return sites
    raise Rejection(
        "symmetry_failed",
        f"{symmetry} finds no space group at symprec {symprec}, "
        f"{symprec * _LADDER[1]:g} or {symprec * _LADDER[2]:g}",
    )


def _spglib(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    kinds: list[int],
    symprec: float,
    angle_tolerance: float,
) -> Sites | None:
    try:
        dataset = spglib.get_symmetry_dataset(
            (lattice, fractional, kinds), symprec, angle_tolerance
        )
    except spglib.SpglibError:
        return None
    if dataset is None or not dataset.number:
        return None
    return Sites(
        space_group=int(dataset.number),
        letters=dataset.wyckoffs,
        orbits=dataset.crystallographic_orbits.tolist(),
        n_primitive=int(dataset.mapping_to_primitive.max()) + 1,
        symprec=symprec,
    )


def _check_distances(
    lattice: Float[np.ndarray, "3 3"],
    fractional: Float[np.ndarray, "n 3"],
    species: list[str | Occupants],
    names: list[str],
    symprec: float,
) -> None:
    """Reject atoms nearer than any bond, and partial ones on one point.

    Atoms of partly occupied sites stand for alternatives, so that they may be near.
    spglib compares only atoms of one kind.
    """
    n = len(fractional)
    reach = np.where([is_full(kind) for kind in species], SHORTEST_DISTANCE, 0.0)
    reach = np.maximum(reach, symprec)
    step = max(1, 2**16 // n)  # bounds the memory of large cells
    for start in range(0, n, step):
        rows = slice(start, start + step)
        difference = fractional[rows, None] - fractional
        difference -= np.rint(difference)
        distance = np.square(difference @ lattice).sum(axis=-1)
        limit = np.minimum.outer(reach[rows], reach)
        close = distance < limit**2
        if np.count_nonzero(close) > len(close):  # more than each atom with itself
            i, j = np.argwhere(np.triu(close, k=start + 1))[0]
            a, b = start + i, j
            of = f"{names[a]} and {names[b]} of the file" if names else _SORTED
            raise Rejection(
                "overlapping_sites",
                f"atoms {a + 1} and {b + 1} ({of}) are {np.sqrt(distance[i, j]):.4f} A "
                f"apart, expected at least {limit[i, j]:g} A",
            )


def _orbits(sites: Sites, species: list[str | Occupants]) -> tuple[Orbit, ...]:
    """Return each orbit: its first site's element, multiplicity, Wyckoff letter."""
    multiplicities = wyckoff_multiplicities(sites.space_group)
    orbits: dict[int, Orbit] = {}
    for kind, orbit, letter in zip(species, sites.orbits, sites.letters, strict=True):
        if orbit not in orbits:
            orbits[orbit] = Orbit(_majority(kind), multiplicities[letter], letter)
    return tuple(orbits.values())


@cache
def electronegativity(element: str) -> float:
    """Return Pauling's electronegativity; NaN where there is none (He, Ne, Ar...)."""
    return tables.element(element).electronegativity


def _site_key(kind: str | Occupants) -> tuple[float, str]:
    """Return pymatgen's sort key of a site: mean electronegativity, then text."""
    if isinstance(kind, str):
        return electronegativity(kind), kind
    total = sum(amount for _, amount in kind)
    mean = sum(electronegativity(e) * amount for e, amount in kind) / total
    ranked = sorted(kind, key=lambda item: (electronegativity(item[0]), item[0]))
    return mean, ", ".join(f"{e}:{amount:.3g}" for e, amount in ranked)


def _electronegativity_order(species: tuple[str | Occupants, ...]) -> np.ndarray:
    keys = {kind: _site_key(kind) for kind in set(species)}
    if any(math.isnan(value) for value, _ in keys.values()):
        # NaN makes pymatgen's comparison non-transitive: only the same sort of the same
        # list reproduces its order.
        def compare(a: int, b: int) -> int:
            (x, name), (y, other) = keys[species[a]], keys[species[b]]
            if x < y or x > y:
                return -1 if x < y else 1
            return (name > other) - (name < other)

        return np.array(sorted(range(len(species)), key=cmp_to_key(compare)))
    return np.array(sorted(range(len(species)), key=lambda i: keys[species[i]]))


def _majority(kind: str | Occupants) -> str:
    if isinstance(kind, str):
        return kind
    return min(kind, key=lambda item: (-item[1], item[0]))[0]


def _reduced_composition(
    species: list[str | Occupants],
) -> tuple[tuple[str, int], ...]:
    """Return the integers of the reduced formula, elements in order of first site."""
    sites = Counter(species)
    counts = _integers(sites, _MAX_DENOMINATOR)
    if 0 in counts.values() or max(counts.values()) > MAX_COUNT:
        counts = _integers(sites, _EXACT_DENOMINATOR)  # the decimals as written
    return tuple(counts.items())


def _integers(sites: Counter[str | Occupants], denominator: int) -> dict[str, int]:
    """Return the least integers in the ratios of the elements' amounts.

    Args:
        sites: how many sites of each kind there are.
        denominator: largest one of the fractions that stand for occupancies.
    """
    amounts: dict[str, Fraction | int] = {}
    for kind, count in sites.items():
        for element, occupancy in [(kind, 1)] if isinstance(kind, str) else kind:
            exact = Fraction(occupancy).limit_denominator(denominator)
            amounts[element] = amounts.get(element, 0) + count * exact
    scale = math.lcm(*(amount.denominator for amount in amounts.values()))
    counts = {element: int(amount * scale) for element, amount in amounts.items()}
    divisor = math.gcd(*counts.values())
    return {element: count // max(divisor, 1) for element, count in counts.items()}
