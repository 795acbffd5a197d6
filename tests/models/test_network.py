from pathlib import Path

import jax
import numpy as np
import pytest

from cloud_jax.import_hf import main
from cloud_jax.inference.crystals import unseen
from cloud_jax.models.bert import Encoder
from cloud_jax.models.folder import encoder_config, load_model
from cloud_jax.models.network import cls_states, padded_blocks, padded_length

GOLDEN = Path(__file__).parents[1] / "models/golden/bert_tiny"


def test_released_weights_whose_cls_token_has_id_0_and_whose_tokens_have_no_role(
    tmp_path,
):
    assert main([str(GOLDEN), "--output", str(tmp_path / "model")]) == 0
    model = load_model(tmp_path / "model")
    assert model.vocabulary.cls_id == 0
    symmetry = "1 6 a O D D a D O D b O O O c O O O d O O O e O O O 0"
    sentences = [
        model.vocabulary.encode(f"{symmetry} | 4a 4b | {pair}")
        for pair in ("Na 0.5 Cl 0.5", "Na 0.25 Cl 0.75")
    ]
    tokens = np.array(sentences)  # of one length
    expected = Encoder(encoder_config(model.description)).apply(
        {"params": model.params["encoder"]},
        tokens,
        np.broadcast_to(np.arange(tokens.shape[1]), tokens.shape),
        np.ones_like(tokens),
        features=model.vocabulary.features,
        deterministic=True,
    )[:, 0]
    states = cls_states(model, sentences)
    np.testing.assert_allclose(states, expected, atol=1e-5)
    assert np.abs(states[0] - states[1]).max() > 1e-3

    model.description["domain"] = {"token_ids": sentences[0]}
    assert unseen(model, "", sentences[0]) == []
    assert unseen(model, "", sentences[1]) == [
        "unseen_token:0.25",
        "unseen_token:0.75",
    ]


@pytest.mark.parametrize(("backend", "rows"), [("cpu", [16] * 32), ("gpu", [512])])
def test_an_accelerator_takes_more_sentences_in_a_block(backend, rows, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    blocks = padded_blocks([(1, 2, 3)] * 500, 32)
    assert [len(tokens) for tokens, _ in blocks] == rows


def test_a_length_is_padded_to_the_next_of_a_few_in_rows_that_fill_a_block():
    lengths = [1, 32, 33, 40, 41, 48, 49, 64, 65, 81, 97, 129]
    padded = [32, 32, 40, 40, 48, 48, 64, 64, 80, 96, 128, 160]
    assert list(map(padded_length, lengths)) == padded
    for length in padded:
        ((tokens, crystal),) = padded_blocks([(7,) * length], length)
        assert tokens.shape[0].bit_count() == 1, "rows are a power of two"
        assert 350 < tokens.size < 700
        assert crystal.sum() == length == np.count_nonzero(tokens)
