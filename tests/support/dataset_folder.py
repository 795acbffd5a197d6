"""Writes prepared datasets for tests, independently of `preprocess`."""

import hashlib
import json
import struct

import numpy as np

from cloud_jax.tfrecord import example_class


def write_shard(path, crystals):
    """Write Examples as a TFRecord file; CRCs stay zero, since hashes verify shards.

    Returns:
        The entry of the manifest.
    """
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


def write_folder(folder, vocabulary, splits, *, n_shards=1, max_tokens=128):
    """Write a dataset of {split: [(id, tokens), ...]} as preprocessing would."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary.save(folder / "vocabulary.json")
    manifest = {
        "format": "cloud_jax.dataset",
        "version": 1,
        "dialect": vocabulary.dialect,
        "vocabulary": {
            "file": "vocabulary.json",
            "size": len(vocabulary),
            "sha256": vocabulary.sha256,
        },
        "max_tokens": max_tokens,
        "symprec": 0.01,
        "angle_tolerance": 5.0,
        "splits": {},
    }
    for split, crystals in splits.items():
        parts = np.array_split(np.arange(len(crystals)), n_shards)
        manifest["splits"][split] = {
            "n_records": len(crystals),
            "n_tokens": sum(len(tokens) for _, tokens in crystals),
            "shards": [
                write_shard(
                    folder / f"cloud_scope-{split}.tfrecord-{i:05}-of-{n_shards:05}",
                    [crystals[k] for k in part],
                )
                for i, part in enumerate(parts)
            ],
        }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder
