"""Prepared datasets of random sentences, for the tests of `data`."""

import numpy as np
from dataset_folder import write_folder

from cloud_jax.scope.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    dialect="canonical",
    tokens=(
        "[PAD]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "|",
        *(f"count:{i}" for i in range(95)),
    ),
    feature_names=("log amount",),
    features=np.linspace(-1, 1, 100, dtype=np.float32)[:, None],
)
# Sentence lengths like those of real crystals: most between 20 and 45, a long tail.
LENGTHS = np.clip(np.random.default_rng(0).gamma(12.0, 2.5, 1500), 12, 50).astype(int)


def make_crystals(lengths=LENGTHS):
    """Return (id, tokens) for each length: [CLS], random tokens, [SEP]."""
    rng = np.random.default_rng(1)
    return [
        (f"crystal-{i}-é", [1, *rng.integers(5, 100, n - 2).tolist(), 2])
        for i, n in enumerate(lengths)
    ]


def write_dataset(folder, splits, n_shards=3):
    """Write a dataset folder with the given crystals of each split."""
    return write_folder(folder, VOCABULARY, splits, n_shards=n_shards)
