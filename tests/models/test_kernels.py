"""Every way to compute a layer gives the reference's values, gradients and masks."""

import dataclasses
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh, AxisType

from cloud_jax.models import add_norm, device_parts, kernels, packed_attention
from cloud_jax.models.bert import Encoder, EncoderConfig
from cloud_jax.models.device_parts import HEAD_AXIS, ROW_AXES
from cloud_jax.models.dropout import drop, key_words
from cloud_jax.models.heads import MaskedLanguageModel
from cloud_jax.models.kernels import NAMES, choose_kernels

pytestmark = pytest.mark.usefixtures("compile_quickly")

B, L, H, D = 8, 32, 2, 48  # D in three pieces, as 768 is; heads of 24 do not fit
WIDE = 64  # width whose heads do
KEY = jax.random.key(7)
CRYSTAL = np.array([[1] * 9 + [2] * 17 + [0] * 6, [1] * 32] * (B // 2), np.int32)
# float32 through a softmax or a LayerNorm, whose sums have another order.
close = partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-5)


def mesh_of(*shape):
    names = (*ROW_AXES, HEAD_AXIS)
    devices = jax.devices()[: np.prod(shape)]
    return jax.make_mesh(shape, names, axis_types=(AxisType.Auto,) * 3, devices=devices)


@pytest.fixture
def one_device():
    with jax.set_mesh(mesh_of(1, 1, 1)):
        yield


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def value_and_pullback(function, bar, *arguments):
    value, pullback = jax.vjp(function, *arguments)
    return value, pullback(bar)


# Dropout rate, blocks of a row or of positions, and the mesh.
CASES = [(0.0, 1, (1, 1, 1)), (0.3, 2, (1, 1, 1)), (0.3, 1, (2, 2, 2))]


def attention_reference(qkv, crystal, key, rate):
    query, keys, value = (
        x.reshape(*x.shape[:2], H, -1) for x in jnp.moveaxis(qkv, 2, 0)
    )
    scores = jnp.einsum("bqhd,bkhd->bhqk", query, keys) / query.shape[-1] ** 0.5
    same = crystal[:, None, :, None] == crystal[:, None, None, :]
    weights = drop(jax.nn.softmax(jnp.where(same, scores, -1e30)), key, rate)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value).reshape(*crystal.shape, -1)


@pytest.mark.parametrize(("rate", "blocks", "shape"), CASES)
def test_attention_equals_the_reference(monkeypatch, rate, blocks, shape):
    monkeypatch.setattr(packed_attention, "SCORES", L * L // blocks)
    key = KEY if rate else None
    qkv, bar = 2 * normal(0, B, L, 3, WIDE), normal(1, B, L, WIDE)

    def kernel(qkv):
        words = key_words(key)
        return packed_attention.packed_attention(qkv, CRYSTAL, words, H, rate)

    with jax.set_mesh(mesh_of(*shape)):
        assert packed_attention.fits_attention(B, L, WIDE, H)
        found = jax.jit(partial(value_and_pullback, kernel))(bar, qkv)
    reference = partial(attention_reference, crystal=CRYSTAL, key=key, rate=rate)
    expected = jax.jit(partial(value_and_pullback, reference))(bar, qkv)
    jax.tree.map(close, found, expected)


def norm_reference(x, y, scale, bias, key, rate):
    z = x + drop(y, key, rate)
    z = z - z.mean(-1, keepdims=True)
    return z * jax.lax.rsqrt((z * z).mean(-1, keepdims=True) + 1e-12) * scale + bias


@pytest.mark.parametrize(("rate", "blocks", "shape"), CASES)
def test_add_norm_equals_the_reference(monkeypatch, rate, blocks, shape):
    monkeypatch.setattr(add_norm, "LONGEST", 64 // blocks)
    key = KEY if rate else None
    arrays = (normal(0, B, L, D) + 3, normal(1, B, L, D), normal(2, D), normal(3, D))
    bar = normal(4, B, L, D)

    def kernel(*arrays):
        return add_norm.add_norm(*arrays, key_words(key), rate, 1e-12)

    with jax.set_mesh(mesh_of(*shape)):
        assert add_norm.fits_norm(B, L, D)
        found = jax.jit(partial(value_and_pullback, kernel))(bar, *arrays)
    reference = partial(norm_reference, key=key, rate=rate)
    expected = jax.jit(partial(value_and_pullback, reference))(bar, *arrays)
    # Sums over 256 positions.
    jax.tree.map(partial(close, atol=1e-4), found[1][2:], expected[1][2:])
    jax.tree.map(close, (found[0], found[1][:2]), (expected[0], expected[1][:2]))


CONFIG = EncoderConfig(
    vocab_size=50, layers=2, heads=H, width=WIDE, mlp_width=64, max_positions=L
)
TOKENS = np.random.default_rng(5).integers(5, 50, (B, L)).astype(np.int32)
POSITIONS = np.broadcast_to(np.arange(L, dtype=np.int32), (B, L))
QUERY = np.tile(np.array([0, 9, 3, 20], np.int32), (B, 1))


def loss_and_gradient(names, key=KEY):
    """Return the jitted loss and gradient of a model that computes layers so."""
    model = MaskedLanguageModel(dataclasses.replace(CONFIG, kernels=names))

    def loss(params):
        logits = model.apply(
            {"params": params},
            *(TOKENS, POSITIONS, CRYSTAL),
            query=QUERY,
            deterministic=key is None,
            rngs={"dropout": key},
        )
        return (jax.nn.log_softmax(logits)[..., :50] ** 2).mean()

    return jax.value_and_grad(loss)


@pytest.fixture(scope="module")
def params():
    model = MaskedLanguageModel(CONFIG)
    shapes = jax.eval_shape(
        partial(model.init, deterministic=True),
        KEY,
        *(TOKENS, POSITIONS, CRYSTAL),
    )["params"]
    return jax.tree.map(lambda x: 0.3 * normal(x.size, *x.shape), shapes)


@pytest.fixture(scope="module")
def expected(params):
    with jax.set_mesh(mesh_of(1, 1, 1)):
        return jax.jit(loss_and_gradient(()))(params)


@pytest.mark.parametrize(
    ("names", "shape"),
    [
        (("one_pass_norm", "split_qkv"), (1, 1, 1)),
        (("attention", "fused_norm"), (2, 2, 2)),
    ],
)
def test_loss_and_gradient_equal_the_reference(params, expected, names, shape):
    with jax.set_mesh(mesh_of(*shape)):
        found = jax.jit(loss_and_gradient(names))(params)
    jax.tree.map(close, found, expected)


@pytest.mark.usefixtures("one_device")
def test_no_attention_across_crystals(params):
    model = Encoder(dataclasses.replace(CONFIG, kernels=("attention", "fused_norm")))
    apply = jax.jit(partial(model.apply, deterministic=True))
    variables = {"params": params["encoder"]}
    before = np.asarray(apply(variables, TOKENS, POSITIONS, CRYSTAL))
    changed = (CRYSTAL == 2) | (CRYSTAL == 0)
    tokens = np.where(changed, (TOKENS + 7) % 50, TOKENS)
    after = np.asarray(apply(variables, tokens, POSITIONS, CRYSTAL))
    np.testing.assert_array_equal(after[~changed], before[~changed])
    assert np.abs(after - before)[changed].max() > 1e-3


@pytest.mark.usefixtures("one_device")
def test_members_side_by_side_equal_members_alone():
    """As in fine-tuning: parameters, rows and dropout keys differ between members."""
    qkv = normal(0, 2, B, L, 3, WIDE)
    crystal = jnp.stack([CRYSTAL, CRYSTAL[:, ::-1]])
    words = jax.vmap(key_words)(jax.random.split(KEY, 2))

    def member(qkv, crystal, words):
        run = packed_attention.packed_attention
        attend = partial(run, crystal=crystal, words=words, heads=H, rate=0.3)
        y, pullback = jax.vjp(lambda qkv: attend(qkv), qkv)
        return y, pullback(y)

    together = jax.jit(jax.vmap(member))(qkv, crystal, words)
    alone = jax.jit(member)(qkv[1], crystal[1], words[1])
    jax.tree.map(lambda a, b: close(a[1], b), together, alone)


def test_what_does_not_fit_is_computed_by_the_reference():
    config = dataclasses.replace(CONFIG, kernels=NAMES)
    narrow = dataclasses.replace(config, width=D)
    with jax.set_mesh(mesh_of(1, 1, 1)):
        assert kernels.attention_kernel(config, B, L)
        assert kernels.norm_kernel(narrow, B, L)
        assert not kernels.attention_kernel(narrow, B, L)  # heads of width 24
        assert not kernels.attention_kernel(config, B, 48)
        assert not kernels.attention_kernel(config, B, 1024)
        narrow_heads = dataclasses.replace(config, heads=4)
        assert not kernels.attention_kernel(narrow_heads, B, 512)  # 8 queries a block
        assert not kernels.norm_kernel(config, 1, 2)
        assert not kernels.norm_kernel(dataclasses.replace(config, width=40), B, L)
    with jax.set_mesh(mesh_of(4, 2, 1)):
        assert not kernels.attention_kernel(config, 4, L)  # rows for eight devices
        assert not kernels.norm_kernel(config, 4, L)
    # Eight devices without a mesh, as members of an ensemble have them.
    assert not kernels.attention_kernel(config, B, L)
    assert not kernels.norm_kernel(config, B, L)


def lowered(monkeypatch, names, dtype, key=KEY):
    """Return the text of a step for CUDA; none is needed to lower."""
    for module in (add_norm, packed_attention):
        monkeypatch.setattr(module, "is_interpreted", lambda: False)
    model = MaskedLanguageModel(dataclasses.replace(CONFIG, kernels=names, dtype=dtype))

    def loss(params):
        logits = model.apply(
            {"params": params},
            *(TOKENS, POSITIONS, CRYSTAL),
            deterministic=False,
            rngs={"dropout": key},
        )
        return logits.mean()

    shapes = jax.eval_shape(
        partial(model.init, deterministic=True), KEY, *(TOKENS, POSITIONS, CRYSTAL)
    )["params"]
    gpu = jax.sharding.AbstractDevice("NVIDIA H100 80GB HBM3", None, "gpu")
    names, types = (*ROW_AXES, HEAD_AXIS), (AxisType.Auto,) * 3
    mesh = AbstractMesh((1, 1, 1), names, axis_types=types, abstract_device=gpu)
    with jax.sharding.use_abstract_mesh(mesh):
        traced = jax.jit(jax.grad(loss)).trace(shapes)
        return traced.lower(lowering_platforms=("cuda",)).as_text()


def copies(text):
    """Return slices of the products of query, key and value, and their transposes."""
    found = re.findall(r"stablehlo\.(slice|pad) .*", text)
    shape = rf"tensor<{B}x{L}x3x"
    lines = [x for x in text.splitlines() if "stablehlo.slice" in x or ".pad" in x]
    assert len(found) == len(lines)
    return [line for line in lines if shape in line]


# jax 0.12 still has the backend, and says that a later version will not.
@pytest.mark.filterwarnings("ignore:The Pallas Triton backend:DeprecationWarning")
def test_kernels_lower_to_triton_and_leave_no_copies(monkeypatch):
    assert len(copies(lowered(monkeypatch, (), "bfloat16"))) == 6 * CONFIG.layers
    text = lowered(monkeypatch, ("split_qkv",), "bfloat16")
    assert not copies(text)
    text = lowered(monkeypatch, ("attention", "fused_norm"), "bfloat16")
    assert not copies(text)
    # Attention once a layer and LayerNorm twice, forward and backward.
    assert len(re.findall("custom_call @.*triton", text)) == 6 * CONFIG.layers


def test_choices():
    assert choose_kernels("") == choose_kernels("none") == ()
    assert choose_kernels("attention,fused_norm") == ("attention", "fused_norm")
    with pytest.raises(
        ValueError, match=r"unknown name 'flash' in 'flash'.*fused_norm"
    ):
        choose_kernels("flash")


def test_a_tpu_has_no_triton(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert choose_kernels("") == ("one_pass_norm",)
    assert not device_parts.is_interpreted()
    with pytest.raises(ValueError, match="attention needs a GPU, found a TPU"):
        choose_kernels("one_pass_norm,attention")
