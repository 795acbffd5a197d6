"""Steps of fine-tuning: many members at once, each on its own fold and seed.

One member's step is a pure function; `jax.vmap` makes it a step of M members, and their
axis is split over the devices. Members never exchange anything.

Shape letters: M members, B packed rows, S crystals of a packed row, N rows of the
table, P targets.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from cloud_jax.finetuning.targets import Predict
from cloud_jax.models.heads import PropertyModel

Batch = dict[str, jax.Array]
LOSSES = {"l1": jnp.abs, "l2": jnp.square}


class PropertyState(NamedTuple):
    """Everything a step reads and writes, stacked over members but for `step`."""

    step: Int[Array, ""]
    params: PyTree
    opt_state: optax.OptState
    best_params: PyTree
    best_score: Float[Array, " M"]
    best_step: Int[Array, " M"]


class Labels(NamedTuple):
    """The labelled table on the device.

    Attributes:
        values: targets.
        atoms: atoms in a unit of each target's basis.
    """

    values: Float[Array, "N P"]
    atoms: Float[Array, "N P"]


class Scale(NamedTuple):
    """Of each member's training rows: mean, standard deviation, mean abs. deviation."""

    mean: Float[Array, "M P"]
    std: Float[Array, "M P"]
    mad: Float[Array, "M P"]


class PropertySteps(NamedTuple):
    """What the loop calls, compiled."""

    init: Callable[[PRNGKeyArray], PropertyState]
    train: Callable[..., tuple[PropertyState, Array]]
    outputs: Callable[[PyTree, Batch], Array]
    predict: Callable[[Array, Array, Scale], Array]
    select: Callable[[PropertyState, Array], PropertyState]
    abstract: PropertyState
    sharding: NamedSharding


def member_mesh(n_members: int) -> Mesh:
    """One axis over as many devices as divide the members evenly."""
    n_devices = max(n for n in range(1, jax.device_count() + 1) if n_members % n == 0)
    return jax.make_mesh(
        (n_devices,),
        ("member",),
        axis_types=(AxisType.Auto,),
        devices=jax.devices()[:n_devices],
    )


def _outputs(model, features, params, batch, *, key=None):
    return model.apply(
        {"params": params},
        batch["tokens"],
        batch["positions"],
        batch["crystal"],
        features=features,
        query=batch["query"],
        deterministic=key is None,
        rngs=None if key is None else {"dropout": key},
    )


def compile_property_steps(
    model: PropertyModel,
    optimizer: optax.GradientTransformation,
    *,
    predict: Predict,
    labels: Labels,
    loss: str,
    features: Float[np.ndarray, "V F"] | None,
    n_members: int,
    initial_encoder: PyTree | None,
) -> PropertySteps:
    """Jit the steps of M members.

    Args:
        model: the module of one member.
        optimizer: of one member.
        predict: from raw outputs to targets.
        labels: of the whole table.
        loss: a key of `LOSSES`, of errors in units of the training rows' mean absolute
            deviation.
        features: token descriptors, or None.
        n_members: M.
        initial_encoder: parameters to begin with; None begins at random.
    """
    labels = Labels(*map(jnp.asarray, labels))
    # Trained in float32, whatever they are stored in.
    initial_encoder = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float32), initial_encoder
    )
    mesh = member_mesh(n_members)
    by_member = NamedSharding(mesh, PartitionSpec("member"))
    whole = NamedSharding(mesh, PartitionSpec())

    def init_params(key):
        empty = jnp.zeros((1, 2), jnp.int32)
        params = model.init(
            key,
            *(empty, empty, empty),
            features=features,
            query=empty[:, :1],
            deterministic=True,
        )["params"]
        if initial_encoder is not None:
            params |= {"encoder": initial_encoder}
        return params

    def init(keys):
        params = jax.vmap(init_params)(keys)
        return PropertyState(
            step=jnp.zeros((), jnp.int32),
            params=params,
            opt_state=jax.vmap(optimizer.init)(params),
            best_params=params,
            best_score=jnp.full(n_members, jnp.inf, jnp.float32),
            best_step=jnp.zeros(n_members, jnp.int32),
        )

    def one_member(params, opt_state, batch, scale, key, step):
        there = batch["row"] >= 0

        def mean_loss(params):
            dropout_key = jax.random.fold_in(key, step)
            raw = _outputs(model, features, params, batch, key=dropout_key)
            row = jnp.maximum(batch["row"], 0)
            values = predict(raw, labels.atoms[row], scale.mean, scale.std)
            errors = LOSSES[loss]((values - labels.values[row]) / scale.mad).mean(-1)
            return jnp.sum(errors * there) / jnp.maximum(there.sum(), 1)

        value, grads = jax.value_and_grad(mean_loss)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return optax.apply_updates(params, updates), opt_state, value

    def train(state, batch, scale, keys):
        step = jax.vmap(one_member, in_axes=(0, 0, 0, 0, 0, None))
        params, opt_state, losses = step(
            state.params, state.opt_state, batch, scale, keys, state.step
        )
        state = state._replace(step=state.step + 1, params=params, opt_state=opt_state)
        return state, losses

    def outputs(params, batch):
        return jax.vmap(partial(_outputs, model, features))(params, batch)

    def predict_rows(raw, row, scale):
        """Of raw outputs [M, n, O] of table rows [n]."""
        return jax.vmap(predict, in_axes=(0, None, 0, 0))(
            raw, labels.atoms[row], scale.mean, scale.std
        )

    def select(state, score):
        better = score < state.best_score

        def pick(new, old):
            return jnp.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return state._replace(
            best_params=jax.tree.map(pick, state.params, state.best_params),
            best_score=jnp.where(better, score, state.best_score),
            best_step=jnp.where(better, state.step, state.best_step),
        )

    abstract = jax.eval_shape(init, jax.random.split(jax.random.key(0), n_members))
    shardings = jax.tree.map(lambda leaf: by_member if leaf.ndim else whole, abstract)
    return PropertySteps(
        init=jax.jit(init, out_shardings=shardings),
        train=jax.jit(train, donate_argnums=0, out_shardings=(shardings, by_member)),
        outputs=jax.jit(outputs),
        predict=jax.jit(predict_rows),
        select=jax.jit(select, donate_argnums=0, out_shardings=shardings),
        abstract=jax.tree.map(
            lambda leaf, sharding: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=sharding
            ),
            abstract,
            shardings,
        ),
        sharding=by_member,
    )
