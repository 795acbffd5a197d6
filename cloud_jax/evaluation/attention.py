"""Does [CLS] look at space-group tokens more than their number alone would have it?

The paper asks how often at least one of the k tokens with the highest scores is of the
space group (p1), and what share of the k is (p2), and tests both against 0.5. But most
tokens of a sentence are of the space group, so attention that means nothing reaches
0.6 and more. Here the null is the token share of each sentence: its scores permuted.
The number of space-group tokens among the first k is then hypergeometric, which gives
expectations in closed form and permutations without permuting.

Shape letters: N crystals, Y layers, L tokens, K values of k, R permutations.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

TOP = (1, 2, 3)  # k of the paper
BASELINE = 0.5  # of the paper's t-test
LEVEL = 0.95
ALPHA = 0.001  # the paper's: p < 0.001
PERMUTATIONS = 9_999


class Share(NamedTuple):
    """Of each crystal, or on average: a space-group token among k, and their share.

    Attributes:
        p1: 1 where there is one, 0 where not; between them where scores are tied.
        p2: share of the k tokens.
    """

    p1: Float[np.ndarray, " N"]
    p2: Float[np.ndarray, " N"]


def top_share(
    scores: Float[np.ndarray, "N L"],
    candidate: Bool[np.ndarray, "N L"],
    space_group: Bool[np.ndarray, "N L"],
    k: int,
) -> Share:
    """Look at the k tokens with the highest scores of each crystal.

    Which of tied tokens come first is left to chance and the expectation taken: equal
    scores say nothing about order, and the first tokens of a sentence are of the space
    group.

    Args:
        scores: of each token.
        candidate: tokens that count; the others are not there.
        space_group: tokens of the space group.
        k: how many.

    Raises:
        ValueError: a crystal has fewer than k candidates.
    """
    _check(candidate, k)
    space_group = space_group & candidate
    scores = np.where(candidate, scores, -np.inf)
    least = -np.partition(-scores, k - 1, axis=1)[:, k - 1 : k]
    above, tied = scores > least, candidate & (scores == least)
    certain = (above & space_group).sum(axis=1)
    chance = by_share(
        tied.sum(axis=1), (tied & space_group).sum(axis=1), k - above.sum(axis=1)
    )
    p1 = np.where(certain > 0, 1.0, chance.p1)
    return Share(p1, (certain + chance.p2 * (k - above.sum(axis=1))) / k)


def strongest(
    scores: Float[np.ndarray, "Y L"], candidate: Bool[np.ndarray, " L"], k: int
) -> list[list[int]]:
    """Places of the k candidates with the highest scores of each layer, best first."""
    scores = np.where(candidate, scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()


def by_share(
    n: Int[np.ndarray, " N"], n_space_group: Int[np.ndarray, " N"], k: Any
) -> Share:
    """Expectations where k of n tokens are drawn by chance: hypergeometric."""
    none = stats.hypergeom.pmf(0, n, n_space_group, k)
    return Share(1.0 - none, n_space_group / n)


def _check(candidate: Bool[np.ndarray, "N L"], k: int) -> None:
    n = candidate.sum(axis=1)
    if (n < k).any():
        raise ValueError(
            f"crystal {int(np.argmin(n))} has {n.min()} tokens that count, expected at "
            f"least {k}: there are no {k} with the highest scores"
        )


def permuted(
    n: Int[np.ndarray, " N"],
    n_space_group: Int[np.ndarray, " N"],
    k: int,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Share:
    """Means over the crystals with the scores of each permuted, R times.

    Crystals with as many tokens and as many of the space group are drawn together, so
    a million crystals cost what a thousand do.
    """
    generator = np.random.default_rng(seed)
    hits, shares = np.zeros(permutations), np.zeros(permutations)
    kinds = np.stack([n, n_space_group], axis=1)
    for (size, good), count in zip(
        *np.unique(kinds, axis=0, return_counts=True), strict=True
    ):
        chances = stats.hypergeom.pmf(np.arange(k + 1), size, good, k)
        drawn = generator.multinomial(count, chances / chances.sum(), permutations)
        hits += count - drawn[:, 0]
        shares += drawn @ np.arange(k + 1) / k
    return Share(hits / len(n), shares / len(n))


def measure(
    scores: Float[np.ndarray, "N Y L"],
    candidate: Bool[np.ndarray, "N L"],
    space_group: Bool[np.ndarray, "N L"],
    *,
    top: Sequence[int] = TOP,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure p1 and p2 of every layer, with the null beside them.

    Args:
        scores: attention from [CLS], heads averaged; anything beyond a sentence.
        candidate: tokens that count.
        space_group: tokens of the space group.
        top: values of k.
        permutations: R.
        seed: of the permutations.

    Returns:
        `share`: mean share of space-group tokens. `layers`: of each its `layer` from
        1, `mass` (share of the attention that space-group tokens receive, mean over
        crystals) and `top`: of each k `p1` and `p2`, see `_compare`.

    Raises:
        ValueError: fewer than two crystals, or one has fewer tokens than k.
    """
    if len(scores) < 2:
        raise ValueError(
            f"found {len(scores)} crystals, expected two at least: of one there is no "
            "interval"
        )
    n = candidate.sum(axis=1)
    n_space_group = (candidate & space_group).sum(axis=1)
    nulls = {k: by_share(n, n_space_group, k) for k in top}
    draws = {
        k: permuted(n, n_space_group, k, permutations=permutations, seed=seed)
        for k in top
    }
    layers = []
    for i in range(scores.shape[1]):
        of_layer = np.where(candidate, scores[:, i], 0.0)
        mass = np.where(space_group, of_layer, 0.0).sum(axis=1) / of_layer.sum(axis=1)
        rows = []
        for k in top:
            found = top_share(scores[:, i], candidate, space_group, k)
            both = zip(Share._fields, found, nulls[k], draws[k], strict=True)
            rows.append({"k": k} | {name: _compare(name, *x) for name, *x in both})
        layers.append({"layer": i + 1, "mass": float(mass.mean()), "top": rows})
    return {
        "share": float((n_space_group / n).mean()),
        "n": len(scores),
        "permutations": permutations,
        "seed": seed,
        "layers": layers,
    }


def _compare(
    name: str,
    found: Float[np.ndarray, " N"],
    expected: Float[np.ndarray, " N"],
    drawn: Float[np.ndarray, " R"],
) -> dict[str, Any]:
    """One proportion beside 0.5, as the paper has it, and beside its null.

    Returns:
        `value` with its 95 % `interval` (Wilson's for p1, Student's for p2); `t_test`
        against 0.5, two-sided (None where all crystals are the same); `null`, its 95 %
        `null_interval` and p-values of the permutations, one-sided (`p_greater`,
        `p_less`); `difference` from the null with the interval of Student's paired
        test, and Cohen's h.
    """
    value, null = float(found.mean()), float(expected.mean())
    interval = wilson(value, len(found)) if name == "p1" else student(found)
    least = np.finfo(float).eps * 8  # two sums of the same numbers in another order
    p_greater, p_less = (
        float((1 + np.count_nonzero(as_far)) / (1 + len(drawn)))
        for as_far in (drawn >= value - least, drawn <= value + least)
    )
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "value": value,
        "interval": interval,
        "t_test": t_test(found),
        "null": null,
        "null_interval": [float(low), float(high)],
        "p_greater": p_greater,
        "p_less": p_less,
        "difference": value - null,
        "difference_interval": student(found - expected),
        "cohens_h": cohens_h(value, null),
    }


def t_test(values: Float[np.ndarray, " N"]) -> dict[str, float] | None:
    """The paper's test of a mean against 0.5; None where nothing varies."""
    if np.ptp(values) == 0:
        return None
    result = stats.ttest_1samp(values, BASELINE)
    return {"t": float(result.statistic), "p": float(result.pvalue)}


def student(values: Float[np.ndarray, " N"]) -> list[float]:
    """Student's 95 % interval of a mean."""
    mean, error = values.mean(), stats.sem(values)
    half = error * stats.t.ppf((1 + LEVEL) / 2, len(values) - 1)
    return [float(mean - half), float(mean + half)]


def wilson(share: float, n: int) -> list[float]:
    """Wilson's 95 % interval of a proportion of n; ties may make it no count."""
    z = stats.norm.ppf((1 + LEVEL) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    spread = share * (1 - share) / n + z**2 / (4 * n**2)
    half = z * max(spread, 0.0) ** 0.5 / (1 + z**2 / n)
    return [float(max(centre - half, 0.0)), float(min(centre + half, 1.0))]


def cohens_h(found: float, expected: float) -> float:
    """Cohen's effect size between two proportions: 0.2 small, 0.5 medium, 0.8 large."""
    angles = 2 * np.arcsin(np.sqrt(np.clip([found, expected], 0.0, 1.0)))
    return float(angles[0] - angles[1])


def verdict(layer: dict[str, Any]) -> str:
    """Say whether the paper's finding holds in a layer, beyond the token share.

    Args:
        layer: one of `measure`'s.

    Returns:
        `holds` where p1 and p2 exceed the null at every k (p < 0.001 each), `reversed`
        where they fall short of it, `in part` where some exceed, else `not shown`.
    """
    tests = [row[name] for row in layer["top"] for name in Share._fields]
    more = [test["p_greater"] < ALPHA for test in tests]
    if all(more):
        return "holds"
    if all(test["p_less"] < ALPHA for test in tests):
        return "reversed"
    return "in part" if any(more) else "not shown"
