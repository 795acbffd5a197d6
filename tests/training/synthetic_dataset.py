"""A tiny prepared dataset with something to learn, for tests of training."""

import hashlib
import json
import struct

import numpy as np

from cloud_jax.data.tfrecord import example_class
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
    """(id, tokens) of n sentences whose three parts depend on each other."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        first = int(rng.integers(10))
        symmetry = [5 + first, 5 + (first + 1) % 10, 5 + (first + 3) % 10]
        orbits = [15 + 2 * (first % 5) + int(b) for b in rng.integers(0, 2, 4)]
        composition = [30 + (o - 15) for o in orbits[: int(rng.integers(2, 5))]]
        yield f"made-{i}", [1, *symmetry, 4, *orbits, 4, *composition, 2]


def write_shard(path, records):
    """TFRecord framing around Examples, CRCs left zero: hashes verify shards."""
    with path.open("wb") as file:
        for name, tokens in records:
            example = example_class()()
            feature = example.features.feature
            feature["id"].bytes_list.value.append(name.encode())
            feature["tokens"].int64_list.value.extend(tokens)
            data = example.SerializeToString()
            file.write(struct.pack("<QI", len(data), 0) + data + bytes(4))
    return {
        "file": path.name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "n_records": len(records),
    }


def write_dataset(folder, n_train=400, n_validation=60):
    """A dataset folder as `cloud_jax.preprocess` would leave it."""
    folder.mkdir(parents=True)
    VOCABULARY.save(folder / "vocabulary.json")
    splits = {}
    for split, n, seed in (("train", n_train, 0), ("validation", n_validation, 1)):
        records = list(crystals(n, seed))
        name = f"cloud_scope-{split}.tfrecord-00000-of-00001"
        splits[split] = {
            "n_records": n,
            "n_tokens": sum(len(tokens) for _, tokens in records),
            "shards": [write_shard(folder / name, records)],
        }
    manifest = {
        "format": "cloud_jax.dataset",
        "version": 1,
        "dialect": "canonical",
        "vocabulary": {
            "file": "vocabulary.json",
            "size": len(VOCABULARY),
            "sha256": VOCABULARY.sha256,
        },
        "max_tokens": MAX_TOKENS,
        "splits": splits,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


CONFIG = '''
"""Small enough for a test."""
from cloud_jax import configuration


def get_config():
    c = configuration.pretraining()
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
