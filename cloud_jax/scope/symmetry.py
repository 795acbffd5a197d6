"""The symmetry of a cell, found by spglib or moyopy, as a record."""

import math
from collections import Counter
from fractions import Fraction
from functools import cache, cmp_to_key

import numpy as np
from jaxtyping import Float

from cloud_jax.scope import tables
from cloud_jax.scope.guard import find_guarded
from cloud_jax.scope.record import MAX_COUNT, Orbit, Scope, Sites
from cloud_jax.scope.search import Search, finder
from cloud_jax.scope.space_groups import wyckoff_multiplicities
from cloud_jax.structures.cell import SHORTEST_DISTANCE, Cell
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.species import Occupants, is_full

DISORDER_POLICIES = ("majority", "reject")
_SORTED = "sorted by electronegativity"
_MAX_DENOMINATOR = 100  # makes occupancies such as 1/3, 0.05 and 0.98 exact
_EXACT_DENOMINATOR = 10**6  # occupancies are rounded to six decimals


def encode(
    cell: Cell,
    *,
    symprec: float = 0.01,
    angle_tolerance: float = 5.0,
    disorder: str = "majority",
    symmetry: str = "spglib",
    as_given: bool = False,
) -> Scope:
    """Find the symmetry of a cell and return its record.

    Args:
        cell: the structure; its atoms may come in any order.
        symprec: distance tolerance of the symmetry search, angstrom. Where no group is
            found, a tenth and a hundredth are tried and the record is flagged
            `symprec_lowered`.
        angle_tolerance: degrees; -1 leaves it to the package that searches. Where the
            lattice symmetries within it form no group, spglib gets -1 and the record is
            flagged `angle_tolerance_lowered`.
        disorder: what to do with a partially occupied site: `majority` names the
            orbit by its most abundant element and flags the record `disordered`,
            `reject` refuses.
        symmetry: package that searches, `spglib` or `moyopy`.
        as_given: search the description given, as the reference of the paper dialect
            does, also where another one of the same crystal gives another group. By
            default one standard description then decides, and the record is flagged
            `symmetry_uncertain`.

    Raises:
        Rejection: disordered (policy), overlapping atoms, no symmetry found, or the
            search of a large cell takes too long.
        ValueError: an unknown policy or search.
        ModuleNotFoundError: moyopy is not installed.
    """
    if disorder not in DISORDER_POLICIES:
        raise ValueError(f"disorder={disorder!r}: expected one of {DISORDER_POLICIES}")
    if cell.is_disordered and disorder == "reject":
        raise Rejection("disordered", "a site is partially occupied")
    order = _electronegativity_order(cell.species)
    species = [cell.species[i] for i in order]
    numbers = {kind: i + 1 for i, kind in enumerate(sorted(set(species), key=str))}
    kinds = np.array([numbers[kind] for kind in species])
    fractional = cell.fractional[order]
    names = [cell.labels[i] for i in order] if cell.labels else []
    _check_distances(cell.lattice, fractional, species, names, symprec)
    name = finder(symmetry)
    search = Search(symmetry, symprec, angle_tolerance, as_given)
    sites = find_guarded(cell.lattice, fractional, kinds, search)
    flags = set(cell.flags)
    if cell.is_disordered:
        flags.add("disordered")
    if sites.symprec < symprec:
        flags.add("symprec_lowered")
    if sites.angle_tolerance < angle_tolerance:
        flags.add("angle_tolerance_lowered")
    if sites.uncertain and not as_given:
        flags.add("symmetry_uncertain")
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
        angle_tolerance=sites.angle_tolerance,
        finder=name,
        flags=tuple(sorted(flags)),
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
    farthest = max(SHORTEST_DISTANCE, symprec)
    step = max(1, 2**16 // n)  # bounds the memory of large cells
    for start in range(0, n, step):
        difference = fractional[start : start + step, None] - fractional
        difference -= np.rint(difference)
        difference = difference @ lattice
        square = np.einsum("ijk,ijk->ij", difference, difference)
        close = square < farthest**2
        if np.count_nonzero(close) > len(close):  # more than each atom with itself
            for i, j in np.argwhere(np.triu(close, k=start + 1)):
                pair = (start + i, j)
                full = all(is_full(species[k]) for k in pair)
                least = farthest if full else symprec
                if square[i, j] < least**2:
                    _refuse_pair(pair, names, np.sqrt(square[i, j]), least)


def _refuse_pair(
    pair: tuple[int, int], names: list[str], distance: float, least: float
) -> None:
    a, b = pair
    of = f"{names[a]} and {names[b]} of the file" if names else _SORTED
    raise Rejection(
        "overlapping_sites",
        f"atoms {a + 1} and {b + 1} ({of}) are {distance:.4f} A apart, expected at "
        f"least {least:g} A",
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
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys.values())))}
    return np.argsort([ranks[keys[kind]] for kind in species], kind="stable")


def _majority(kind: str | Occupants) -> str:
    if isinstance(kind, str):
        return kind
    return min(kind, key=lambda item: (-item[1], item[0]))[0]


def _reduced_composition(
    species: list[str | Occupants],
) -> tuple[tuple[str, int], ...]:
    """Return the integers of the reduced formula, elements in order of first site."""
    sites = Counter(species)
    if all(isinstance(kind, str) for kind in sites):
        divisor = math.gcd(*sites.values())
        return tuple((kind, count // divisor) for kind, count in sites.items())
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
