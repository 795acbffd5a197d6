import jax
import numpy as np
import pytest
from jax.sharding import AxisType, PartitionSpec
from synthetic_dataset import MAX_TOKENS, VOCABULARY

from cloud_jax.data.batches import PackedBatches
from cloud_jax.data.prefetch import make_global
from cloud_jax.models.bert import EncoderConfig
from cloud_jax.models.heads import MaskedLanguageModel
from cloud_jax.training.checkpoint import Checkpoints
from cloud_jax.training.optim import adamw, schedule
from cloud_jax.training.sharding import (
    AXES,
    make_mesh,
    spec_of,
    to_host,
)
from cloud_jax.training.steps import compile_steps

N_STEPS = 5
MODEL = MaskedLanguageModel(
    EncoderConfig(
        vocab_size=len(VOCABULARY),
        layers=2,
        heads=8,
        width=64,
        mlp_width=128,
        max_positions=MAX_TOKENS,
        token_features=2,
    )
)


pytestmark = pytest.mark.usefixtures("compile_quickly")


def mesh_of(shape, n_devices=8):
    return jax.make_mesh(
        shape,
        AXES,
        axis_types=(AxisType.Auto,) * 3,
        devices=jax.devices()[:n_devices],
    )


def steps_on(mesh):
    rate = schedule(learning_rate=3e-3, warmup_fraction=0.2, total_steps=N_STEPS)
    optimizer = adamw(rate, weight_decay=0.01, clip_norm=1.0)
    features = VOCABULARY.features
    return compile_steps(
        MODEL, optimizer, mesh=mesh, features=features, mask_fraction=0.15
    )


def curve(stores, mesh):
    """Return the loss of each step, and the last state, after training on a mesh."""
    steps = steps_on(mesh)
    batches = PackedBatches(stores[0], rows=16, row_length=64, seed=0)
    losses = []
    with jax.set_mesh(mesh):
        state = steps.init(jax.random.key(0))
        for index in range(N_STEPS):
            batch = make_global(batches, index, steps.batch_sharding)
            state, sums = steps.train(state, batch, jax.random.key(1))
            sums = to_host(sums)
            losses.append(float(sums["loss"].sum() / sums["count"].sum()))
    return losses, state


def bytes_per_device(tree):
    """Return the number of bytes on the first device."""
    leaves = jax.tree.leaves(tree)
    return sum(leaf.addressable_shards[0].data.nbytes for leaf in leaves)


@pytest.fixture(scope="module")
def single(stores):
    losses, state = curve(stores, mesh_of((1, 1, 1), 1))
    return losses, bytes_per_device(state.params)


@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1), (1, 1, 8), (2, 2, 2)])
def test_loss_curve_does_not_depend_on_the_mesh(stores, single, shape, tmp_path):
    losses, state = curve(stores, mesh_of(shape))
    np.testing.assert_allclose(losses, single[0], rtol=0, atol=1e-5)
    assert losses[-1] < losses[0] - 0.1  # it did learn something
    if shape == (2, 2, 2):
        check_restore_on_one_device(state, tmp_path)


def check_restore_on_one_device(state, folder):
    checkpoints = Checkpoints(folder / "checkpoints", keep=1)
    checkpoints.save(state, {}, step=N_STEPS)
    checkpoints.wait()
    abstract = steps_on(mesh_of((1, 1, 1), 1)).abstract
    restored, _ = checkpoints.restore(abstract, step=N_STEPS)
    checkpoints.close()
    assert all(len(leaf.devices()) == 1 for leaf in jax.tree.leaves(restored))
    jax.tree.map(np.testing.assert_array_equal, state, restored)


@pytest.mark.parametrize("axis", ["fsdp", "tensor"])
def test_parameter_bytes_fall_as_an_axis_grows(single, axis):
    sizes = [single[1]]
    for n in (2, 4, 8):
        shape = dict.fromkeys(AXES, 1) | {"data": 8 // n, axis: n}
        steps = steps_on(mesh_of(tuple(shape.values())))
        sizes.append(
            sum(
                np.prod(leaf.sharding.shard_shape(leaf.shape)) * 4
                for leaf in jax.tree.leaves(steps.abstract.params)
            )
        )
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0] / 3  # what is left whole is biases and layer norms


def test_moments_are_sharded_like_their_parameters():
    abstract = steps_on(mesh_of((2, 2, 2))).abstract
    specs = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.sharding.spec
        for path, leaf in jax.tree_util.tree_leaves_with_path(abstract)
    }
    kernel = "encoder/layer_0/mlp/in/kernel"
    found = {path: spec for path, spec in specs.items() if path.endswith(kernel)}
    assert len(found) == 3  # the parameter and AdamW's two moments
    assert set(found.values()) == {PartitionSpec("fsdp", "tensor")}


def test_an_axis_that_does_not_divide_is_not_split():
    mesh = mesh_of((1, 2, 4))
    assert spec_of("mlp/in/kernel", (6, 6), mesh) == PartitionSpec("fsdp", None)
    assert spec_of("mlp/in/kernel", (8, 8), mesh) == PartitionSpec("fsdp", "tensor")


def test_minus_one_takes_the_remaining_devices():
    mesh = make_mesh(data=-1, fsdp=2, tensor=1, heads=1)
    assert dict(mesh.shape) == {"data": 4, "fsdp": 2, "tensor": 1}


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"data": 3, "fsdp": 1, "tensor": 1}, "does not fit 8 devices"),
        ({"data": -1, "fsdp": -1, "tensor": 1}, "does not fit 8 devices"),
        ({"data": -1, "fsdp": 1, "tensor": 4}, "does not divide the model's 6"),
    ],
)
def test_impossible_meshes_are_refused(sizes, message):
    with pytest.raises(ValueError, match=message):
        make_mesh(**sizes, heads=6)
