"""Where fine-tuning may start: pretraining, released weights, another fine-tuning."""

import csv
import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from crystal_table import CONFIG, crystals, write_encoder, write_table

from cloud_jax import finetune, import_hf, load
from cloud_jax.config import finetuning, load_config
from cloud_jax.finetuning.job import prepare
from cloud_jax.models.bert import EncoderConfig
from cloud_jax.models.folder import load_model, save_model
from cloud_jax.models.heads import MaskedLanguageModel
from cloud_jax.scope import build_vocabulary
from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.run import write_model

GOLDEN = Path(__file__).parent / "models/golden/bert_tiny"


pytestmark = pytest.mark.usefixtures("compile_quickly")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_table(tmp_path / "table.csv")
    (tmp_path / "tiny.py").write_text(CONFIG)
    return tmp_path


def prepared(*arguments):
    return prepare(load_config("tiny.py", arguments, kind=finetuning))


def test_the_encoder_of_pretraining_is_exported_as_it_is(place):
    vocabulary = build_vocabulary("canonical")
    config = EncoderConfig(
        vocab_size=len(vocabulary),
        layers=3,
        heads=2,
        width=8,
        mlp_width=16,
        max_positions=64,
        token_features=vocabulary.features.shape[1],
    )
    model, tokens = MaskedLanguageModel(config), np.ones((1, 4), np.int32)
    init = partial(model.init, features=vocabulary.features, deterministic=True)
    shapes = jax.eval_shape(init, jax.random.key(0), *(tokens,) * 3)["params"]
    generator = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: jnp.asarray(generator.normal(size=leaf.shape), leaf.dtype), shapes
    )
    folder = place / "pretrained"
    checkpoints = Checkpoints(folder / "checkpoints", keep=1)
    checkpoints.save({"params": params}, {}, step=2, validation_loss=1.0)
    checkpoints.close()
    manifest = {"symprec": 0.01, "angle_tolerance": 5.0, "max_tokens": 64}
    job = SimpleNamespace(
        folder=folder,
        model=model,
        store=SimpleNamespace(
            manifest=manifest, vocabulary=vocabulary, lengths=[4, 5, 6]
        ),
        config=SimpleNamespace(data=SimpleNamespace(path="datasets/corpus")),
        hashes={},
    )
    write_model(job, {"best_checkpoint": "checkpoints/2"}, active=True)

    start = prepared("--config.model.checkpoint=pretrained").start
    assert start.learned == [{"table": "corpus", "labels": {"masked tokens": 3}}]
    jax.tree.map(np.testing.assert_array_equal, start.params, params["encoder"])


def test_released_weights_are_fine_tuned_in_their_own_vocabulary(place):
    """[CLS] has the id 0 there, that of padding here, and words are cut in pieces."""
    assert import_hf.main([str(GOLDEN), "--output", "released"]) == 0
    arguments = (
        "--config.data.dialect=paper",
        "--config.data.scope_column=paper",
        "--config.model.checkpoint=released",
        "--config.members=1",
        "--config.optimizer.epochs=1",
    )
    job = prepared(*arguments)
    assert {row[0] for row in job.table.tokens} == {job.start.vocabulary.cls_id} == {0}
    assert finetune.main(["--config=tiny.py", "--workdir=run", *arguments]) == 0
    results = json.loads((place / "run" / "results.json").read_text())
    assert results["dialect"] == "paper"
    assert results["rows_used"] == 40
    assert results["checkpoint_learned"] == "not recorded"
    with open(place / "run" / "predictions.csv", newline="") as file:
        predicted = {row["id"]: float(row["predicted"]) for row in csv.DictReader(file)}
    model = load_model("run")
    assert model.vocabulary.sha256 == load_model("released").vocabulary.sha256

    frame = load("run").predict([crystals(40)[i][1] for i in (0, 5)])
    expected = [predicted["x-0"], predicted["x-5"]]
    np.testing.assert_allclose(frame.value, expected, rtol=1e-4)


def test_a_fine_tuned_model_gives_its_first_members_encoder(place):
    write_encoder(place / "encoder")
    model = load_model("encoder")
    members = jax.tree.map(lambda leaf: np.stack([leaf, 0 * leaf]), model.params)

    def save(name, **description):
        save_model(
            place / name,
            description=model.description | {"kind": "property"} | description,
            vocabulary=model.vocabulary,
            params=members,
        )

    save("tuned")
    job = prepared("--config.model.checkpoint=tuned")
    found = job.start.params
    jax.tree.map(np.testing.assert_array_equal, found, model.params["encoder"])
    assert job.start.learned is None
    save("leaky", provenance={"hashes": {"table": job.hashes["table"]}})
    with pytest.raises(ValueError, match="fine-tuned on this very table"):
        prepared("--config.model.checkpoint=leaky")
