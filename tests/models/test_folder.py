"""A model folder is read as it was saved, and a damaged one is refused."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cloud_jax.models.bert import preset
from cloud_jax.models.folder import (
    ModelFolderError,
    encoder_config,
    load_model,
    save_model,
)
from cloud_jax.scope.vocabulary import Vocabulary

VOCABULARY = Vocabulary(
    dialect="canonical",
    tokens=("[PAD]", "[CLS]", "[SEP]", "[MASK]", "|", "translation:O"),
    features=np.zeros((6, 2), np.float32),
    feature_names=("mass", "row"),
)
CONFIG = preset("small", vocab_size=6, max_positions=8)
PARAMS = {"encoder": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}


def write(folder, params=PARAMS, vocabulary=VOCABULARY):
    description = {"kind": "encoder", "encoder": dataclasses.asdict(CONFIG)}
    save_model(folder, description=description, vocabulary=vocabulary, params=params)
    return folder


def test_what_was_saved_is_read_from_the_folder_or_the_workdir_around_it(tmp_path):
    write(tmp_path / "model")
    for directory in (tmp_path, tmp_path / "model"):
        model = load_model(directory)
        assert model.directory == tmp_path / "model"
        assert model.vocabulary.sha256 == VOCABULARY.sha256
        assert encoder_config(model.description) == CONFIG
        np.testing.assert_array_equal(
            model.params["encoder"]["kernel"], PARAMS["encoder"]["kernel"]
        )


def test_bfloat16_is_kept(tmp_path):
    half = jax.tree.map(lambda x: jnp.asarray(x, jnp.bfloat16), PARAMS)
    kernel = load_model(write(tmp_path, half)).params["encoder"]["kernel"]
    assert kernel.dtype == jnp.bfloat16
    assert kernel.astype(np.float32).tolist() == [[0, 1, 2], [3, 4, 5]]


def test_saving_again_replaces_the_folder(tmp_path):
    write(tmp_path / "m")
    (tmp_path / "m" / "stale").touch()
    other = {"encoder": {"kernel": np.ones(3, np.float32)}}
    kernel = load_model(write(tmp_path / "m", other)).params["encoder"]["kernel"]
    assert kernel.tolist() == [1, 1, 1]
    assert not (tmp_path / "m" / "stale").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "model.json").unlink(), "is not a model folder"),
        (lambda d: (d / "model.json").write_text("{}"), "damaged"),
        (lambda d: (d / "weights.safetensors").unlink(), "weights.safetensors"),
        (lambda d: flip_byte(d / "weights.safetensors"), "SHA-256"),
        (lambda d: other_vocabulary(d), "vocabulary.json has SHA-256"),
        (lambda d: change(d / "model.json", version=3), "up to version 2"),
    ],
)
def test_damage_is_refused_by_name(tmp_path, damage, message):
    damage(write(tmp_path / "m"))
    with pytest.raises(ModelFolderError, match=message):
        load_model(tmp_path / "m")


def flip_byte(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def other_vocabulary(directory):
    dataclasses.replace(VOCABULARY, dialect="paper").save(directory / "vocabulary.json")


@pytest.mark.parametrize("scanned", [False, True])
def test_models_of_versions_that_could_stack_layers(scanned):
    encoder = dataclasses.asdict(CONFIG) | {"scan_layers": scanned}
    if not scanned:
        assert encoder_config({"encoder": encoder}) == CONFIG
        return
    with pytest.raises(ModelFolderError, match=r"scan_layers: found true.*layer_0"):
        encoder_config({"encoder": encoder})


def test_unknown_encoder_fields_are_an_error(tmp_path):
    with pytest.raises(ModelFolderError, match="field encoder"):
        encoder_config({"encoder": {"depth": 3}})
