"""Count-based language models on the masked positions that ours is evaluated on.

Both see the true sentence around a masked token, so the bigram's left neighbour is
never masked itself: the baseline has a small advantage.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from cloud_jax.data.batches import PackedBatches
from cloud_jax.data.token_store import TokenStore
from cloud_jax.training.masking import N_SPECIAL, SEGMENTS
from cloud_jax.training.metrics_log import summarise
from cloud_jax.training.sharding import to_host
from cloud_jax.training.steps import Steps


def count_pairs(
    tokens: Int[np.ndarray, " T"], offsets: Int[np.ndarray, " N+1"], *, n_tokens: int
) -> Int[np.ndarray, "V V"]:
    """Count how often each token follows each other one inside a crystal.

    Args:
        tokens: ids of all crystals, end to end.
        offsets: where each crystal begins, and the end of the last.
        n_tokens: vocabulary size V.

    Returns:
        Counts by (token, the token after it).
    """
    # A pair of the last token of a crystal and the first of the next is none.
    inside = np.ones(max(len(tokens) - 1, 0), bool)
    starts = offsets[1:-1]
    inside[starts[(starts > 0) & (starts < len(tokens))] - 1] = False
    pair = tokens[:-1].astype(np.int64) * n_tokens + tokens[1:]
    counts = np.bincount(pair[inside], minlength=n_tokens * n_tokens)
    return counts.reshape(n_tokens, n_tokens)


def log_probabilities(counts: Int[np.ndarray, "R V"]) -> Float[np.ndarray, "R V"]:
    """Return add-one smoothed log-probabilities (nats) of maskable tokens, by row."""
    smoothed = counts[:, N_SPECIAL:] + 1.0
    smoothed /= smoothed.sum(axis=1, keepdims=True)
    special = np.full((len(counts), N_SPECIAL), -np.inf)
    return np.concatenate([special, np.log(smoothed)], axis=1)


def baseline_sums(
    masked: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]],
    pairs: Int[np.ndarray, "V V"],
) -> dict[str, dict[str, Float[np.ndarray, "3"]]]:
    """Return sums of `loss`, `correct`, `count` per segment of `unigram` and `bigram`.

    Args:
        masked: (left neighbour, label, segment) of the masked positions, by batch.
        pairs: training counts from `count_pairs`.
    """
    tables = {
        "unigram": log_probabilities(pairs.sum(axis=0, keepdims=True)),
        "bigram": log_probabilities(pairs),
    }
    sums = {
        name: {key: np.zeros(len(SEGMENTS)) for key in ("loss", "correct", "count")}
        for name in tables
    }
    for left, label, segment in masked:
        for name, table in tables.items():
            row = left if name == "bigram" else np.zeros_like(left)
            for key, value in {
                "loss": -table[row, label],
                "correct": table.argmax(axis=1)[row] == label,
                "count": np.ones(len(label)),
            }.items():
                sums[name][key] += np.bincount(
                    segment, weights=value, minlength=len(SEGMENTS)
                )
    return sums


def masked_positions(
    batches: PackedBatches, *, steps: Steps, key: PRNGKeyArray, n_batches: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield (left neighbour, label, segment) of what each evaluation batch masks."""
    for index in range(n_batches):
        batch = batches(index)
        masked = to_host(steps.masks(batch, np.int32(index), key))
        row, slot = np.nonzero(masked.weight)
        position = masked.query[row, slot]  # never 0: a crystal begins with [CLS]
        yield (
            batch["tokens"][row, position - 1],
            masked.labels[row, slot],
            masked.segment[row, slot],
        )


def baseline_means(
    train: TokenStore,
    *,
    batches: PackedBatches,
    steps: Steps,
    key: PRNGKeyArray,
    n_batches: int,
) -> dict[str, dict[str, float]]:
    """Return loss, perplexity and accuracy of `unigram` and `bigram`, also by segment.

    Args:
        train: the split to count in.
        batches: of the validation split.
        steps: compiled functions, for their masks.
        key: of the evaluation masks.
        n_batches: number of batches per evaluation.
    """
    n_tokens = len(train.vocabulary)
    pairs = count_pairs(train.tokens, train.offsets, n_tokens=n_tokens)
    masked = masked_positions(batches, steps=steps, key=key, n_batches=n_batches)
    sums = baseline_sums(masked, pairs)
    return {name: summarise(value) for name, value in sums.items()}
