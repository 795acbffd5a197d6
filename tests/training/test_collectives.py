"""What a step sends, read from its compiled program, is what arithmetic says."""

import jax
import jax.numpy as jnp
import pytest

from cloud_jax.models.bert import EncoderConfig
from cloud_jax.models.heads import MaskedLanguageModel
from cloud_jax.training.optim import adamw
from cloud_jax.training.sharding import make_mesh
from cloud_jax.training.steps import compile_steps
from scripts.bench_sharding import (
    MACHINES,
    Collective,
    collectives,
    seconds_of,
    step_time,
    summary,
)

CONFIG = EncoderConfig(
    vocab_size=50, layers=2, heads=2, width=16, mlp_width=32, max_positions=64
)


LENGTH = 64


def compiled_on(**sizes):
    """Return the collectives of a step on a mesh, and the numbers of its values."""
    mesh = make_mesh(**{"data": 1, "fsdp": 1, "tensor": 1} | sizes, heads=2)
    optimizer = adamw(lambda step: 1e-3, weight_decay=0.0, clip_norm=1.0)
    with jax.set_mesh(mesh):
        steps = compile_steps(
            MaskedLanguageModel(CONFIG),
            optimizer,
            mesh=mesh,
            features=None,
            mask_fraction=0.15,
        )
        names = ("tokens", "positions", "crystal")
        batch = {name: jax.ShapeDtypeStruct((8, LENGTH), jnp.int32) for name in names}
        arguments = (steps.abstract, batch, jax.random.key(0))
        _, sums = jax.eval_shape(steps.train, *arguments)
        hlo = steps.train.lower(*arguments).compile().as_text()
    n_parameters = sum(leaf.size for leaf in jax.tree.leaves(steps.abstract.params))
    # The gradient's norm is of what every device has by then.
    n_sums = sum(leaf.size for name, leaf in sums.items() if name != "grad_norm")
    return collectives(hlo, 8), n_parameters, n_sums


def bytes_of(found, kind):
    return sum(c.n_bytes for c in found if c.kind == kind)


N_TABLE = CONFIG.padded_vocab_size * CONFIG.width  # tied: its gradient has two parts
MASKING = 4 * 8 * LENGTH  # the numbers that choose the masks are gathered


@pytest.mark.usefixtures("compile_quickly")
def test_gradients_are_summed_once_on_a_data_mesh_those_of_the_tied_table_twice():
    found, n_parameters, n_sums = compiled_on(data=8)
    assert {(c.size, c.stride) for c in found} == {(8, 1)}
    summed = bytes_of(found, "all-reduce")
    assert summed == 4 * (n_parameters + N_TABLE + n_sums)
    assert sum(c.n_bytes for c in found) == summed + MASKING


@pytest.mark.usefixtures("compile_quickly")
def test_parameters_split_over_fsdp_are_gathered_and_activations_stay_where_they_are():
    found, n_parameters, n_sums = compiled_on(fsdp=8)
    # Beside the gradients: a number per array for their norm.
    summed = bytes_of(found, "all-reduce")
    assert summed <= 4 * (n_parameters + N_TABLE + n_sums + 100)
    gathered = sum(c.n_bytes for c in found) - summed
    assert 2 * n_parameters < gathered <= 4 * n_parameters + MASKING


def test_collectives_are_read_in_every_notation():
    hlo = """
      %a = (f32[2,3]{1,0}, bf16[4]{0}) all-reduce(%x, %y), replica_groups=[1,8]<=[8]
      %b = s32[8]{0} all-gather(%x), replica_groups={{0,2},{1,3}}, dimensions={0}
      %c = f32[5]{0} reduce-scatter(%x), replica_groups=[4,2]<=[2,4]T(1,0)
      %d = f32[] all-reduce-start(%x), channel_id=1
      %e = f32[] all-reduce-done(%d)
      %f = f32[7]{0} collective-permute(%x), source_target_pairs={{0,1},{1,0}}
      %g = f32[9]{0} all-reduce(%x), replica_groups=[8,1]<=[8], to_apply=%add
      %h = f32[9]{0} add(%all-reduce.1, %x)
      %i = f32[2]{0} all-reduce(%x), replica_groups=mesh['a'=2,'b'=4] {'a'}, to_apply=%s
      %j = f32[2]{0} all-reduce(%x), replica_groups=mesh['a'=2,'b'=4] {'a','b'}
      %k = f32[2]{0} all-reduce(%x), replica_groups=[1,8]<=[8], to_apply=%a_promoted
    """
    assert collectives(hlo, 8) == [
        Collective("all-reduce", 32, 8, 1),
        Collective("all-gather", 32, 2, 2),
        Collective("reduce-scatter", 40, 2, 4),
        Collective("all-reduce", 4, 8, 1),
        Collective("collective-permute", 28, 8, 1),
        Collective("all-reduce", 8, 2, 4),
        Collective("all-reduce", 8, 8, 1),
        Collective("all-reduce", 4, 8, 1),
    ]


def test_a_ring_is_as_fast_as_its_slowest_link():
    h100 = MACHINES["H100"]
    # Sent: 2 (n - 1) / n of the bytes.
    inside = Collective("all-reduce", 450_000_000, 8, 1)
    assert seconds_of(inside, h100) == pytest.approx(2 * 7 / 8 * 1e-3)
    # Eight cards of 50 GB/s a node are slower than 450 GB/s.
    across = Collective("all-reduce", 400_000_000, 64, 1)
    assert seconds_of(across, h100) == pytest.approx(2 * 63 / 64 * 1e-3)
    # Every fourth device: two of each node, with a card each.
    strided = Collective("all-gather", 100_000_000, 16, 4)
    assert seconds_of(strided, h100) == pytest.approx(15 / 16 * 1e-3)


def test_half_of_the_time_is_products_at_the_batch_that_keeps_half():
    h100 = MACHINES["H100"]
    gradients = [Collective("all-reduce", 4 * 86_000_000, 64, 1)]

    def at(crystals):
        sizes = {"flops": 6e8 * crystals, "parameters": 86e6}
        return summary(step_time(gradients, h100, share=0.3, **sizes), crystals)

    batch = at(2048)["crystals_for_half"]
    assert at(2048)["efficiency"] != pytest.approx(0.5, abs=0.01)
    assert at(batch)["efficiency"] == pytest.approx(0.5, abs=1e-3)
