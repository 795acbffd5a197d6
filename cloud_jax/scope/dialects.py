"""Records as sentences.

`paper` is, character for character, the string of the CLOUD reference pipeline:

    03aDDObOOOjOOO0 spaced out | Wyckoff symbols | element fraction pairs

each distinct Wyckoff symbol once, in the order of first appearance, without its
element; fractions of the composition rounded to two decimals, half to even.

`canonical` says more with as many words and says it one way only: each orbit is an
(element, Wyckoff symbol) pair and repeated orbits are kept; pairs are sorted and, of
all relabelings by the Euclidean normaliser (choices of origin and of axes), the least
list is taken; the composition is exact integer counts in order of
electronegativity. The sentence is the same whatever the atom order, cell, origin or
oxidation labels of the input.
"""

import math
from functools import cache, lru_cache

import numpy as np

from cloud_jax.scope.record import Scope
from cloud_jax.scope.space_groups import (
    generator_string,
    wyckoff_multiplicities,
    wyckoff_relabelings,
)
from cloud_jax.scope.symmetry import electronegativity

DIALECTS = ("paper", "canonical")


def sentence(scope: Scope, dialect: str) -> str:
    """Write a record in a dialect.

    Returns:
        Words separated by single spaces, the three parts by ` | `.

    Raises:
        ValueError: an unknown dialect.
    """
    if dialect == "paper":
        parts = _paper_orbits(scope), _paper_composition(scope)
    elif dialect == "canonical":
        parts = _canonical_orbits(scope), _canonical_composition(scope)
    else:
        raise ValueError(f"dialect {dialect!r}: expected one of {DIALECTS}")
    return " | ".join((_generators(scope.space_group), *parts))


@cache
def _generators(number: int) -> str:
    return " ".join(generator_string(number))


def _paper_orbits(scope: Scope) -> str:
    return " ".join(dict.fromkeys(orbit.symbol for orbit in scope.orbits))


def _paper_composition(scope: Scope) -> str:
    total = sum(count for _, count in scope.composition)
    return " ".join(
        f"{element} {_fraction(count / total)}" for element, count in scope.composition
    )


@lru_cache(maxsize=4096)
def _fraction(value: float) -> str:
    return str(np.round(value, 2))


@cache
def _rank(element: str) -> tuple[float, str]:
    """Order of elements: electronegativity, those without one first."""
    value = electronegativity(element)
    return (-math.inf if math.isnan(value) else value), element


def _canonical_composition(scope: Scope) -> str:
    ordered = sorted(scope.composition, key=lambda item: _rank(item[0]))
    return " ".join(f"{element} {count}" for element, count in ordered)


def _canonical_orbits(scope: Scope) -> str:
    elements = sorted({orbit.element for orbit in scope.orbits}, key=_rank)
    index = {element: i for i, element in enumerate(elements)}
    pairs = sorted((index[orbit.element], orbit.letter) for orbit in scope.orbits)
    least = _least(scope.space_group, tuple(pairs))
    return " ".join(f"{elements[i]} {symbol}" for i, symbol in least)


@lru_cache(maxsize=16384)  # many crystals share a prototype
def _least(
    number: int, pairs: tuple[tuple[int, str], ...]
) -> tuple[tuple[int, str], ...]:
    """The least of the relabelings of (element, letter) pairs, letters as symbols."""
    least = min(
        sorted((i, _letter_order(relabeling[letter])) for i, letter in pairs)
        for relabeling in wyckoff_relabelings(number)
    )
    multiplicity = wyckoff_multiplicities(number)
    return tuple((i, f"{multiplicity[letter]}{letter}") for i, (_, letter) in least)


def _letter_order(letter: str) -> tuple[bool, str]:
    """A to z with the upper-case `A` of space group 47 last, as in the tables."""
    return letter.isupper(), letter
