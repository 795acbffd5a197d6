"""The two dialects in which a record is written as a sentence.

`paper` is, character for character, the string of the CLOUD reference pipeline:

    03aDDObOOOjOOO0 spaced out | Wyckoff symbols | element fraction pairs

each distinct Wyckoff symbol once, in the order of first appearance, without its
element; fractions of the composition rounded to two decimals, half to even.

`canonical` is unique per crystal and names the element of each orbit: every orbit is an
(element, Wyckoff symbol) pair and repeated orbits are kept; pairs are sorted and, of
all relabelings by the Euclidean normaliser (choices of origin and of axes), the
smallest list is taken; the composition is exact integer counts in order of
electronegativity. The sentence is the same whatever the atom order, cell, origin, hand
or oxidation labels of the input: of two enantiomorphic space groups it names the one
with the lower number.

Where only formula and space group are known, `[MASK]` stands for the Wyckoff symbols.
"""

from functools import cache, lru_cache

import numpy as np

from cloud_jax.scope.canonical import canonical_composition, canonical_orbits
from cloud_jax.scope.record import UNKNOWN_ORBITS, Scope
from cloud_jax.scope.space_groups import generator_string, without_hand

# Of each dialect the version of its sentences: 2 of canonical is the first that depends
# neither on the order of noisy atoms nor on hand.
VERSIONS = {"paper": 1, "canonical": 2}
DIALECTS = tuple(VERSIONS)


def sentence(scope: Scope, dialect: str) -> str:
    """Return a record as a sentence of a dialect.

    Args:
        scope: without orbits where nobody knows them.
        dialect: one of `DIALECTS`.

    Returns:
        Words separated by single spaces, the three parts by ` | `.

    Raises:
        ValueError: an unknown dialect.
    """
    group = scope.space_group
    if dialect == "paper":
        orbits, composition = _paper_orbits(scope), _paper_composition(scope)
    elif dialect == "canonical":
        group = without_hand(group)
        orbits, composition = canonical_orbits(scope), canonical_composition(scope)
    else:
        raise ValueError(f"dialect {dialect!r}: expected one of {DIALECTS}")
    return " | ".join((_generators(group), orbits or UNKNOWN_ORBITS, composition))


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
