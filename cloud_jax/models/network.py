"""The network over many sentences, in blocks of fixed shape.

A sentence is padded to one of a few lengths and goes through the network in a block of
fixed shape, whether alone or with thousands, so that its result does not depend on the
others. A matrix product of another shape may round differently, and a relative 1e-7 in
theta is more than 1e-7 in a heat capacity at 5 K, which goes as theta to the power -3.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PyTree

from cloud_jax.models.bert import Encoder
from cloud_jax.models.folder import Model, encoder_config
from cloud_jax.models.heads import PropertyHead

SHORTEST = 32  # tokens; then 40, 48, 64, 80, 96, 128...: one compilation each


def outputs_and_states(
    model: Model, sentences: Sequence[Sequence[int]]
) -> tuple[Float[np.ndarray, "N M O"], Float[np.ndarray, "N D"]]:
    """Return the raw outputs of every member, and the first one's [CLS] states.

    Args:
        model: of kind `property`, its parameters stacked over M members.
        sentences: token ids, [CLS] first; none longer than the model takes.
    """
    head = model.description["head"]
    rate = encoder_config(model.description).dropout
    head = PropertyHead(head["layers"], head["outputs"], rate)
    states, outputs = _evaluate(model, model.params, head, sentences)
    return outputs, states


def cls_states(
    model: Model, sentences: Sequence[Sequence[int]], *, member: int = 0
) -> Float[np.ndarray, "N D"]:
    """Return the last hidden state at [CLS].

    Args:
        model: of either kind.
        sentences: token ids, [CLS] first; none longer than the model takes.
        member: of an ensemble.
    """
    is_ensemble = model.description["kind"] == "property"
    kept = slice(member, member + 1) if is_ensemble else None  # [None] adds the axis
    params = jax.tree.map(lambda leaf: leaf[kept], model.params["encoder"])
    (states,) = _evaluate(model, {"encoder": params}, None, sentences)
    return states


def _evaluate(
    model: Model,
    params: PyTree,
    head: PropertyHead | None,
    sentences: Sequence[Sequence[int]],
) -> list[Float[np.ndarray, "N ..."]]:
    """Run each distinct sentence through the network once.

    Returns:
        The [CLS] states [N, D] of the first member, and where there is a head the
        outputs [N, M, O] of all.
    """
    # Converted by numpy: jax would compile a program for each shape of parameter.
    params = jax.device_put(
        jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float32), params)
    )
    encoder = Encoder(encoder_config(model.description))
    has_features = model.description["encoder"].get("token_features", 0)
    features = model.vocabulary.features if has_features else None
    groups: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for sentence in dict.fromkeys(map(tuple, sentences)):
        groups[padded_length(len(sentence))].append(sentence)
    order: list[tuple[int, ...]] = []
    results = []
    # Dispatch is asynchronous: the next block is filled while this one is computed.
    # Without "highest" a GPU would multiply float32 with the mantissa of TF32.
    with jax.default_matmul_precision("highest"):
        for length, group in sorted(groups.items()):
            blocks = [
                _apply(encoder, head, params, features, *block)
                for block in padded_blocks(group, length)
            ]
            # The last block is filled up.
            results.append(
                [np.concatenate(p)[: len(group)] for p in zip(*blocks, strict=True)]
            )
            order += group
    row_of = {sentence: row for row, sentence in enumerate(order)}
    rows = [row_of[tuple(sentence)] for sentence in sentences]
    return [np.concatenate(parts)[rows] for parts in zip(*results, strict=True)]


def block_tokens() -> int:
    """Return about how many tokens a block has, rows times length.

    512 fill two cores, yet one CIF stays fast. An accelerator takes as long for 512 as
    for the many that it computes side by side.
    """
    return 512 if jax.default_backend() == "cpu" else 16_384


def padded_length(length: int) -> int:
    """Return the smallest of 32, 40, 48, 64, 80, 96, 128... that holds a sentence."""
    power = SHORTEST
    while 2 * power < length:
        power *= 2
    return next(
        n for n in (power, power * 5 // 4, power * 3 // 2, 2 * power) if n >= length
    )


def padded_blocks(
    group: list[tuple[int, ...]], length: int
) -> Iterator[tuple[Int[np.ndarray, "B L"], Int[np.ndarray, "B L"]]]:
    """Yield padded tokens and their mask, 1 where a token belongs to a sentence."""
    # A power of two, so that the tiles of a matrix product treat all rows alike: with
    # 10 rows of 48 tokens the last digit depended on the place in the block.
    n_rows = 1 << max(0, round(math.log2(block_tokens() / length)))
    for start in range(0, len(group), n_rows):
        tokens = np.zeros((n_rows, length), np.int32)
        crystal = np.zeros_like(tokens)  # in released vocabularies 0 is not padding
        for row, sentence in enumerate(group[start : start + n_rows]):
            tokens[row, : len(sentence)] = sentence
            crystal[row, : len(sentence)] = 1
        yield tokens, crystal


@partial(jax.jit, static_argnames=("encoder", "head"))
def _apply(
    encoder: Encoder,
    head: PropertyHead | None,
    params: PyTree,
    features: Float[Array, "v F"] | None,
    tokens: Int[Array, "B L"],
    crystal: Int[Array, "B L"],
) -> list[Float[Array, "B ..."]]:
    """Run all members over rows that hold one crystal each; see `_evaluate`."""
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def member(params: PyTree) -> list[Float[Array, "B ..."]]:
        at_cls = encoder.apply(
            {"params": params["encoder"]},
            tokens,
            positions,
            crystal,
            features=features,
            query=jnp.zeros((len(tokens), 1), jnp.int32),
            deterministic=True,
        )[:, 0]
        if head is None:
            return [at_cls]
        outputs = head.apply({"params": params["head"]}, at_cls, deterministic=True)
        return [at_cls, outputs]

    states, *outputs = jax.vmap(member, out_axes=1)(params)
    # Nobody reads the other members' states, which are larger than all outputs.
    return [states[:, 0], *outputs]
