"""The train state: the one pytree that training changes."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Int, PRNGKeyArray, PyTree


class TrainState(NamedTuple):
    """Everything a step reads and writes; keys and batches follow from `step`."""

    step: Int[Array, ""]
    params: PyTree
    opt_state: optax.OptState


def init_state(
    key: PRNGKeyArray,
    *,
    init_params: Callable[[PRNGKeyArray], PyTree],
    optimizer: optax.GradientTransformation,
) -> TrainState:
    """Return the state before the first step."""
    params = init_params(key)
    return TrainState(jnp.zeros((), jnp.int32), params, optimizer.init(params))


@jax.jit
def _is_finite(leaf: Array) -> Bool[Array, ""]:
    return jnp.isfinite(leaf).all()


def all_finite(tree: PyTree) -> bool:
    """Return whether no number of a tree is infinite or NaN."""
    # A program per shape of a leaf compiles in a fraction of the time of one for all.
    numbers = (x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact))
    # Each is waited for: on CPU devices, which share the threads of a few cores, the
    # reductions of several programs at once wait for each other for ever.
    return all(bool(_is_finite(leaf)) for leaf in numbers)


def count_parameters(params: PyTree) -> dict[str, int]:
    """Return the number of parameters: `total`, and `non_embedding` without tables."""
    sizes = {
        jax.tree_util.keystr(path, simple=True, separator="/"): leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(params)
    }
    embedding = sum(size for path, size in sizes.items() if path.endswith("embedding"))
    total = sum(sizes.values())
    return {"total": total, "non_embedding": total - embedding}
