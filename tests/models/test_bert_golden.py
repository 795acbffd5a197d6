"""The encoder equals a tiny Hugging Face BERT (scripts/make_bert_golden.py)."""

from pathlib import Path

import jax
import numpy as np
import pytest

from cloud_jax.models.bert import Encoder, EncoderConfig
from cloud_jax.models.heads import MaskedLanguageModel

LAYERS = 2
CONFIG = {"vocab_size": 30, "heads": 2, "width": 8, "mlp_width": 32}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden/bert_tiny.npz") as archive:
        return dict(archive)


def convert(golden, padded_vocab_size):
    """Hugging Face's state dict as our parameters (torch kernels are transposed)."""

    def get(name):
        return golden[f"weight/{name}"]

    def linear(name):
        return {"kernel": get(f"{name}.weight").T, "bias": get(f"{name}.bias")}

    def norm(name):
        return {"scale": get(f"{name}.weight"), "bias": get(f"{name}.bias")}

    def layer(i):
        prefix = f"bert.encoder.layer.{i}"
        parts = [linear(f"{prefix}.attention.self.{n}") for n in ("query", "key")]
        parts.append(linear(f"{prefix}.attention.self.value"))
        return {
            "attention": {
                "qkv_kernel": np.stack([p["kernel"] for p in parts], axis=1),
                "qkv_bias": np.stack([p["bias"] for p in parts]),
                "output": linear(f"{prefix}.attention.output.dense"),
            },
            "attention_norm": norm(f"{prefix}.attention.output.LayerNorm"),
            "mlp": {
                "in": linear(f"{prefix}.intermediate.dense"),
                "out": linear(f"{prefix}.output.dense"),
            },
            "mlp_norm": norm(f"{prefix}.output.LayerNorm"),
        }

    def pad(rows):
        missing = padded_vocab_size - len(rows)
        return np.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))

    embeddings = "bert.embeddings"
    encoder = {
        "token_embedding": pad(get(f"{embeddings}.word_embeddings.weight")),
        "position_embedding": get(f"{embeddings}.position_embeddings.weight")
        + get(f"{embeddings}.token_type_embeddings.weight")[0],
        "embedding_norm": norm(f"{embeddings}.LayerNorm"),
    } | {f"layer_{i}": layer(i) for i in range(LAYERS)}
    head = {
        "dense": linear("cls.predictions.transform.dense"),
        "norm": norm("cls.predictions.transform.LayerNorm"),
        "bias": pad(get("cls.predictions.bias")),
    }
    return {"encoder": encoder, "mlm_head": head}


def config(layers):
    return EncoderConfig(layers=layers, max_positions=16, **CONFIG)


def packed(golden):
    """The three sentences in one row, and where each real token of the row is from."""
    rows, columns = np.nonzero(golden["tokens"] > 0)
    assert len(rows) == golden["lengths"].sum()
    tokens = golden["tokens"][rows, columns][None]
    return (tokens, columns[None], rows[None] + 1), (rows, columns)


@pytest.mark.parametrize("layers", [1, 2])
def test_hidden_states_of_each_layer_equal_hugging_face(golden, layers):
    params = convert(golden, config(layers).padded_vocab_size)["encoder"]
    row, source = packed(golden)
    hidden = Encoder(config(layers)).apply({"params": params}, *row, deterministic=True)
    np.testing.assert_allclose(hidden[0], golden[f"hidden/{layers}"][source], atol=1e-5)


def test_embeddings_equal_hugging_face(golden):
    params = convert(golden, config(1).padded_vocab_size)["encoder"]
    row, source = packed(golden)
    _, state = Encoder(config(1)).apply(
        {"params": params},
        *row,
        deterministic=True,
        capture_intermediates=True,
        mutable=["intermediates"],
    )
    hidden = state["intermediates"]["embedding_norm"]["__call__"][0]
    np.testing.assert_allclose(hidden[0], golden["hidden/0"][source], atol=1e-5)


@pytest.mark.parametrize("packing", [True, False])
def test_mlm_logits_equal_hugging_face_packed_or_padded(golden, packing):
    model = MaskedLanguageModel(config(LAYERS))
    params = convert(golden, config(LAYERS).padded_vocab_size)
    row, source = packed(golden)
    if not packing:
        real = (golden["tokens"] > 0).astype(int)
        positions = np.broadcast_to(np.arange(real.shape[1]), real.shape)
        row = (golden["tokens"], positions, real)
    logits = jax.jit(model.apply, static_argnames="deterministic")(
        {"params": params}, *row, deterministic=True
    )
    logits = logits[0] if packing else logits[source]
    np.testing.assert_allclose(logits[:, :30], golden["logits"][source], atol=1e-5)
    assert (logits[:, 30:] < -1e29).all()
