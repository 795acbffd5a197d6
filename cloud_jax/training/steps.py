"""The two steps of pretraining as pure functions, and where they are compiled."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from cloud_jax.models.heads import MaskedLanguageModel
from cloud_jax.training.losses import cross_entropy_sums
from cloud_jax.training.masking import Masked, mask_tokens
from cloud_jax.training.sharding import gather, row_sharding, shard_tree
from cloud_jax.training.state import TrainState, init_state

Batch = dict[str, jax.Array]
Sums = dict[str, jax.Array]
Features = Float[Array, "V F"] | None


def batch_sums(batch: Batch) -> Sums:
    """Return the numbers of crystals and of tokens, without padding, in a batch."""
    return {
        "crystals": jnp.sum(jnp.max(batch["crystal"], axis=1)),
        "tokens": jnp.sum(batch["crystal"] > 0),
    }


def pretrain_step(
    state: TrainState,
    batch: Batch,
    key: PRNGKeyArray,
    *,
    model: MaskedLanguageModel,
    optimizer: optax.GradientTransformation,
    mesh: Mesh,
    features: Features,
    mask_fraction: float,
) -> tuple[TrainState, Sums]:
    """Make one update on one global batch.

    Args:
        state: before the update.
        batch: `tokens`, `positions`, `crystal`, each int32 [B, L].
        key: the run's key; masks and dropout follow from it and `state.step`.
        model: the module.
        optimizer: what made `state.opt_state`.
        mesh: over which the state is split.
        features: token descriptors, or None.
        mask_fraction: share of the tokens to predict.

    Returns:
        The new state, and sums over the batch: `loss`, `correct`, `count` per segment,
        `crystals`, `tokens`, and the `grad_norm` before clipping.
    """
    # From the step's number alone: a resumed run draws what the whole run would draw.
    mask_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
    masked = mask_tokens(
        mask_key,
        batch["tokens"],
        batch["positions"],
        n_tokens=model.config.vocab_size,
        fraction=mask_fraction,
    )

    def mean_loss(params: PyTree) -> tuple[Float[Array, ""], Sums]:
        logits = model.apply(
            {"params": gather(params, mesh)},
            masked.tokens,
            batch["positions"],
            batch["crystal"],
            features=features,
            query=masked.query,
            deterministic=False,
            rngs={"dropout": dropout_key},
        )
        sums = cross_entropy_sums(logits, masked.labels, masked.weight, masked.segment)
        # Over all masked tokens of the global batch: jit sums across devices here.
        return sums["loss"].sum() / jnp.maximum(sums["count"].sum(), 1.0), sums

    grads, sums = jax.grad(mean_loss, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    sums |= batch_sums(batch) | {"grad_norm": optax.tree.norm(grads)}
    return TrainState(state.step + 1, params, opt_state), sums


def evaluation_masks(
    batch: Batch, index: jax.Array, key: PRNGKeyArray, *, n_tokens: int, fraction: float
) -> Masked:
    """Mask evaluation batch `index`, in the same way at every evaluation."""
    return mask_tokens(
        jax.random.fold_in(key, index),
        batch["tokens"],
        batch["positions"],
        n_tokens=n_tokens,
        fraction=fraction,
    )


def evaluate_step(
    params: PyTree,
    batch: Batch,
    index: jax.Array,
    key: PRNGKeyArray,
    *,
    model: MaskedLanguageModel,
    mesh: Mesh,
    features: Features,
    mask_fraction: float,
) -> Sums:
    """Return sums of `loss`, `correct` and `count` on one batch, without dropout."""
    masked = evaluation_masks(
        batch, index, key, n_tokens=model.config.vocab_size, fraction=mask_fraction
    )
    logits = model.apply(
        {"params": gather(params, mesh)},
        masked.tokens,
        batch["positions"],
        batch["crystal"],
        features=features,
        query=masked.query,
        deterministic=True,
    )
    return cross_entropy_sums(logits, masked.labels, masked.weight, masked.segment)


class Steps(NamedTuple):
    """The functions that the loop calls, compiled for one mesh.

    Attributes:
        init: state before the first step, of a key.
        train: `pretrain_step`; the state it is given must not be used again.
        evaluate: `evaluate_step`.
        masks: `evaluation_masks`.
        abstract: shapes and shardings of the state, to restore one.
        batch_sharding: of the arrays of a batch.
    """

    init: Callable[[PRNGKeyArray], TrainState]
    train: Callable[[TrainState, Batch, PRNGKeyArray], tuple[TrainState, Sums]]
    evaluate: Callable[[PyTree, Batch, int, PRNGKeyArray], Sums]
    masks: Callable[[Batch, int, PRNGKeyArray], Masked]
    abstract: TrainState
    batch_sharding: NamedSharding


def compile_steps(
    model: MaskedLanguageModel,
    optimizer: optax.GradientTransformation,
    *,
    mesh: Mesh,
    features: Features,
    mask_fraction: float,
) -> Steps:
    """Compile initialisation and both steps for a mesh.

    Args:
        model: the module.
        optimizer: of the updates.
        mesh: over all devices.
        features: token descriptors, or None.
        mask_fraction: share of the tokens to predict.
    """

    def init_params(key: PRNGKeyArray) -> PyTree:
        # No parameter depends on the size of a batch.
        empty = jnp.zeros((1, 2), jnp.int32)
        return model.init(
            key, empty, empty, empty, features=features, deterministic=True
        )["params"]

    init = partial(init_state, init_params=init_params, optimizer=optimizer)
    # Shapes before arrays: the state is initialised on the devices in its shards, so
    # that it need not fit one of them.
    shardings = shard_tree(jax.eval_shape(init, jax.random.key(0)), mesh)
    init = jax.jit(init, out_shardings=shardings)
    rows, whole = row_sharding(mesh), NamedSharding(mesh, PartitionSpec())
    options = {
        "model": model,
        "mesh": mesh,
        "features": features,
        "mask_fraction": mask_fraction,
    }
    return Steps(
        init=init,
        train=jax.jit(
            partial(pretrain_step, optimizer=optimizer, **options),
            donate_argnums=0,  # the new state takes the memory of the old one
            in_shardings=(shardings, rows, None),
            out_shardings=(shardings, whole),
        ),
        evaluate=jax.jit(
            partial(evaluate_step, **options),
            in_shardings=(shardings.params, rows, None, None),
            out_shardings=whole,
        ),
        masks=jax.jit(
            partial(
                evaluation_masks,
                n_tokens=model.config.vocab_size,
                fraction=mask_fraction,
            ),
            out_shardings=whole,
        ),
        abstract=init.eval_shape(jax.random.key(0)),  # with its shardings
        batch_sharding=rows,
    )
