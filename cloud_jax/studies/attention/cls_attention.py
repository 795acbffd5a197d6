"""The attention from [CLS] in many crystals, averaged over heads, by kind of token.

Shape letters: C crystals, L tokens, N layers.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from cloud_jax.models.cls_attention import attention_by_head
from cloud_jax.models.folder import Model
from cloud_jax.studies.attention.sentences import Sentence

_CHUNK = 4096  # sentences whose attention by head is in memory at once


class ClsAttention(NamedTuple):
    """The attention from [CLS] in C crystals of at most L tokens, and their tokens.

    Attributes:
        scores: attention, averaged over the heads of each layer; zero beyond the end
            of a sentence.
        is_token: true on tokens of the sentence except [CLS].
        is_space_group: true on tokens of the generator string.
        is_special: true on [SEP] and the bars.
    """

    scores: Float[np.ndarray, "C N L"]
    is_token: Bool[np.ndarray, "C L"]
    is_space_group: Bool[np.ndarray, "C L"]
    is_special: Bool[np.ndarray, "C L"]


def mean_attention(
    model: Model, sentences: Sequence[Sentence], *, member: int = 0
) -> ClsAttention:
    """Return the attention from [CLS] averaged over heads, and the kinds of tokens.

    The tokens between [CLS] and the first bar are the generator string: in every
    dialect, and also where tokens have no roles, as in a released vocabulary.

    Args:
        model: an encoder or a property model.
        sentences: in the model's dialect.
        member: see `attention_by_head`.

    Raises:
        ValueError: the model has no such member.
    """
    vocabulary = model.vocabulary
    shape = len(sentences), max(len(sentence.tokens) for sentence in sentences)
    ids = np.full(shape, vocabulary.pad_id)
    scores = np.zeros(
        (shape[0], model.description["encoder"]["layers"], shape[1]), np.float32
    )
    for start in range(0, len(sentences), _CHUNK):
        chunk = sentences[start : start + _CHUNK]
        weights = attention_by_head(model, [s.tokens for s in chunk], member=member)
        for i, (sentence, found) in enumerate(zip(chunk, weights, strict=True), start):
            ids[i, : len(sentence.tokens)] = sentence.tokens
            scores[i, :, : len(sentence.tokens)] = found.mean(axis=1)
    lengths = np.array([len(sentence.tokens) for sentence in sentences])
    place = np.arange(shape[1])
    token = (place > 0) & (place < lengths[:, None])
    first_bar = (ids == vocabulary.bar_id).argmax(axis=1)
    return ClsAttention(
        scores=scores,
        is_token=token,
        is_space_group=token & (place < first_bar[:, None]),
        is_special=token & np.isin(ids, vocabulary.special_ids),
    )
