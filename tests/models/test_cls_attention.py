"""The attention that is read out is that of the forward pass, packed or not."""

import jax
import numpy as np
import pytest

from cloud_jax.models.bert import LAYER_NORM_EPSILON, Encoder, EncoderConfig
from cloud_jax.models.cls_attention import attention_weights

CONFIG = EncoderConfig(
    vocab_size=50,
    layers=3,
    heads=2,
    width=8,
    mlp_width=16,
    max_positions=9,
    dropout=0.5,
    attention_dropout=0.5,
    token_features=2,
)
FEATURES = np.random.default_rng(1).normal(size=(50, 2)).astype(np.float32)
LENGTHS = (4, 6, 3)  # crystals of one packed row
STARTS = (0, 4, 10)


pytestmark = pytest.mark.usefixtures("compile_quickly")


def rows():
    """Three crystals in a row of 16: tokens, positions, crystal."""
    tokens, positions, crystal = np.zeros((3, 1, 16), np.int32)
    generator = np.random.default_rng(0)
    for number, (start, n) in enumerate(zip(STARTS, LENGTHS, strict=True), 1):
        tokens[0, start : start + n] = generator.integers(5, 50, n)
        positions[0, start : start + n] = np.arange(n)
        crystal[0, start : start + n] = number
    return tokens, positions, crystal


@pytest.fixture(scope="module")
def params():
    shapes = jax.eval_shape(
        lambda: Encoder(CONFIG).init(
            jax.random.key(0), *rows(), features=FEATURES, deterministic=True
        )
    )
    assert set(shapes) == {"params"}, "nothing is kept where nobody asks"
    generator = np.random.default_rng(2)
    return jax.tree.map(
        lambda x: generator.normal(0.0, 0.8, x.shape).astype(np.float32),
        shapes["params"],
    )


def read(params, arrays, query, config=CONFIG):
    compiled = jax.jit(attention_weights, static_argnums=0)
    found = compiled(Encoder(config), params, *arrays, features=FEATURES, query=query)
    return np.asarray(found)


def layer_norm(x, weights):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + LAYER_NORM_EPSILON)
    return x * weights["scale"] + weights["bias"]


def test_the_first_layer_equals_a_softmax_by_hand(params):
    """One crystal alone: embeddings, one query, keys, exp over sum."""
    tokens, positions, _ = (x[:, 4:10] for x in rows())
    table = params["token_embedding"][:50] + FEATURES @ params["feature_kernel"]
    x = table[tokens[0]] + params["position_embedding"][positions[0]]
    x = layer_norm(x, params["embedding_norm"])
    attention = params["layer_0"]["attention"]
    query, key = (
        x @ attention["qkv_kernel"][:, i] + attention["qkv_bias"][i] for i in (0, 1)
    )
    expected = []
    for head in (slice(0, 4), slice(4, 8)):
        e = np.exp(key[:, head] @ query[0, head] / 4**0.5)
        expected.append(e / e.sum())
    found = read(
        params, (tokens, positions, np.ones_like(tokens)), np.zeros((1, 1), int)
    )
    assert found.shape == (1, 3, 2, 1, 6)
    np.testing.assert_allclose(found[0, 0, :, 0], expected, atol=1e-6)


def test_rows_sum_to_one_and_stay_inside_their_crystal(params):
    arrays = rows()
    found = read(params, arrays, np.array([STARTS]))
    np.testing.assert_allclose(found.sum(axis=-1), 1.0, atol=1e-6)
    for place in range(3):
        outside = arrays[2][0] != place + 1
        assert (found[0, :, :, place, outside] == 0).all()
        assert (found[0, :, :, place, ~outside] > 0).all()


def test_packing_changes_nothing(params):
    packed = rows()
    together = read(params, packed, np.array([STARTS]))
    for place, (start, n) in enumerate(zip(STARTS, LENGTHS, strict=True)):
        inside = slice(start, start + n)
        alone = [x[:, inside] for x in packed]
        alone[2] = np.ones_like(alone[2])
        np.testing.assert_allclose(
            read(params, alone, np.zeros((1, 1), int))[0, :, :, 0],
            together[0, :, :, place, inside],
            atol=1e-6,
        )


def test_the_weights_are_those_that_mix_the_values(params):
    """What attention puts out in the second layer follows from them."""
    arrays = [x[:, :4] for x in rows()]
    arrays[2] = np.ones_like(arrays[2])
    encoder = Encoder(CONFIG)
    kept = jax.jit(
        lambda: encoder.apply(
            {"params": params}, *arrays, features=FEATURES, deterministic=True,
            capture_intermediates=True, mutable=["intermediates"],
        )[1]["intermediates"]
    )()  # fmt: skip
    states = kept["layer_0"]["__call__"][0][0]
    attention = params["layer_1"]["attention"]
    value = states @ attention["qkv_kernel"][:, 2] + attention["qkv_bias"][2]
    weights = read(params, arrays, np.zeros((1, 1), int))[0, 1, :, 0]
    mixed = [weights[0] @ value[:, :4], weights[1] @ value[:, 4:]]
    output = attention["output"]
    found, _ = kept["layer_1"]["attention"]["__call__"][0]  # and a dropout key
    np.testing.assert_allclose(
        found[0, 0],
        np.concatenate(mixed) @ output["kernel"] + output["bias"],
        atol=1e-5,
    )
