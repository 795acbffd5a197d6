"""The attention from [CLS], read out of the forward pass of a trained encoder.

The [CLS] state is all that a head receives of a crystal, so that what [CLS] attends to
is what a property can depend on.

Shape letters: B rows, L tokens, N layers, H heads, K query positions, F features.
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from cloud_jax.models.bert import Encoder
from cloud_jax.models.folder import DESCRIPTION, Model, encoder_config
from cloud_jax.models.network import padded_blocks, padded_length


def check_member(model: Model, member: int) -> None:
    """Raise ValueError unless the model has this member, counted from 0."""
    n_members = model.description.get("members", 1)
    if not 0 <= member < n_members:
        raise ValueError(
            f"{model.directory / DESCRIPTION}: there is no member {member + 1}, the "
            f"model has {n_members}"
        )


def attention_by_head(
    model: Model, sentences: Sequence[Sequence[int]], *, member: int = 0
) -> list[Float[np.ndarray, "N H L"]]:
    """Return the attention from [CLS] to every token, by layer and head.

    The rows are the softmax weights of the forward pass and sum to one; the first
    token is [CLS] itself. Only one member of an ensemble is read, because heads with
    the same number are unrelated in different members.

    Args:
        model: an encoder or a property model.
        sentences: token ids, [CLS] first; none longer than the model takes.
        member: member of an ensemble, from 0.

    Returns:
        One array per sentence, as long as it: N layers, H heads, L tokens.

    Raises:
        ValueError: the model has no such member.
    """
    params = model.params["encoder"]
    check_member(model, member)
    if model.description["kind"] == "property":
        params = jax.tree.map(lambda leaf: leaf[member], params)
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    encoder = Encoder(encoder_config(model.description))
    features = model.vocabulary.features if encoder.config.token_features else None
    groups: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for sentence in dict.fromkeys(map(tuple, sentences)):
        groups[padded_length(len(sentence))].append(sentence)
    found: dict[tuple[int, ...], Float[np.ndarray, "N H L"]] = {}
    with jax.default_matmul_precision("highest"):
        for length, group in sorted(groups.items()):
            rows = (
                row
                for block in padded_blocks(group, length)
                for row in np.asarray(_from_cls(encoder, params, features, *block))
            )
            for sentence, row in zip(group, rows, strict=False):
                found[sentence] = row[:, :, : len(sentence)]
    return [found[tuple(sentence)] for sentence in sentences]


def attention_weights(
    encoder: Encoder,
    params: PyTree,
    tokens: Int[Array, "B L"],
    positions: Int[Array, "B L"],
    crystal: Int[Array, "B L"],
    *,
    features: Float[Array, "v F"] | None = None,
    query: Int[Array, "B K"],
) -> Float[Array, "B N H K L"]:
    """Return the attention probabilities from the query positions, of all N layers.

    They are the softmax weights of the forward pass itself, without dropout: float32,
    zero outside the crystal, with sum one over L.

    Args:
        encoder: the module.
        params: parameters of the encoder.
        tokens: token ids; this and the next three as in `Encoder`.
        positions: position of each token in its crystal.
        crystal: number of the crystal in its row.
        features: descriptors of the tokens.
        query: query positions in each row, of [CLS] for instance.
    """
    _, kept = encoder.apply(
        {"params": params},
        tokens,
        positions,
        crystal,
        features=features,
        query=query,
        deterministic=True,
        mutable=["intermediates"],
    )
    weights = [
        kept["intermediates"][f"layer_{i}"]["attention"]["weights"][0]
        for i in range(encoder.config.layers)
    ]
    # Only the last layer is restricted to the query positions.
    at_query = [
        jnp.take_along_axis(w, query[:, None, :, None], axis=2) for w in weights[:-1]
    ]
    return jnp.stack([*at_query, weights[-1]], axis=1)


@partial(jax.jit, static_argnames="encoder")
def _from_cls(
    encoder: Encoder,
    params: PyTree,
    features: Float[Array, "v F"] | None,
    tokens: Int[Array, "B L"],
    crystal: Int[Array, "B L"],
) -> Float[Array, "B N H L"]:
    """Return the attention from the first position of rows with one crystal each."""
    weights = attention_weights(
        encoder,
        params,
        tokens,
        jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape),
        crystal,
        features=features,
        query=jnp.zeros((len(tokens), 1), jnp.int32),
    )
    return weights[:, :, :, 0]
