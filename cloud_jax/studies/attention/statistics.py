"""Test whether [CLS] attends to space-group tokens more than chance explains.

The paper measures how often at least one of the k tokens with the highest scores
belongs to the space group (p1), and the share of the k that does (p2), and tests both
against 0.5. But most tokens of a sentence belong to the space group, so that random
attention reaches 0.6 and more. Here the null is the token share of each sentence: its
scores permuted. The number of space-group tokens among the first k is then
hypergeometric, which gives the expectation in closed form.

Sentences of one space group share their generator string and much of their attention,
so the space group is the unit of every interval and p-value except the paper's t-test.
Intervals: space groups drawn with replacement, their standard error with Student's
quantile. p-values: the wild cluster bootstrap with the null imposed (Cameron, Gelbach &
Miller 2008, doi 10.1162/rest.90.3.414), in which each space group keeps or changes the
sign of its excess over the null; with G groups no p-value is below 1 / 2^G.

Shape letters: N sentences, Y layers, L tokens, K values of k, G space groups, R draws.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

TOP = (1, 2, 3)  # values of k in the paper
BASELINE = 0.5  # null of the paper's t-test
CONFIDENCE = 0.95  # of the intervals
ALPHA = 0.001  # significance level of the paper
DRAWS = 9_999  # of the bootstrap


class Share(NamedTuple):
    """Space-group tokens among the k with the highest scores, per sentence.

    Attributes:
        p1: 1 where there is one, 0 where not; between them where scores are tied.
        p2: their share of the k tokens.
    """

    p1: Float[np.ndarray, " N"]
    p2: Float[np.ndarray, " N"]


def top_share(
    scores: Float[np.ndarray, "N L"],
    candidate: Bool[np.ndarray, "N L"],
    space_group: Bool[np.ndarray, "N L"],
    k: int,
) -> Share:
    """Measure p1 and p2 of each sentence.

    Tied tokens come in random order, and the expectation is taken: a stable order
    would favour the first tokens of a sentence, which belong to the space group.

    Args:
        scores: score of each token.
        candidate: tokens that count; the others are ignored.
        space_group: tokens of the space group.
        k: number of tokens with the highest scores.

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
    """Return the places of the k highest-scoring candidates per layer, best first."""
    scores = np.where(candidate, scores, -np.inf)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k].tolist()


def by_share(
    n: Int[np.ndarray, " N"], n_space_group: Int[np.ndarray, " N"], k: Any
) -> Share:
    """Return the expectations if k of n tokens are drawn at random (hypergeometric)."""
    none = stats.hypergeom.pmf(0, n, n_space_group, k)
    return Share(1.0 - none, n_space_group / n)


def _check(candidate: Bool[np.ndarray, "N L"], k: int) -> None:
    n = candidate.sum(axis=1)
    if (n < k).any():
        raise ValueError(
            f"crystal {int(np.argmin(n))} has {n.min()} tokens that count, expected at "
            f"least {k}: there are no {k} with the highest scores"
        )


class Groups(NamedTuple):
    """The space groups of the sentences, and R bootstrap draws of them.

    Attributes:
        of: number of each sentence's group.
        times: how often a draw with replacement has each group.
        signs: 1 or -1 per group, for the wild bootstrap.
    """

    of: Int[np.ndarray, " N"]
    times: Int[np.ndarray, "R G"]
    signs: Int[np.ndarray, "R G"]


def draw_groups(names: Sequence[str], *, draws: int = DRAWS, seed: int = 0) -> Groups:
    """Number the groups by name and draw them."""
    generator = np.random.default_rng(seed)
    known, of = np.unique(np.asarray(names), return_inverse=True)
    n = len(known)
    times = generator.multinomial(n, np.full(n, 1 / n), draws)
    return Groups(of, times, generator.choice((-1, 1), (draws, n)))


def measure(
    scores: Float[np.ndarray, "N Y L"],
    candidate: Bool[np.ndarray, "N L"],
    space_group: Bool[np.ndarray, "N L"],
    names: Sequence[str],
    *,
    top: Sequence[int] = TOP,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure p1 and p2 of every layer, with the null beside them.

    Args:
        scores: attention from [CLS], heads averaged; values beyond a sentence are
            ignored.
        candidate: tokens that count.
        space_group: tokens of the space group.
        names: name of each sentence's space group.
        top: values of k.
        draws: number R of bootstrap draws.
        seed: of the draws.

    Returns:
        `share`: mean share of space-group tokens. `layers`: per layer its number
        `layer` from 1, `mass` (share of the attention that space-group tokens receive,
        mean over sentences) and `top`: `p1` and `p2` per k, see `_compare`.

    Raises:
        ValueError: fewer than two sentences, or one has fewer tokens than k.
    """
    if len(scores) < 2:
        raise ValueError(
            f"found {len(scores)} sentences, expected at least two: one has no interval"
        )
    n = candidate.sum(axis=1)
    n_space_group = (candidate & space_group).sum(axis=1)
    nulls = {k: by_share(n, n_space_group, k) for k in top}
    groups = draw_groups(names, draws=draws, seed=seed)
    layers = []
    for i in range(scores.shape[1]):
        of_layer = np.where(candidate, scores[:, i], 0.0)
        mass = np.where(space_group, of_layer, 0.0).sum(axis=1) / of_layer.sum(axis=1)
        rows = []
        for k in top:
            found = top_share(scores[:, i], candidate, space_group, k)
            both = zip(Share._fields, found, nulls[k], strict=True)
            rows.append({"k": k} | {name: _compare(*x, groups) for name, *x in both})
        layers.append({"layer": i + 1, "mass": float(mass.mean()), "top": rows})
    return {
        "share": float((n_space_group / n).mean()),
        "n": len(scores),
        "groups": groups.signs.shape[1],
        "draws": draws,
        "seed": seed,
        "layers": layers,
    }


def _compare(
    found: Float[np.ndarray, " N"],
    expected: Float[np.ndarray, " N"],
    groups: Groups,
) -> dict[str, Any]:
    """Compare one proportion with 0.5, as in the paper, and with its null.

    Returns:
        `value` with its 95 % `interval`; `t_test` against 0.5, two-sided, with
        sentences as if they were independent (None where all are equal); `null`, with
        the 95 % range `null_interval` of values under it; one-sided p-values
        `p_greater` and `p_less`; `difference` from the null with its interval.
    """
    value, null = float(found.mean()), float(expected.mean())
    excess = found - expected
    drawn = groups.signs @ np.bincount(groups.of, excess) / len(excess)
    # Sums of the same numbers in another order count as equal.
    rounding = np.finfo(float).eps * 8
    p_greater, p_less = (
        float((1 + np.count_nonzero(as_far)) / (1 + len(drawn)))
        for as_far in (
            drawn >= excess.mean() - rounding,
            drawn <= excess.mean() + rounding,
        )
    )
    low, high = null + np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {
        "value": value,
        "interval": interval(found, groups, within=(0.0, 1.0)),
        "t_test": t_test(found),
        "null": null,
        "null_interval": np.clip([low, high], 0.0, 1.0).tolist(),
        "p_greater": p_greater,
        "p_less": p_less,
        "difference": value - null,
        "difference_interval": interval(excess, groups, within=(-1.0, 1.0)),
    }


def interval(
    values: Float[np.ndarray, " N"], groups: Groups, *, within: tuple[float, float]
) -> list[float]:
    """Return the 95 % interval of a mean over drawn groups; `within` for one group."""
    n_groups = groups.times.shape[1]
    if n_groups < 2:
        return list(within)
    sizes, sums = np.bincount(groups.of), np.bincount(groups.of, values)
    means = (groups.times @ sums) / (groups.times @ sizes)
    # The variance over drawn groups is too small by (G - 1) / G.
    error = means.std() * (n_groups / (n_groups - 1)) ** 0.5
    half = error * stats.t.ppf((1 + CONFIDENCE) / 2, n_groups - 1)
    return np.clip([values.mean() - half, values.mean() + half], *within).tolist()


def t_test(values: Float[np.ndarray, " N"]) -> dict[str, float] | None:
    """Run the paper's test of a mean against 0.5; None where nothing varies."""
    if np.ptp(values) == 0:
        return None
    result = stats.ttest_1samp(values, BASELINE)
    return {"t": float(result.statistic), "p": float(result.pvalue)}


def verdict(layer: dict[str, Any]) -> str:
    """Return whether the paper's finding holds in a layer, beyond the token share.

    Args:
        layer: one of the layers from `measure`.

    Returns:
        `holds` where p1 and p2 exceed the null at every k (p < 0.001 each), `reversed`
        where they fall short of it, `in part` where some exceed it, else `not shown`.
    """
    tests = [row[name] for row in layer["top"] for name in Share._fields]
    more = [test["p_greater"] < ALPHA for test in tests]
    if all(more):
        return "holds"
    if all(test["p_less"] < ALPHA for test in tests):
        return "reversed"
    return "in part" if any(more) else "not shown"
