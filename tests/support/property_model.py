"""A property model of random weights, small and on disk."""

import dataclasses
from functools import partial

import jax
import numpy as np

from cloud_jax.models.bert import EncoderConfig
from cloud_jax.models.folder import save_model
from cloud_jax.models.heads import PropertyModel
from cloud_jax.scope import build_vocabulary

CV = {
    "name": "cv",
    "property": "heat_capacity",
    "temperature_k": 300.0,
    "unit": "J/(mol K)",
    "basis": "cell",
    "mean": 50.0,
    "scale": 30.0,
}
DEBYE = {"kind": "physics", "layers": 1, "law": "debye", "outputs": 1}
REGRESSION = {"kind": "regression", "layers": 1, "law": None, "outputs": 1}


def write_model(
    folder, *, width=16, members=2, head=DEBYE, targets=(CV,), **description
):
    """Write a model whose members differ; return the folder."""
    vocabulary = build_vocabulary("canonical")
    config = EncoderConfig(
        vocab_size=len(vocabulary),
        layers=2,
        heads=2,
        width=width,
        mlp_width=2 * width,
        max_positions=64,
        token_features=vocabulary.features.shape[1],
    )
    network = PropertyModel(config, head["layers"], head["outputs"])
    tokens = np.ones((1, 4), np.int32)

    shapes = jax.eval_shape(
        partial(network.init, features=vocabulary.features, deterministic=True),
        jax.random.key(0),
        *(tokens,) * 3,
        query=tokens[:, :1],
    )["params"]
    generator = np.random.default_rng(0)

    def draw(leaf):
        values = generator.normal(size=(members, *leaf.shape))
        return (values / leaf.shape[0] ** 0.5).astype(np.float32)

    params = jax.tree.map(draw, shapes)
    save_model(
        folder,
        description={
            "kind": "property",
            "encoder": dataclasses.asdict(config),
            "symprec": 0.01,
            "angle_tolerance": 5.0,
            "max_tokens": 64,
            "head": head,
            "targets": list(targets),
            "members": members,
            "calibration": {
                "targets": {"cv": {"level": 0.9, "n": 121, "quantile": 0.1}}
            },
        }
        | description,
        vocabulary=vocabulary,
        params=params,
    )
    return folder
