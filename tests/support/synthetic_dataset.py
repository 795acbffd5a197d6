"""A tiny prepared dataset with something to learn, for the tests of training."""

import numpy as np
from dataset_folder import write_folder

from cloud_jax.scope.vocabulary import Vocabulary

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "|")
MAX_TOKENS = 32
VOCABULARY = Vocabulary(
    dialect="canonical",
    tokens=(*SPECIAL, *(f"count:{i}" for i in range(45))),
    feature_names=("even", "size"),
    features=np.stack([np.arange(50) % 2, np.linspace(-1, 1, 50)], 1).astype("f4"),
)


def crystals(n, seed=0):
    """Yield (id, tokens) of n sentences whose three parts depend on each other."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        first = int(rng.integers(10))
        symmetry = [5 + first, 5 + (first + 1) % 10, 5 + (first + 3) % 10]
        orbits = [15 + 2 * (first % 5) + int(b) for b in rng.integers(0, 2, 4)]
        composition = [30 + (o - 15) for o in orbits[: int(rng.integers(2, 5))]]
        yield f"made-{i}", [1, *symmetry, 4, *orbits, 4, *composition, 2]


def write_dataset(folder, n_train=400, n_validation=60):
    """Write a dataset folder with a training and a validation split; return it."""
    splits = {
        "train": list(crystals(n_train, 0)),
        "validation": list(crystals(n_validation, 1)),
    }
    return write_folder(folder, VOCABULARY, splits, max_tokens=MAX_TOKENS)


CONFIG = '''
"""Small enough for a test."""
from cloud_jax import config


def get_config():
    c = config.pretraining()
    c.data.path = "dataset"
    c.data.batch_crystals = 40
    c.data.row_length = 64
    c.model.preset = "bert1"
    c.optimizer.learning_rate = 3e-3
    c.optimizer.steps = 24
    c.evaluate.every_steps = 12
    c.checkpoint.every_steps = 4
    c.log.every_steps = 2
    return c.lock()
'''
