"""The canonical choice among equivalent descriptions of a crystal.

The same crystal may be given with another origin, other axes or another order of its
atoms. A shift of origin or a permutation of axes that maps the space group onto itself
is an element of its Euclidean normaliser and renames the Wyckoff positions; the
lexicographically smallest list of names is taken, so that the sentence does not depend
on these choices.
"""

import math
from functools import cache, lru_cache

import numpy as np

from cloud_jax.scope.record import MAX_COUNT, Scope
from cloud_jax.scope.space_groups import wyckoff_multiplicities, wyckoff_relabelings
from cloud_jax.scope.symmetry import electronegativity


def canonical_composition(scope: Scope) -> str:
    """Return elements and integer counts in order of electronegativity.

    Counts that the vocabulary lacks give way to the nearest ratios that it has.
    """
    ordered = sorted(scope.composition, key=lambda item: _rank(item[0]))
    counts = [count for _, count in ordered]
    if max(counts) > MAX_COUNT:
        counts = _small_counts(counts)
    return " ".join(
        f"{element} {count}"
        for (element, _), count in zip(ordered, counts, strict=True)
    )


def _small_counts(counts: list[int]) -> list[int]:
    """Return integers up to `MAX_COUNT` in nearly the same ratios.

    Of ratios that are equally good to a thousandth the smallest integers are taken.
    """
    ratios = np.array(counts) / max(counts)
    scales = np.arange(1, MAX_COUNT + 1)[:, None]
    small = np.maximum(np.rint(scales * ratios), 1).astype(int)
    errors = np.abs(small / (scales * ratios) - 1).max(axis=1)
    return small[np.argmin(errors.round(3))].tolist()


def canonical_orbits(scope: Scope) -> str:
    """Return the (element, Wyckoff symbol) pairs of all orbits, canonically named."""
    elements = sorted({orbit.element for orbit in scope.orbits}, key=_rank)
    index = {element: i for i, element in enumerate(elements)}
    pairs = sorted((index[orbit.element], orbit.letter) for orbit in scope.orbits)
    least = _least(scope.space_group, tuple(pairs))
    return " ".join(f"{elements[i]} {symbol}" for i, symbol in least)


@lru_cache(maxsize=16384)  # many crystals share a prototype
def _least(
    number: int, pairs: tuple[tuple[int, str], ...]
) -> tuple[tuple[int, str], ...]:
    """Return the smallest relabeling of (element, letter) pairs, letters as symbols."""
    least = min(
        sorted((i, _letter_order(relabeling[letter])) for i, letter in pairs)
        for relabeling in wyckoff_relabelings(number)
    )
    multiplicity = wyckoff_multiplicities(number)
    return tuple((i, f"{multiplicity[letter]}{letter}") for i, (_, letter) in least)


def _letter_order(letter: str) -> tuple[bool, str]:
    """Return a sort key: a to z, then the `A` of space group 47, as in the tables."""
    return letter.isupper(), letter


@cache
def _rank(element: str) -> tuple[float, str]:
    """Return a sort key: electronegativity, elements without one first."""
    value = electronegativity(element)
    return (-math.inf if math.isnan(value) else value), element
