"""Steps of fine-tuning: many members at once, each on its own fold and seed.

The functions of one member are pure; `jax.vmap` makes them functions of M members,
whose axis is split over the devices. Members never exchange anything.

Shape letters: M members, B packed rows, S crystals per packed row, N rows of the
table, P targets, O outputs of the head.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from cloud_jax.finetuning.targets import Predict
from cloud_jax.models.heads import PropertyModel

Batch = dict[str, jax.Array]
LOSSES = {"l1": jnp.abs, "l2": jnp.square}


class PropertyState(NamedTuple):
    """Everything that a step reads and writes, stacked over members but for `step`."""

    step: Int[Array, ""]
    params: PyTree
    opt_state: optax.OptState
    best_params: PyTree
    best_score: Float[Array, " M"]
    best_step: Int[Array, " M"]


class Labels(NamedTuple):
    """The labels of the table, on the device.

    Attributes:
        values: in the frame of the run, see `labels.Frame`; NaN where one is missing.
        amounts: mol of atoms per unit of each target's basis, see `target_amounts`.
    """

    values: Float[Array, "N P"]
    amounts: Float[Array, "N P"]


class Scale(NamedTuple):
    """Statistics of each member's training rows.

    Attributes:
        mean: of each target.
        std: standard deviation.
        mad: mean absolute deviation, the unit of losses and scores.
    """

    mean: Float[Array, "M P"]
    std: Float[Array, "M P"]
    mad: Float[Array, "M P"]


class StepSettings(NamedTuple):
    """Settings of the steps, the same for all members.

    Attributes:
        model: module of one member.
        optimizer: of one member.
        predict: from raw outputs to targets.
        labels: of the whole table.
        loss: a key of `LOSSES`, of errors in units of the mean absolute deviation.
        weights: of each target in the loss, 1 on average.
        classes: which targets are classes, whose loss is the cross-entropy.
        features: descriptors of the tokens, or None.
        initial_encoder: parameters to start with; None starts at random.
    """

    model: PropertyModel
    optimizer: optax.GradientTransformation
    predict: Predict
    labels: Labels
    loss: str
    weights: Float[np.ndarray, " P"]
    classes: Bool[np.ndarray, " P"]
    features: Float[np.ndarray, "V F"] | None
    initial_encoder: PyTree | None


class PropertySteps(NamedTuple):
    """Compiled steps of M members.

    Attributes:
        init: from keys [M] to the first state.
        train: from state, batch, scale and keys to the next state and losses [M].
        outputs: from parameters and a batch to raw outputs [M, B, S, O].
        predict: from raw outputs [M, n, O], table rows [n] and scale to targets
            [M, n, P].
        select: from a state and validation scores [M] to a state with the best kept.
        abstract: shapes, types and shardings of a state.
        sharding: of an array whose first axis is that of the members.
        batch_sharding: of the arrays of a batch, [M, B, ...].
    """

    init: Callable[[PRNGKeyArray], PropertyState]
    train: Callable[..., tuple[PropertyState, Array]]
    outputs: Callable[[PyTree, Batch], Array]
    predict: Callable[[Array, Array, Scale], Array]
    select: Callable[[PropertyState, Array], PropertyState]
    abstract: PropertyState
    sharding: NamedSharding
    batch_sharding: NamedSharding


# ---- one member ----


def init_params(settings: StepSettings, key: PRNGKeyArray) -> PyTree:
    """Return the first parameters of a member: a head at random on the encoder."""
    empty = jnp.zeros((1, 2), jnp.int32)
    params = settings.model.init(
        key,
        *(empty, empty, empty),
        features=settings.features,
        query=empty[:, :1],
        deterministic=True,
    )["params"]
    if settings.initial_encoder is not None:
        params |= {"encoder": settings.initial_encoder}
    return params


def raw_outputs(
    settings: StepSettings,
    params: PyTree,
    batch: Batch,
    *,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "B S O"]:
    """Return the outputs of the head for each crystal; a key turns dropout on."""
    return settings.model.apply(
        {"params": params},
        batch["tokens"],
        batch["positions"],
        batch["crystal"],
        features=settings.features,
        query=batch["query"],
        deterministic=key is None,
        rngs=None if key is None else {"dropout": key},
    )


def target_losses(
    settings: StepSettings,
    raw: Float[Array, "B S O"],
    row: Int[Array, "B S"],
    scale: Scale,
) -> Float[Array, "B S P"]:
    """Return the loss of each crystal and target, 1 for an error of one MAD.

    Of a class it is 1 for the loss of the share among training rows. Where the label is
    missing it is 0.
    """
    values = settings.predict(raw, settings.labels.amounts[row], scale.mean, scale.std)
    labels = settings.labels.values[row]
    missing = jnp.isnan(labels)
    errors = jnp.where(missing, 0, values - labels)
    losses = LOSSES[settings.loss](errors / scale.mad)
    if not settings.classes.any():
        return losses
    # Filled before, not after: 0 times the gradient of NaN would be NaN.
    of_classes = cross_entropy(values, jnp.where(missing, 0, labels))
    of_classes = jnp.where(missing, 0, of_classes) / scale.mad
    return jnp.where(settings.classes, of_classes, losses)


def cross_entropy(
    logits: Float[Array, "*N"], labels: Float[Array, "*N"]
) -> Float[Array, "*N"]:
    """Return the cross-entropy of labels 0 and 1, in nats."""
    return jnp.logaddexp(0, logits) - labels * logits


def mean_loss(
    settings: StepSettings,
    params: PyTree,
    batch: Batch,
    scale: Scale,
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """Return the weighted mean loss over the labels of a batch, of all targets."""
    # Row -1 marks an unused place: it reads the labels of row 0 and counts for 0.
    used = batch["row"] >= 0
    raw = raw_outputs(settings, params, batch, key=key)
    row = jnp.maximum(batch["row"], 0)
    weights = settings.weights
    losses = (target_losses(settings, raw, row, scale) * weights).mean(-1)
    known = ~jnp.isnan(settings.labels.values[row])
    # Labels per target, so that with every label there they are the crystals.
    weight = (known * weights * used[..., None]).sum() / known.shape[-1]
    return jnp.sum(losses * used) / jnp.maximum(weight, jnp.finfo(weight.dtype).tiny)


def train_member(
    settings: StepSettings,
    params: PyTree,
    opt_state: optax.OptState,
    batch: Batch,
    scale: Scale,
    key: PRNGKeyArray,
    step: Int[Array, ""],
) -> tuple[PyTree, optax.OptState, Float[Array, ""]]:
    """Return parameters and optimizer state after one update, and the loss before."""
    # Dropout depends on the step alone, so a resumed run draws the same.
    dropout_key = jax.random.fold_in(key, step)
    loss_and_grads = jax.value_and_grad(partial(mean_loss, settings))
    loss, grads = loss_and_grads(params, batch, scale, dropout_key)
    updates, opt_state = settings.optimizer.update(grads, opt_state, params)
    return optax.apply_updates(params, updates), opt_state, loss


# ---- M members side by side ----


def init(settings: StepSettings, keys: PRNGKeyArray) -> PropertyState:
    """Return the first state of as many members as there are keys."""
    params = jax.vmap(partial(init_params, settings))(keys)
    n_members = len(keys)
    return PropertyState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=jax.vmap(settings.optimizer.init)(params),
        best_params=params,
        best_score=jnp.full(n_members, jnp.inf, jnp.float32),
        best_step=jnp.zeros(n_members, jnp.int32),
    )


def train(
    settings: StepSettings,
    state: PropertyState,
    batch: Batch,
    scale: Scale,
    keys: PRNGKeyArray,
) -> tuple[PropertyState, Float[Array, " M"]]:
    """Return the state after one update of every member, and their losses before."""
    step = jax.vmap(partial(train_member, settings), in_axes=(0, 0, 0, 0, 0, None))
    params, opt_state, losses = step(
        state.params, state.opt_state, batch, scale, keys, state.step
    )
    state = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
    return state, losses


def outputs(
    settings: StepSettings, params: PyTree, batch: Batch
) -> Float[Array, "M B S O"]:
    """Return raw outputs of every member for its own batch, without dropout."""
    return jax.vmap(partial(raw_outputs, settings))(params, batch)


def predict_rows(
    settings: StepSettings,
    raw: Float[Array, "M n O"],
    row: Int[Array, " n"],
    scale: Scale,
) -> Float[Array, "M n P"]:
    """Return targets, in the frame of the labels, of raw outputs for rows."""
    return jax.vmap(settings.predict, in_axes=(0, None, 0, 0))(
        raw, settings.labels.amounts[row], scale.mean, scale.std
    )


def select(state: PropertyState, score: Float[Array, " M"]) -> PropertyState:
    """Return the state with the parameters of each member kept if its score fell."""
    better = score < state.best_score

    def pick(new, old):
        return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return state._replace(
        best_params=jax.tree.map(pick, state.params, state.best_params),
        best_score=jnp.where(better, score, state.best_score),
        best_step=jnp.where(better, state.step, state.best_step),
    )


# ---- compilation ----


def most_devices(n_devices: int, count: int) -> int:
    """Return how many of the devices, at most, share a count evenly."""
    return max(n for n in range(1, n_devices + 1) if count % n == 0)


def member_mesh(n_members: int, row_devices: int = 1) -> Mesh:
    """Return a mesh over members, and over the rows of each member's batch.

    The first axis has as many devices as divide the members evenly.
    """
    n_devices = most_devices(jax.device_count() // row_devices, n_members)
    return jax.make_mesh(
        (n_devices, row_devices),
        ("member", "row"),
        axis_types=(AxisType.Auto,) * 2,
        devices=jax.devices()[: n_devices * row_devices],
    )


def compile_steps(
    settings: StepSettings, n_members: int, row_devices: int = 1
) -> PropertySteps:
    """Jit the steps of M members, sharded and with donated states.

    Args:
        settings: of the steps.
        n_members: M.
        row_devices: devices that share each member's batch; they divide its rows.
    """
    mesh = member_mesh(n_members, row_devices)
    by_member = NamedSharding(mesh, PartitionSpec("member"))
    whole = NamedSharding(mesh, PartitionSpec())
    settings = settings._replace(
        labels=Labels(*map(jnp.asarray, settings.labels)),
        # Trained in float32, whatever they are stored in.
        initial_encoder=jax.tree.map(
            lambda leaf: jnp.asarray(leaf, jnp.float32), settings.initial_encoder
        ),
    )
    abstract = jax.eval_shape(
        partial(init, settings), jax.random.split(jax.random.key(0), n_members)
    )
    shardings = jax.tree.map(lambda leaf: by_member if leaf.ndim else whole, abstract)
    return PropertySteps(
        init=jax.jit(partial(init, settings), out_shardings=shardings),
        train=jax.jit(
            partial(train, settings),
            donate_argnums=0,
            out_shardings=(shardings, by_member),
        ),
        outputs=jax.jit(partial(outputs, settings)),
        predict=jax.jit(partial(predict_rows, settings)),
        select=jax.jit(select, donate_argnums=0, out_shardings=shardings),
        abstract=jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            abstract,
            shardings,
        ),
        sharding=by_member,
        batch_sharding=NamedSharding(mesh, PartitionSpec("member", "row")),
    )
