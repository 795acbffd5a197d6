"""The encoder equals a tiny Hugging Face BERT (models/golden/make_bert.py)."""

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest

from cloud_jax.hf.bert import import_bert
from cloud_jax.models.bert import Encoder
from cloud_jax.models.heads import MaskedLanguageModel

FOLDER = Path(__file__).parent / "golden/bert_tiny"
N_TOKENS = len((FOLDER / "vocab.txt").read_text().splitlines()) + 101
LOGITS_EVERY = 8  # positions, as in the script


@pytest.fixture(scope="module")
def golden():
    with np.load(FOLDER / "expected.npz") as archive:
        return dict(archive)


@pytest.fixture(scope="module")
def imported():
    return import_bert(FOLDER, n_tokens=N_TOKENS)


def packed(golden):
    """Return the three sentences in one row, and each token's (sentence, position)."""
    length = golden["tokens"].shape[1]
    rows, columns = np.nonzero(np.arange(length) < golden["lengths"][:, None])
    tokens = golden["tokens"][rows, columns][None]
    return (tokens, columns[None], rows[None] + 1), (rows, columns)


@pytest.mark.parametrize("layers", [1, 2])
def test_hidden_states_of_each_layer_equal_hugging_face(golden, imported, layers):
    row, source = packed(golden)
    encoder = Encoder(dataclasses.replace(imported.config, layers=layers))
    params = {"params": imported.params["encoder"]}
    hidden = encoder.apply(params, *row, deterministic=True)
    np.testing.assert_allclose(hidden[0], golden[f"hidden/{layers}"][source], atol=1e-5)


def test_embeddings_equal_hugging_face(golden, imported):
    row, source = packed(golden)
    _, state = Encoder(imported.config).apply(
        {"params": imported.params["encoder"]},
        *row,
        deterministic=True,
        capture_intermediates=True,
        mutable=["intermediates"],
    )
    hidden = state["intermediates"]["embedding_norm"]["__call__"][0]
    np.testing.assert_allclose(hidden[0], golden["hidden/0"][source], atol=1e-5)


@pytest.mark.parametrize("packing", [True, False])
def test_mlm_logits_equal_hugging_face_packed_or_padded(golden, imported, packing):
    row, (rows, columns) = packed(golden)
    if not packing:
        shape = golden["tokens"].shape
        positions = np.broadcast_to(np.arange(shape[1]), shape)
        real = (positions < golden["lengths"][:, None]).astype(int)
        row = (golden["tokens"], positions, real)
    logits = jax.jit(
        MaskedLanguageModel(imported.config).apply, static_argnames="deterministic"
    )({"params": imported.params}, *row, deterministic=True)
    logits = logits[0] if packing else logits[rows, columns]
    kept = columns % LOGITS_EVERY == 0
    expected = golden["logits"][rows[kept], columns[kept] // LOGITS_EVERY]
    np.testing.assert_allclose(logits[kept][:, :N_TOKENS], expected, atol=1e-5)
    assert (logits[:, N_TOKENS:] < -1e29).all()
