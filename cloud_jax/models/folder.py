"""A model on disk: one folder, no code in it.

    model.json            what it is: dialect, encoder, head, targets, provenance
    vocabulary.json       tokens and their descriptors
    weights.safetensors   arrays, named by their path in the parameter tree

The folder is written beside its name and renamed, and model.json holds the SHA-256 of
the weights: a model is whole or it is not there. Pretraining, fine-tuning and the
importer of released weights write it; fine-tuning and prediction read it.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

from cloud_jax.models.bert import EncoderConfig
from cloud_jax.scope.vocabulary import Vocabulary
from cloud_jax.scope.vocabulary_file import load_vocabulary

FORMAT, VERSION = "cloud_jax.model", 1
DESCRIPTION, VOCABULARY, WEIGHTS = (
    "model.json",
    "vocabulary.json",
    "weights.safetensors",
)
# What prediction counts on, by kind: fields, and those of their objects.
_ENCODER = ("dialect", "symprec", "angle_tolerance", "max_tokens", "encoder")
_REQUIRED = {
    "encoder": _ENCODER,
    "property": (
        *_ENCODER, "head.kind", "head.layers", "head.law", "head.outputs", "targets",
        "members",
    ),
}  # fmt: skip
_OF_TARGET = ("name", "unit", "basis", "mean", "scale")
_OF_PHYSICS = (*_OF_TARGET, "property", "temperature_k")
_DTYPES = {"F32": np.float32, "BF16": jax.numpy.bfloat16}


class ModelFolderError(ValueError):
    """A folder that is not a model, is damaged, or does not fit."""


class Model(NamedTuple):
    """What a model folder holds.

    Attributes:
        directory: where it was read from.
        description: the content of model.json.
        vocabulary: of its dialect.
        params: nested dict of arrays, of the type they are stored in.
    """

    directory: Path
    description: dict[str, Any]
    vocabulary: Vocabulary
    params: PyTree


def save_model(
    directory: Path,
    *,
    description: dict[str, Any],
    vocabulary: Vocabulary,
    params: PyTree,
) -> None:
    """Write a model folder; one that is there is replaced.

    Args:
        directory: its parent is made where it is missing.
        description: JSON values; format, version and hashes are filled in.
        vocabulary: of the dialect the model was trained in.
        params: nested dict of arrays.

    Raises:
        OSError: it could not be written; nothing half-written is left under the name.
    """
    # safetensors.flax and not .numpy: it alone knows bfloat16.
    from safetensors.flax import save

    directory = Path(directory).absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    arrays = flatten_dict(jax.tree.map(jax.numpy.asarray, params), sep="/")
    content = save(arrays)
    (partial / WEIGHTS).write_bytes(content)
    vocabulary.save(partial / VOCABULARY)
    written = {
        "format": FORMAT,
        "version": VERSION,
        **description,
        "dialect": vocabulary.dialect,
        "vocabulary_sha256": vocabulary.sha256,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(written, indent=2, allow_nan=False)
    (partial / DESCRIPTION).write_text(text + "\n")
    shutil.rmtree(directory, ignore_errors=True)
    partial.rename(directory)


def find_model(directory: Path) -> Path:
    """Return the model folder at `directory`, or in it if that is a workdir.

    Raises:
        ModelFolderError: there is none.
    """
    directory = Path(directory)
    for candidate in (directory, directory / "model"):
        if (candidate / DESCRIPTION).is_file():
            return candidate
    found = "it does not exist"
    if directory.is_dir():
        names = sorted(path.name for path in directory.iterdir())[:8]
        found = f"it holds {', '.join(names) or 'nothing'}"
    raise ModelFolderError(
        f"{directory} is no model folder: {DESCRIPTION} is neither there nor in "
        f"{directory / 'model'} ({found}). Give the work directory of a finished "
        "pretraining or fine-tuning run, or what `cloud-jax import-hf` wrote"
    )


def load_model(directory: Path) -> Model:
    """Read a model folder, or that of a work directory.

    Raises:
        ModelFolderError: missing, damaged, or written by a newer version.
    """
    from safetensors import SafetensorError, deserialize

    directory = find_model(directory)
    path = directory / DESCRIPTION
    try:
        description = json.loads(path.read_text())
        found = description["format"], description["version"]
        expected_sha256 = description["weights_sha256"]
        vocabulary_sha256 = description["vocabulary_sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(
            f"{path} is damaged or not a model's: {type(error).__name__}: {error}"
        ) from error
    description.setdefault("symmetry", "spglib")  # before there was a choice
    if found[0] != FORMAT or found[1] > VERSION:
        raise ModelFolderError(
            f"{path}: found {found[0]} version {found[1]}, this program reads {FORMAT} "
            f"up to version {VERSION}"
        )
    try:
        content = (directory / WEIGHTS).read_bytes()
        vocabulary = load_vocabulary(directory / VOCABULARY)
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{directory}: {error}") from error
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != expected_sha256:
        raise ModelFolderError(
            f"{directory / WEIGHTS} is damaged or of another model: found SHA-256 "
            f"{sha256[:12]}, {DESCRIPTION} expects {expected_sha256[:12]}"
        )
    if vocabulary.sha256 != vocabulary_sha256:
        raise ModelFolderError(
            f"{directory / VOCABULARY} has SHA-256 {vocabulary.sha256[:12]}, "
            f"{DESCRIPTION} expects {vocabulary_sha256[:12]}"
        )
    try:
        arrays = {name: _to_array(**found) for name, found in deserialize(content)}
    except (SafetensorError, KeyError) as error:
        raise ModelFolderError(f"{directory / WEIGHTS}: {error}") from error
    return Model(directory, description, vocabulary, unflatten_dict(arrays, sep="/"))


def check_fields(model: Model) -> None:
    """Check that a model says all that prediction needs; a fine-tuning needs less.

    Raises:
        ModelFolderError: with the file and the field.
    """
    path, description = model.directory / DESCRIPTION, model.description
    kind = description.get("kind")
    if kind not in _REQUIRED:
        raise ModelFolderError(
            f"{path}, field kind: found {kind!r}, expected one of "
            f"{', '.join(_REQUIRED)}"
        )
    fields = list(_REQUIRED[kind])
    if kind == "property":
        targets = description.get("targets")
        n_targets = len(targets) if isinstance(targets, list) else 0
        head = description.get("head")
        is_physics = isinstance(head, dict) and head.get("kind") == "physics"
        names = _OF_PHYSICS if is_physics else _OF_TARGET
        fields += [
            f"targets.{i}.{name}" for i in range(n_targets or 1) for name in names
        ]
    for field in fields:
        value: Any = description
        try:
            for name in field.split("."):
                value = value[int(name) if isinstance(value, list) else name]
        except (LookupError, TypeError, ValueError):
            raise ModelFolderError(
                f"{path} lacks the field {field} that a model of kind {kind} needs: "
                "write the model again with the command that made it"
            ) from None


def _to_array(dtype: str, shape: list[int], data: bytes) -> np.ndarray:
    """Return an array of a safetensors file, whose numpy loader lacks bfloat16."""
    return np.frombuffer(data, _DTYPES[dtype]).reshape(shape)


def encoder_config(
    description: dict[str, Any], *, dtype: str = "float32"
) -> EncoderConfig:
    """Return the encoder's configuration, computing in `dtype`.

    Raises:
        ModelFolderError: the description names fields this version does not know.
    """
    try:
        return EncoderConfig(**(description["encoder"] | {"dtype": dtype}))
    except (KeyError, TypeError) as error:
        raise ModelFolderError(f"{DESCRIPTION}, field encoder: {error}") from error
