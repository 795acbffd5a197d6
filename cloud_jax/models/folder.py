"""A model on disk: one folder that holds data only, no code.

    model.json            what it is: dialect, encoder, head, targets, provenance
    vocabulary.json       tokens and their descriptors
    weights.safetensors   arrays, named by their path in the parameter tree; under
                          `novelty/` the states of training rows, where it has them

The folder is written under a temporary name and renamed, and model.json holds the
SHA-256 of the weights, so that a partial or damaged model is never read. Pretraining,
fine-tuning and `cloud-jax import-hf` write it; fine-tuning and prediction read it.
"""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import PyTree

from cloud_jax.models.bert import EncoderConfig
from cloud_jax.models.novelty import TrainingStates
from cloud_jax.scope.vocabulary import Vocabulary
from cloud_jax.scope.vocabulary_file import load_vocabulary

FORMAT, VERSION = "cloud_jax.model", 2  # 1 has no classes, and is still written
DESCRIPTION, VOCABULARY, WEIGHTS = (
    "model.json",
    "vocabulary.json",
    "weights.safetensors",
)
_NOVELTY = "novelty"  # first part of the names of arrays that are not parameters
# Fields of model.json that prediction needs, by kind of model.
_ENCODER_FIELDS = ("dialect", "symprec", "angle_tolerance", "max_tokens", "encoder")
_REQUIRED_FIELDS = {
    "encoder": _ENCODER_FIELDS,
    "property": (
        *_ENCODER_FIELDS, "head.kind", "head.layers", "head.law", "head.outputs",
        "targets", "members",
    ),
}  # fmt: skip
_TARGET_FIELDS = ("name", "unit", "basis", "mean", "scale")
_PHYSICS_TARGET_FIELDS = (*_TARGET_FIELDS, "property", "temperature_k")
_DTYPES = {"F32": np.float32, "BF16": jax.numpy.bfloat16}


class ModelFolderError(ValueError):
    """Raised for a folder that is not a model, is damaged, or does not fit."""


class Model(NamedTuple):
    """The content of a model folder.

    Attributes:
        directory: the folder it was read from.
        description: the content of model.json.
        vocabulary: tokens of the model's dialect.
        params: nested dict of arrays, in the dtype they are stored in.
        novelty: states of training rows of the first member; None without them.
    """

    directory: Path
    description: dict[str, Any]
    vocabulary: Vocabulary
    params: PyTree
    novelty: TrainingStates | None = None


def save_model(
    directory: Path,
    *,
    description: dict[str, Any],
    vocabulary: Vocabulary,
    params: PyTree,
    novelty: TrainingStates | None = None,
) -> None:
    """Write a model folder, replacing an existing one.

    Args:
        directory: the folder; a missing parent is created.
        description: JSON values; format, version, dialect and hashes are added.
        vocabulary: tokens of the dialect that the model was trained in.
        params: nested dict of arrays.
        novelty: states of training rows of the first member.

    Raises:
        OSError: writing failed; no partial model is left under the name.
    """
    # Not safetensors.numpy, which lacks bfloat16.
    from safetensors.flax import save

    directory = Path(directory).absolute()
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    stored = params | ({_NOVELTY: novelty._asdict()} if novelty else {})
    arrays = flatten_dict(jax.tree.map(jax.numpy.asarray, stored), sep="/")
    content = save(arrays)
    (partial / WEIGHTS).write_bytes(content)
    vocabulary.save(partial / VOCABULARY)
    written = {
        "format": FORMAT,
        "version": VERSION if _has_classes(description) else 1,
        **description,
        "dialect": vocabulary.dialect,
        "vocabulary_sha256": vocabulary.sha256,
        "weights_sha256": hashlib.sha256(content).hexdigest(),
    }
    text = json.dumps(written, indent=2, allow_nan=False)
    (partial / DESCRIPTION).write_text(text + "\n")
    shutil.rmtree(directory, ignore_errors=True)
    partial.rename(directory)


def _has_classes(description: dict[str, Any]) -> bool:
    """Return whether a program that knows no classes would misread the outputs."""
    return any(target.get("positive") for target in description.get("targets", ()))


def find_model(directory: str | os.PathLike[str]) -> Path:
    """Return `directory` if it is a model folder, else its subfolder `model`.

    Raises:
        ModelFolderError: neither is a model folder.
    """
    directory = Path(directory)
    for candidate in (directory, directory / "model"):
        if (candidate / DESCRIPTION).is_file():
            return candidate
    found = "it is a file" if directory.exists() else "it does not exist"
    if directory.is_dir():
        names = sorted(path.name for path in directory.iterdir())[:8]
        found = f"it holds {', '.join(names) or 'nothing'}"
    raise ModelFolderError(
        f"{directory} is not a model folder: {DESCRIPTION} is neither there nor in "
        f"{directory / 'model'} ({found}). Give the work directory of a finished "
        "pretraining or fine-tuning run, the output of `cloud-jax import-hf`, "
        "`thermal` or `encoder` of the package, or OWNER/NAME of the Hugging Face Hub"
    )


def load_model(directory: str | os.PathLike[str]) -> Model:
    """Return the model in a model folder, or in the one of a work directory.

    Raises:
        ModelFolderError: it is missing, damaged, or written by a newer version.
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
            f"{path} is damaged or not a model's description: "
            f"{type(error).__name__}: {error}"
        ) from error
    description.setdefault("symmetry", "spglib")  # older models have no choice
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
            f"{directory / WEIGHTS} is damaged or from another model: SHA-256 "
            f"is {sha256[:12]}, {DESCRIPTION} expects {expected_sha256[:12]}"
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
    params = unflatten_dict(arrays, sep="/")
    novelty = params.pop(_NOVELTY, None)
    if novelty:
        novelty = TrainingStates.from_arrays(novelty)
    return Model(directory, description, vocabulary, params, novelty)


def check_fields(model: Model) -> None:
    """Check that model.json has every field that prediction needs.

    Fine-tuning needs fewer, so ``load_model`` does not check them.

    Raises:
        ModelFolderError: a field is missing; the message names the file and the field.
    """
    path, description = model.directory / DESCRIPTION, model.description
    kind = description.get("kind")
    if kind not in _REQUIRED_FIELDS:
        raise ModelFolderError(
            f"{path}, field kind: found {kind!r}, expected one of "
            f"{', '.join(_REQUIRED_FIELDS)}"
        )
    fields = list(_REQUIRED_FIELDS[kind])
    if kind == "property":
        targets = description.get("targets")
        n_targets = len(targets) if isinstance(targets, list) else 0
        head = description.get("head")
        is_physics = isinstance(head, dict) and head.get("kind") == "physics"
        names = _PHYSICS_TARGET_FIELDS if is_physics else _TARGET_FIELDS
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
    """Return an array of a safetensors file, also where it is bfloat16."""
    return np.frombuffer(data, _DTYPES[dtype]).reshape(shape)


def encoder_fields(config: EncoderConfig) -> dict[str, Any]:
    """Return the field `encoder` of a description: the model, not how to compute it."""
    fields = dataclasses.asdict(config) | {"dtype": "float32"}
    del fields["kernels"]
    return fields


def encoder_config(
    description: dict[str, Any], *, dtype: str = "float32"
) -> EncoderConfig:
    """Return the encoder's configuration, with `dtype` as compute type.

    Raises:
        ModelFolderError: the encoder is missing, or has fields unknown to this version.
    """
    try:
        fields = description["encoder"] | {"dtype": dtype, "kernels": ()}
        # Of earlier versions, which wrote it False whatever the run had.
        if fields.pop("scan_layers", False):
            raise ModelFolderError(
                f"{DESCRIPTION}, field encoder.scan_layers: found true, expected "
                "false: stacked layers are no longer read; store each layer's weights "
                "as layer_0, layer_1 and so on"
            )
        return EncoderConfig(**fields)
    except (KeyError, TypeError) as error:
        raise ModelFolderError(f"{DESCRIPTION}, field encoder: {error}") from error
