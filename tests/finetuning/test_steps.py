"""Members side by side: each as if alone, its best state kept, its loss by hand."""

from functools import cache, partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cloud_jax.data.member_batches import MemberBatches, Sentences
from cloud_jax.finetuning import loop
from cloud_jax.finetuning import steps as steps_module
from cloud_jax.finetuning.folds import Member
from cloud_jax.finetuning.steps import (
    LOSSES,
    Labels,
    Scale,
    StepSettings,
    compile_steps,
    init_params,
    mean_loss,
    member_mesh,
)
from cloud_jax.finetuning.targets import Target, prediction
from cloud_jax.models.bert import EncoderConfig
from cloud_jax.models.heads import PropertyModel

N, MEMBERS = 24, 3
CONFIG = EncoderConfig(
    vocab_size=40, layers=1, heads=2, width=8, mlp_width=16, max_positions=16
)
CV = Target("cv", "heat_capacity", "J/(mol K)", "cell", 300.0)
RNG = np.random.default_rng(0)
SENTENCES = Sentences.pack(
    [[1, *RNG.integers(5, 40, n), 2] for n in RNG.integers(3, 12, N)],
    [str(i) for i in range(N)],
)
LABELS = Labels(RNG.normal(size=(N, 1)).astype(np.float32), np.ones((N, 1), np.float32))
ROWS = [np.arange(0, N, 2), np.arange(N), np.arange(0, N, 3)]
SETTINGS = StepSettings(
    model=PropertyModel(CONFIG, 1, 1),
    optimizer=optax.adam(1e-2),
    predict=prediction(None, [CV]),
    labels=LABELS,
    loss="l1",
    weights=np.ones(1, np.float32),
    classes=np.zeros(1, bool),
    features=None,
    initial_encoder=None,
)


pytestmark = pytest.mark.usefixtures("compile_quickly")


@cache
def compiled(members, row_devices=1):
    return compile_steps(SETTINGS, members, row_devices)


def parts(members):
    """Return batches, scale and keys of some of the three members."""
    batches = MemberBatches(
        SENTENCES,
        [ROWS[m] for m in members],
        seeds=[10 + m for m in members],
        packed_rows=2,
        row_length=32,
    )
    values = [LABELS.values[ROWS[m]] for m in members]
    scale = Scale(
        np.stack([v.mean(0) for v in values]),
        np.stack([v.std(0) for v in values]),
        np.stack([np.abs(v - v.mean(0)).mean(0) for v in values]),
    )
    return batches, scale, jnp.stack([jax.random.key(m) for m in members])


def first_state(members, steps):
    """Return the first state of some members, whatever they are compiled with."""
    state = compiled(MEMBERS).init(parts(range(MEMBERS))[2])
    rows = np.array(members)
    state = jax.tree.map(lambda a: np.asarray(a)[rows] if a.ndim else 0, state)
    return jax.tree.map(
        lambda a, like: jax.device_put(jnp.asarray(a, like.dtype), like.sharding),
        state,
        steps.abstract,
    )


def train(steps, members, n_steps=4):
    batches, scale, keys = parts(members)
    state, losses = first_state(members, steps), []
    for step in range(n_steps):
        batch = jax.device_put(batches(step), steps.batch_sharding)
        state, loss = steps.train(state, batch, scale, keys)
        losses.append(np.asarray(loss))
    return state, np.array(losses)


def take(tree, i):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[i], tree)


@pytest.fixture(scope="module")
def together():
    return train(compiled(MEMBERS), range(MEMBERS))


def test_the_members_axis_takes_the_devices_that_divide_it():
    assert [member_mesh(n).size for n in (1, 3, 7, 8, 12, 11)] == [1, 3, 7, 8, 6, 1]


def test_devices_that_share_a_batch_change_only_the_order_of_sums():
    assert member_mesh(3, 2).shape == {"member": 3, "row": 2}
    (alone, losses), (shared, shared_losses) = (
        train(compiled(1, row_devices), [1]) for row_devices in (1, 2)
    )
    np.testing.assert_allclose(shared_losses, losses, rtol=1e-5)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, shared.params, alone.params)


def test_side_by_side_is_as_alone(together):
    """Dropout is on; only the order of sums inside a product may differ."""
    state, losses = together
    one = compiled(1)
    for member in range(MEMBERS):
        alone, alone_losses = train(one, [member])
        np.testing.assert_allclose(losses[:, member], alone_losses[:, 0], rtol=1e-4)
        for a, b in zip(
            jax.tree.leaves(take(state.params, member)),
            jax.tree.leaves(take(alone.params, 0)),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)


def test_members_exchange_nothing(together):
    """A member with labels of NaN spoils itself and no other."""
    steps = compiled(MEMBERS)
    batches, scale, keys = parts(range(MEMBERS))
    scale.mad[1] = np.nan
    state = first_state(range(MEMBERS), steps)
    for step in range(4):
        batch = jax.device_put(batches(step), steps.sharding)
        state, loss = steps.train(state, batch, scale, keys)
    assert np.isnan(loss[1])
    for member in (0, 2):
        for a, b in zip(
            jax.tree.leaves(take(state.params, member)),
            jax.tree.leaves(take(together[0].params, member)),
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)


def test_loss_is_the_mean_over_crystals_per_mean_absolute_deviation():
    steps = compiled(1)
    batches, scale, keys = parts([0])
    batch = batches(0)
    _, found = steps.train(first_state([0], steps), jax.device_put(batch), scale, keys)
    params = take(first_state([0], steps).params, 0)
    # Dropout moves the outputs, so take them with the step's own key.
    apply = partial(PropertyModel(CONFIG, 1, 1).apply, deterministic=False)
    raw = jax.jit(apply)(
        {"params": params},
        *(batch[name][0] for name in ("tokens", "positions", "crystal")),
        query=batch["query"][0],
        rngs={"dropout": jax.random.fold_in(keys[0], 0)},
    )
    errors = []
    for packed, slot in np.argwhere(batch["row"][0] >= 0):
        value = float(raw[packed, slot, 0]) * scale.std[0, 0] + scale.mean[0, 0]
        true = LABELS.values[batch["row"][0, packed, slot], 0]
        errors.append((value - true) / scale.mad[0, 0])
    assert float(found[0]) == pytest.approx(np.mean(np.abs(errors)), rel=1e-4)
    assert LOSSES["l2"](-3.0) == 9.0


@pytest.mark.parametrize("loss", LOSSES)
def test_loss_is_the_mean_over_the_labels_that_are_there(loss):
    """A missing label is not seen: neither in the loss nor in the gradient."""
    targets = [CV, CV._replace(name="cv100", temperature_k=100.0)]
    values = np.array([[1.0, np.nan], [np.nan, -2.0], [0.5, 3.0]], np.float32)
    raw = jnp.array([[[0.25, 7.0], [9.0, 1.0], [0.5, 0.5], [8.0, 8.0]]])
    batch = {"row": jnp.array([[0, 1, 2, -1]])}
    scale = Scale(*(jnp.array(x) for x in ([1.0, 2.0], [2.0, 3.0], [0.5, 4.0])))

    def mean(raw, values):
        labels = Labels(jnp.asarray(values), jnp.ones((3, 2)))
        settings = SETTINGS._replace(
            predict=prediction(None, targets), labels=labels, loss=loss
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(steps_module, "raw_outputs", lambda *_, **__: raw)
            return steps_module.mean_loss(settings, None, batch, scale, None)

    errors = [(1.5 - 1) / 0.5, (2 - 0.5) / 0.5, (5 + 2) / 4, (3.5 - 3) / 4]
    expected = np.mean([LOSSES[loss](error) for error in errors])
    found, gradient = jax.value_and_grad(mean)(raw, values)
    assert float(found) == pytest.approx(expected, rel=1e-6)
    seen = np.array([[[1, 0], [0, 1], [1, 1], [0, 0]]], bool)
    assert np.array_equal(np.asarray(gradient) != 0, seen)


def test_the_best_state_on_validation_rows_is_kept(together):
    steps = compiled(MEMBERS)
    _, _, keys = parts(range(MEMBERS))
    state = steps.init(keys)

    def set_to(state, value, step):
        filled = jax.tree.map(lambda leaf: jnp.full_like(leaf, value), state.params)
        state = state._replace(params=filled, step=jnp.asarray(step, jnp.int32))
        return jax.device_put(state, jax.tree.map(lambda a: a.sharding, steps.abstract))

    scores = [(0.5, 0.9, 0.9), (0.6, 0.8, 0.9), (0.4, 0.9, 0.95)]
    for epoch, score in enumerate(scores, 1):
        state = set_to(state, float(epoch), 10 * epoch)
        state = steps.select(state, np.array(score, np.float32))
    for leaf in jax.tree.leaves(state.best_params):
        kept = np.asarray(leaf).reshape(MEMBERS, -1)
        assert [set(member) for member in kept] == [{3.0}, {2.0}, {1.0}]
    np.testing.assert_allclose(state.best_score, [0.4, 0.8, 0.9])
    assert state.best_step.tolist() == [30, 20, 10]  # of equals the first


def test_pretrained_parameters_start_in_float32_and_the_head_at_random(together):
    encoder = take(together[0].params, 0)["encoder"]
    half = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.bfloat16), encoder)
    steps = compile_steps(SETTINGS._replace(initial_encoder=half), 2)
    state = steps.init(jax.random.split(jax.random.key(0)))
    for a, b in zip(
        jax.tree.leaves(half), jax.tree.leaves(state.params["encoder"]), strict=True
    ):
        assert b.dtype == jnp.float32
        np.testing.assert_array_equal(b, jnp.stack([a, a]).astype(jnp.float32))
    kernel = state.params["head"]["output"]["kernel"]
    assert (kernel[0] != kernel[1]).any()


def test_a_target_of_weight_0_changes_no_gradient():
    """Two targets, the second of weight 0, train like the first alone at weight 1."""
    labels = np.concatenate([LABELS.values, 100 + 7 * LABELS.values[::-1]], axis=1)
    both = SETTINGS._replace(
        model=PropertyModel(CONFIG, 1, 2),
        predict=prediction(None, [CV, CV]),
        labels=Labels(labels, np.ones((N, 2), np.float32)),
        weights=np.array([2, 0], np.float32),
    )
    scale = Scale(*(np.ones((1, 2), np.float32) for _ in range(3)))
    batches, _, keys = parts([1])
    batch = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), batches(0))
    params = init_params(both, keys[0])

    def loss(settings, params):
        return mean_loss(settings, params, batch, take(scale, 0), keys[0])

    without = both._replace(labels=both.labels._replace(values=labels * [1, np.nan]))
    assert loss(both, params) == loss(without, params)
    gradient = jax.grad(lambda p: loss(both, p))(params)
    for a, b in zip(
        jax.tree.leaves(gradient),
        jax.tree.leaves(jax.grad(lambda p: loss(without, p))(params)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    unweighted = both._replace(weights=np.ones(2, np.float32))
    assert loss(unweighted, params) != loss(both, params)


def test_a_score_is_of_labels_and_a_prediction_that_is_no_number_spoils_it(monkeypatch):
    values = np.array([[[1.5, np.nan], [2.0, 2.0]]])
    group = SimpleNamespace(
        labels=np.array([[1.0, np.nan], [2.0, 3.0]]),
        weights=np.ones(2),
        classes=np.zeros(2, bool),
        members=[Member("m", 0, 0, np.arange(0), np.arange(2))],
        scale=Scale(0, 1, np.ones((1, 2))),
        steps=SimpleNamespace(predict=lambda raw, row, scale: values),
        validation=None,
    )
    monkeypatch.setattr(loop, "member_outputs", lambda *_, **__: np.zeros((1, 2, 1)))
    assert loop.validation_scores(group, {}).tolist() == [0.5]
    values[0, 0, 0] = np.nan
    assert np.isnan(loop.validation_scores(group, {})).all()
