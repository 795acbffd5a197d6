"""The network over many sentences, in blocks of fixed shape.

A sentence is padded to one of a few lengths and goes through the network in a block of
fixed shape, whether alone or with thousands, so that its result does not depend on the
others. A matrix product of another shape may round differently, and a relative 1e-7 in
theta is more than 1e-7 in a heat capacity at 5 K, which goes as theta to the power -3.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from cloud_jax.models.bert import Encoder
from cloud_jax.models.folder import Model, encoder_config
from cloud_jax.models.heads import PropertyModel

SHORTEST = 32  # tokens, the mean; then 48, 64, 96, 128...: one compilation each


def head_outputs(
    model: Model, sentences: Sequence[Sequence[int]]
) -> Float[np.ndarray, "N M O"]:
    """Return the raw outputs of every member for every sentence.

    Args:
        model: of kind `property`, its parameters stacked over M members.
        sentences: token ids, [CLS] first; none longer than the model takes.
    """
    head = model.description["head"]
    config = encoder_config(model.description)
    network = PropertyModel(config, head["layers"], head["outputs"])
    return _evaluate(network, model, model.params, sentences)


def cls_states(
    model: Model, sentences: Sequence[Sequence[int]], *, member: int = 0
) -> Float[np.ndarray, "N D"]:
    """Return the last hidden state at [CLS].

    Args:
        model: of either kind.
        sentences: token ids, [CLS] first; none longer than the model takes.
        member: of an ensemble.
    """
    params = model.params["encoder"]
    is_ensemble = model.description["kind"] == "property"
    kept = slice(member, member + 1) if is_ensemble else None  # [None] adds the axis
    params = jax.tree.map(lambda leaf: leaf[kept], params)
    network = Encoder(encoder_config(model.description))
    return _evaluate(network, model, params, sentences)[:, 0]


def _evaluate(
    network: nn.Module, model: Model, params: PyTree, sentences: Sequence[Sequence[int]]
) -> Float[np.ndarray, "N M O"]:
    """Run each distinct sentence through the network once."""
    # Converted by numpy: jax would compile a program for each shape of parameter.
    params = jax.device_put(
        jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float32), params)
    )
    has_features = model.description["encoder"].get("token_features", 0)
    features = model.vocabulary.features if has_features else None
    groups: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for sentence in dict.fromkeys(map(tuple, sentences)):
        groups[padded_length(len(sentence))].append(sentence)
    found: dict[tuple[int, ...], Any] = {}
    # Dispatch is asynchronous: the next block is filled while this one is computed.
    # Without "highest" a GPU would multiply float32 with the mantissa of TF32.
    with jax.default_matmul_precision("highest"):
        for length, group in sorted(groups.items()):
            blocks = [
                _apply(network, params, features, *block)
                for block in padded_blocks(group, length)
            ]
            values = np.concatenate([np.asarray(block) for block in blocks])
            found |= zip(group, values, strict=False)  # the last block is filled up
    return np.stack([found[tuple(sentence)] for sentence in sentences])


def block_tokens() -> int:
    """Return the tokens of a block, rows times length.

    512 fill two cores, yet one CIF stays fast. An accelerator takes as long for 512 as
    for the many that it computes side by side.
    """
    return 512 if jax.default_backend() == "cpu" else 16_384


def padded_length(length: int) -> int:
    """Return the smallest of 32, 48, 64, 96, 128, 192... that holds a sentence."""
    padded = SHORTEST
    while padded < length:
        padded = padded * 3 // 2 if padded & (padded - 1) == 0 else padded // 3 * 4
    return padded


def padded_blocks(
    group: list[tuple[int, ...]], length: int
) -> Iterator[tuple[Int[np.ndarray, "B L"], Int[np.ndarray, "B L"]]]:
    """Yield padded tokens and their mask, 1 where a token belongs to a sentence."""
    # A power of two, so that the tiles of a matrix product treat all rows alike: with
    # 10 rows of 48 tokens the last digit depended on the place in the block.
    n_rows = 1 << max(0, (block_tokens() // length).bit_length() - 1)
    for start in range(0, len(group), n_rows):
        tokens = np.zeros((n_rows, length), np.int32)
        crystal = np.zeros_like(tokens)  # in released vocabularies 0 is not padding
        for row, sentence in enumerate(group[start : start + n_rows]):
            tokens[row, : len(sentence)] = sentence
            crystal[row, : len(sentence)] = 1
        yield tokens, crystal


@partial(jax.jit, static_argnames="network")
def _apply(
    network: nn.Module,
    params: PyTree,
    features: Float[Array, "v F"] | None,
    tokens: Int[Array, "B L"],
    crystal: Int[Array, "B L"],
) -> Float[Array, "B M O"]:
    """Run all members over rows that hold one crystal each."""
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def member(params: PyTree) -> Float[Array, "B O"]:
        at_cls = network.apply(
            {"params": params},
            tokens,
            positions,
            crystal,
            features=features,
            query=jnp.zeros((len(tokens), 1), jnp.int32),
            deterministic=True,
        )
        return at_cls[:, 0]

    return jax.vmap(member, out_axes=1)(params)
