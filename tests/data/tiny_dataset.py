"""A tiny writer of prepared datasets, independent of the preprocess package."""

import hashlib
import json
import struct

import numpy as np

from cloud_jax.data.tfrecord import example_class
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
    """One (id, tokens) for each length: [CLS], random tokens, [SEP]."""
    rng = np.random.default_rng(1)
    return [
        (f"crystal-{i}-é", [1, *rng.integers(5, 100, n - 2).tolist(), 2])
        for i, n in enumerate(lengths)
    ]


def write_shard(path, crystals):
    """Write TFRecord framing around Examples; the CRCs are left zero."""
    with path.open("wb") as file:
        for name, tokens in crystals:
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
        "n_records": len(crystals),
    }


def write_dataset(folder, splits, n_shards=3):
    """Write a dataset folder with the given crystals of each split."""
    folder.mkdir(parents=True, exist_ok=True)
    VOCABULARY.save(folder / "vocabulary.json")
    manifest = {
        "format": "cloud_jax.dataset",
        "version": 1,
        "dialect": "canonical",
        "vocabulary": {
            "file": "vocabulary.json",
            "size": len(VOCABULARY),
            "sha256": VOCABULARY.sha256,
        },
        "splits": {},
    }
    for split, crystals in splits.items():
        parts = np.array_split(np.arange(len(crystals)), n_shards)
        manifest["splits"][split] = {
            "n_records": len(crystals),
            "n_tokens": sum(len(tokens) for _, tokens in crystals),
            "shards": [
                write_shard(
                    folder / f"tiny-{split}.tfrecord-{i:05}-of-{n_shards:05}",
                    [crystals[k] for k in part],
                )
                for i, part in enumerate(parts)
            ],
        }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
