"""Packing, queries, features, dtype and scan do not change the encoder's numbers."""

import dataclasses

import jax
import numpy as np
import pytest

from cloud_jax.models.bert import Encoder, EncoderConfig, preset
from cloud_jax.models.heads import MaskedLanguageModel

CONFIG = EncoderConfig(
    vocab_size=50, layers=3, heads=2, width=16, mlp_width=64, max_positions=12
)
LENGTHS = [[5, 9, 7], [12, 4], [3]]  # crystals of each row; the rest is padding
L = 24


def make_rows(lengths, row_length=L, seed=0):
    """Return packed rows of random crystals with the given lengths."""
    rng = np.random.default_rng(seed)
    shape = (len(lengths), row_length)
    tokens, positions, crystal = (np.zeros(shape, np.int32) for _ in range(3))
    for row, row_lengths in enumerate(lengths):
        start = 0
        for number, length in enumerate(row_lengths, start=1):
            stop = start + length
            tokens[row, start:stop] = rng.integers(5, CONFIG.vocab_size, length)
            positions[row, start:stop] = np.arange(length)
            crystal[row, start:stop] = number
            start = stop
    return tokens, positions, crystal


def init(config, features=None, model=Encoder):
    """Return a jitted model and parameters so wide that every term matters."""
    model = model(config)
    shapes = jax.eval_shape(
        lambda key: model.init(
            key, *make_rows(LENGTHS), features=features, deterministic=True
        ),
        jax.random.key(0),
    )
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: rng.normal(0.0, 0.8, x.shape).astype(x.dtype), shapes
    )
    return jax.jit(model.apply, static_argnames="deterministic"), params


@pytest.fixture(scope="module")
def encoder():
    return init(CONFIG)


def test_query_path_equals_full_path(encoder):
    apply, params = encoder
    row = make_rows(LENGTHS)
    query = np.array(
        [[0, 13, 20], [15, 15, 2], [1, 0, 2]]
    )  # order and repeats are free
    full = apply(params, *row, deterministic=True)
    some = apply(params, *row, deterministic=True, query=query)
    expected = np.take_along_axis(np.asarray(full), query[..., None], axis=1)
    np.testing.assert_allclose(some, expected, rtol=1e-5, atol=1e-5)


def test_no_attention_across_crystals(encoder):
    apply, params = encoder
    tokens, positions, crystal = make_rows(LENGTHS)
    before = np.asarray(apply(params, tokens, positions, crystal, deterministic=True))
    changed = (crystal == 2) | (crystal == 0)
    tokens = np.where(changed, (tokens + 7) % CONFIG.vocab_size, tokens)
    after = np.asarray(apply(params, tokens, positions, crystal, deterministic=True))
    others = ~changed
    np.testing.assert_array_equal(after[others], before[others])
    assert np.abs(after - before)[crystal == 2].max() > 1e-3


def test_a_crystal_is_independent_of_its_place_in_the_row(encoder):
    apply, params = encoder
    packed = make_rows([[5, 9, 7]])
    alone = tuple(x[:, 5:14] for x in packed)
    hidden = apply(params, *packed, deterministic=True)[:, 5:14]
    expected = apply(params, *alone, deterministic=True)
    np.testing.assert_allclose(hidden, expected, atol=1e-5)


def test_token_features_shift_the_embedding_by_their_projection(encoder):
    config = dataclasses.replace(CONFIG, token_features=3)
    features = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    apply, params = init(config, features)
    plain, shifted = encoder[0], dict(params["params"])
    shift = features @ np.asarray(shifted.pop("feature_kernel"))
    shifted["token_embedding"] = (
        np.pad(shift, ((0, 78), (0, 0))) + shifted["token_embedding"]
    )
    row = make_rows(LENGTHS)
    np.testing.assert_allclose(
        apply(params, *row, features=features, deterministic=True),
        plain({"params": shifted}, *row, deterministic=True),
        atol=1e-5,
    )


@pytest.mark.parametrize(("wanted", "given"), [(3, None), (0, 3), (3, 2)])
def test_features_that_do_not_fit_are_an_error(wanted, given):
    features = None if given is None else np.zeros((50, given), np.float32)
    with pytest.raises(ValueError, match=f"takes {wanted} features"):
        init(dataclasses.replace(CONFIG, token_features=wanted), features)


def test_bfloat16_compute_keeps_float32_parameters_and_logits():
    config = dataclasses.replace(CONFIG, dtype="bfloat16")
    apply, params = init(config, model=MaskedLanguageModel)
    assert {x.dtype for x in jax.tree.leaves(params)} == {np.dtype("float32")}
    row = make_rows(LENGTHS)
    logits = apply(params, *row, deterministic=True)
    exact = init(CONFIG, model=MaskedLanguageModel)[0]
    expected = exact(params, *row, deterministic=True)
    assert logits.dtype == np.float32
    real = make_rows(LENGTHS)[2] > 0
    # 8 bits of mantissa through 3 layers, on logits with a spread of about 2.
    assert np.abs(logits - expected)[real][:, :50].mean() < 0.05


def test_padded_vocabulary_rows_are_never_predicted():
    apply, params = init(CONFIG, model=MaskedLanguageModel)
    logits = apply(params, *make_rows(LENGTHS), deterministic=True)
    assert logits.shape == (3, L, 128)
    probabilities = jax.nn.softmax(logits)
    assert (probabilities[..., CONFIG.vocab_size :] == 0).all()


def test_presets_have_heads_of_width_64_and_unknown_ones_are_refused():
    for name in ("bert1", "bert3", "bert6", "bert12"):
        config = preset(name, vocab_size=600, max_positions=64)
        assert config.width == 64 * config.heads
        assert config.mlp_width == 4 * config.width
        assert config.padded_vocab_size == 640
    with pytest.raises(ValueError, match=r"bert7.*bert12"):
        preset("bert7", vocab_size=600, max_positions=64)
    with pytest.raises(ValueError, match="not a multiple of heads"):
        preset("bert3", vocab_size=600, max_positions=64, heads=3)


@pytest.mark.parametrize(
    ("name", "layers", "width", "heads"),
    [
        ("2x128", 2, 128, 2),
        ("12x768", 12, 768, 12),
        ("1x96", 1, 96, 1),
        ("3x8", 3, 8, 1),
    ],
)
def test_any_size_is_a_preset(name, layers, width, heads):
    config = preset(name, vocab_size=600, max_positions=64)
    assert (config.layers, config.width, config.heads) == (layers, width, heads)
    assert config.mlp_width == 4 * width


@pytest.mark.parametrize("name", ["0x64", "2x0", "2x", "x64", "2X64", "2x64 ", "-1x64"])
def test_a_malformed_size_is_refused(name):
    with pytest.raises(ValueError, match="or give LAYERSxWIDTH, such as 2x96"):
        preset(name, vocab_size=600, max_positions=64)
