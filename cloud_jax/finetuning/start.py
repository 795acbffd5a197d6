"""Where training starts: vocabulary, architecture, symmetry search and parameters.

They come from a checkpoint, pretrained or fine-tuned, or from the configuration.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict
from jaxtyping import PyTree

from cloud_jax.finetuning.crystals import read_manifest
from cloud_jax.models.bert import Encoder, EncoderConfig, preset
from cloud_jax.models.folder import (
    Model,
    ModelFolderError,
    encoder_config,
    load_model,
)
from cloud_jax.models.hub import locate
from cloud_jax.models.kernels import choose_kernels
from cloud_jax.scope import Vocabulary, build_vocabulary
from cloud_jax.scope.vocabulary_file import load_vocabulary
from cloud_jax.training.backend import compute_dtype

# The symmetry search where neither a model nor a data set says.
SEARCH = {"symprec": 0.01, "angle_tolerance": 5.0, "symmetry": "spglib"}


class Start(NamedTuple):
    """Where training starts.

    Attributes:
        vocabulary: of the dialect.
        encoder: architecture.
        origin: symmetry search and longest sentence, which prediction must repeat.
        params: of the pretrained encoder; None starts at random.
        model: the checkpoint; None without one.
        learned: the tables that the checkpoint has learned from, the first one first,
            with the number of rows by target; None where it does not say.
    """

    vocabulary: Vocabulary
    encoder: EncoderConfig
    origin: dict[str, Any]
    params: PyTree | None = None
    model: Model | None = None
    learned: Sequence[dict[str, Any]] | None = ()


def make_start(config: Any) -> Start:
    """Return where a configuration starts.

    Raises:
        ValueError: a checkpoint of another dialect, or one or a data set that cannot
            be used.
    """
    settings = config.model
    changes = {
        "kernels": choose_kernels(settings.kernels),
        "dropout": settings.dropout,
        "attention_dropout": settings.attention_dropout,
    }
    if settings.checkpoint:
        return from_checkpoint(config, changes)
    vocabulary, search = untrained_vocabulary(config.data)
    encoder = preset(
        settings.preset,
        vocab_size=len(vocabulary),
        max_positions=settings.max_tokens,
        token_features=vocabulary.features.shape[1] if settings.token_features else 0,
        dtype=compute_dtype(settings.dtype),
        **changes,
    )
    return Start(vocabulary, encoder, search | {"max_tokens": settings.max_tokens})


def from_checkpoint(config: Any, changes: dict[str, Any]) -> Start:
    """Return the start that a model folder gives.

    Args:
        config: names the folder and the dialect.
        changes: fields of the encoder's configuration that the run has its own of.

    Raises:
        ValueError: the model is of another dialect, or damaged.
    """
    model = load_model(locate(config.model.checkpoint))
    found = model.description["dialect"]
    if found != config.data.dialect:
        raise ValueError(
            f"{model.directory} was trained on the {found} dialect, the configuration "
            f"asks for {config.data.dialect}: give --config.data.dialect={found}, or "
            "another --config.model.checkpoint"
        )
    encoder = encoder_config(model.description, dtype=compute_dtype(config.model.dtype))
    try:
        origin = {name: model.description[name] for name in (*SEARCH, "max_tokens")}
    except KeyError as error:
        raise ModelFolderError(f"{model.directory}: model.json lacks {error}") from None
    encoder = dataclasses.replace(encoder, **changes)
    return Start(
        model.vocabulary,
        encoder,
        origin,
        encoder_params(model, encoder),
        model,
        model.description.get("provenance", {}).get("learned"),
    )


def untrained_vocabulary(settings: Any) -> tuple[Vocabulary, dict[str, Any]]:
    """Return vocabulary and symmetry search of a prepared data set, or our own.

    Args:
        settings: `config.data`.

    Raises:
        TableError: the data set cannot be used.
    """
    search = SEARCH
    if settings.dataset:
        folder = Path(settings.dataset)
        manifest = read_manifest(folder)
        search = {name: manifest[name] for name in SEARCH}
        if manifest["dialect"] == settings.dialect:
            return load_vocabulary(folder / "vocabulary.json"), search
    return build_vocabulary(settings.dialect), search


def encoder_params(model: Model, encoder: EncoderConfig) -> PyTree:
    """Return the encoder of a model, checked against its description.

    Of a fine-tuned model it is the encoder of the first member, so that one property
    can prepare for another.

    Raises:
        ModelFolderError: the weights are not those of such an encoder.
    """
    tokens = jax.ShapeDtypeStruct((1, 2), np.int32)
    features = model.vocabulary.features if encoder.token_features else None

    def init(key, tokens):
        return Encoder(encoder).init(
            key, tokens, tokens, tokens, features=features, deterministic=True
        )

    expected = jax.eval_shape(init, jax.random.key(0), tokens)["params"]
    found = model.params.get("encoder", {})
    if model.description.get("kind") == "property":
        found = jax.tree.map(lambda leaf: leaf[0], found)
    shapes = [
        {name: leaf.shape for name, leaf in flatten_dict(tree, sep="/").items()}
        for tree in (expected, found)
    ]
    if wrong := sorted(name for name, _ in shapes[0].items() ^ shapes[1].items()):
        raise ModelFolderError(
            f"{model.directory}: the weights are not those of the encoder that "
            f"model.json describes; these are missing, unexpected or of another "
            f"shape: {', '.join(dict.fromkeys(wrong))}"[:500]
        )
    return found
