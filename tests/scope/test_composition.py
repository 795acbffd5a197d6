"""Amounts of mixed sites become integers that the vocabulary has."""

import numpy as np
import pytest

from cloud_jax.scope import Cell, build_vocabulary, encode, sentence
from cloud_jax.scope.vocabulary import MAX_COUNT


def record(*sites):
    """Return the record of a chain of sites, spaced unevenly along x."""
    positions = [[(i + 0.1 * (i % 7) ** 2) / 900, 0, 0] for i in range(len(sites))]
    return encode(Cell.from_sites(np.diag([9000, 5, 5]), positions, sites))


def test_amounts_that_add_up_are_exact():
    # A partly inverted spinel: every occupancy has three digits, the sum is MgAl2O4.
    metals = [("Mg", 0.782), ("Al", 0.218)], *[[("Al", 0.891), ("Mg", 0.109)]] * 2
    scope = record(*metals, *[[("O", 1.0)]] * 4)
    assert scope.formula == "Al2 Mg1 O4"
    assert scope.flags == ("disordered",)


@pytest.mark.parametrize(
    ("sites", "exact", "said", "rounded"),
    [
        # The nearest ratios up to 256: 1.854/9, 1.656/9...
        (
            [[("Mn", 0.618), ("Fe", 0.203), ("Mg", 0.179)]] * 3 + [[("O", 1.0)]] * 9,
            "Fe203 Mg179 Mn618 O3000",
            {"Mg": 0.179 / 4, "Mn": 0.618 / 4, "Fe": 0.203 / 4, "O": 0.75},
            True,
        ),
        ([[("O", 1.0)], [("O", 0.003)]], "O1", {"O": 1.0}, False),
        ([[("Si", 0.003)], [("O", 1.0)]], "O1000 Si3", {"Si": 0.003, "O": 0.997}, True),
        (
            [[("Si", 0.3333)], [("O", 0.127)]],
            "O8 Si21",
            {"Si": 0.724, "O": 0.276},
            False,
        ),
        ([[("K", 2e-6)], [("Cl", 1.0)]], "Cl500000 K1", {"K": 0.0, "Cl": 1.0}, True),
    ],
)
def test_amounts_that_explode_are_rounded_and_flagged(sites, exact, said, rounded):
    scope = record(*sites)
    text = sentence(scope, "canonical")
    words = text.rpartition("| ")[2].split()
    counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    assert scope.formula == exact
    assert ("composition_rounded" in scope.flags) == rounded
    assert max(counts.values()) <= MAX_COUNT
    total = sum(counts.values())
    assert {e: n / total for e, n in counts.items()} == pytest.approx(said, abs=0.004)
    build_vocabulary("canonical").encode(text)


def test_large_formulas_of_full_sites_are_rounded_too():
    scope = record(*[[("C", 1.0)]] * 300, *[[("H", 1.0)]] * 301)
    assert scope.formula == "C300 H301"
    assert scope.flags == ("composition_rounded",)
    assert sentence(scope, "canonical").endswith("| H 208 C 207")
