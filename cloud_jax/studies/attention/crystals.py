"""Where [CLS] looks: attention probabilities of a trained encoder, by sentence.

The [CLS] state is all that a head sees of a crystal, so what [CLS] attends to is what
a property can be made of.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from cloud_jax.datasets.corpus import KINDS, read_sources
from cloud_jax.inference.crystals import options_of, to_crystals
from cloud_jax.inference.inputs import parse, path_items
from cloud_jax.inference.network import padded_blocks, padded_length
from cloud_jax.models.bert import Encoder
from cloud_jax.models.folder import DESCRIPTION, Model, encoder_config
from cloud_jax.scope import Rejection
from cloud_jax.scope.pipeline import Reject
from cloud_jax.structures.source import RawItem, Source
from cloud_jax.studies.attention.cls_attention import attention_weights

CHUNK = 4096  # sentences whose attention by head is in memory at once


class Sentence(NamedTuple):
    """A crystal as the encoder sees it: id, sentence and token ids."""

    id: str
    text: str
    tokens: list[int]


def read_sentences(
    words: Sequence[str],
    model: Model,
    *,
    workers: int,
    progress: Callable[[int, bool], None] = lambda n, before: None,
) -> tuple[list[Sentence], list[Reject]]:
    """Read the crystals that the words of a command line name.

    Args:
        words: files, folders, patterns and archives of structures, or sources as
            `cloud_jax.preprocess` takes them: `table:FILE`, `strings:FILE` (ready
            sentences, in the model's dialect), `matbench:phonons`, `embedded`.
        model: its dialect and tolerances.
        workers: processes that parse structures.
        progress: called with a number of crystals done, and False.

    Returns:
        The sentences, and what could not be read, each in order; ready sentences come
        after structures.

    Raises:
        SourceError: a source that does not exist, or cannot be had.
        EngineError: the workers cannot work.
    """
    named = [word for word in words if _is_source(word)]
    sources = read_sources(named)
    for kind in {type(source) for source in sources}:
        kind.fetch_all([source for source in sources if isinstance(source, kind)])
    ready = [source for source in sources if isinstance(source, KINDS["strings"])]
    paths = [word for word in words if word not in named]
    items = chain(_once(path_items(paths)), _items(sources, without=ready))
    results = parse(items, options_of(model), workers=workers, progress=progress)
    crystals, rejects = to_crystals(results, model)
    sentences = [Sentence(c.id, c.sentence, c.tokens) for c in crystals]
    for item in _items(ready, without=[]):
        made = _tokenise(item, model)
        (rejects if isinstance(made, Reject) else sentences).append(made)
    return sentences, rejects


def _is_source(word: str) -> bool:
    """Whether a word is one of preprocessing's, and no file of that name."""
    is_kind = word.partition(":")[0] in KINDS and not os.path.lexists(word)
    return is_kind or word.endswith(".toml")


def _items(sources: Sequence[Source], *, without: Sequence[Source]):
    return chain.from_iterable(s.items() for s in sources if s not in without)


def _once(items: Iterable[RawItem]) -> Iterable[RawItem]:
    """A file may be named twice, or by two patterns."""
    seen: set[str] = set()
    return (item for item in items if not (item.id in seen or seen.add(item.id)))


def _tokenise(item: RawItem, model: Model) -> Sentence | Reject:
    if item.kind == "reject":
        return Reject(item.id, "read", *item.payload)
    text = " ".join(str(item.payload).split())
    longest = model.description["max_tokens"]
    try:
        tokens = model.vocabulary.encode(text)
        if len(tokens) > longest:
            found = f"found {len(tokens)} tokens, expected at most {longest}"
            raise Rejection("too_long", found)
    except Rejection as rejection:
        return Reject(item.id, "tokenise", rejection.code, rejection.message)
    return Sentence(item.id, text, tokens)


class ClsAttention(NamedTuple):
    """What [CLS] looks at in N crystals of at most L tokens.

    Attributes:
        scores: attention from [CLS], heads averaged, of Y layers; zero beyond a
            sentence.
        token: true on tokens of the sentence but [CLS] itself.
        space_group: true on those of the generator string.
        special: true on [SEP] and the bars.
    """

    scores: Float[np.ndarray, "N Y L"]
    token: Bool[np.ndarray, "N L"]
    space_group: Bool[np.ndarray, "N L"]
    special: Bool[np.ndarray, "N L"]


def look(
    model: Model, sentences: Sequence[Sentence], *, member: int = 0
) -> ClsAttention:
    """Average the heads, and say what each token is.

    What stands between [CLS] and the first bar is the generator string, in every
    dialect and also where the tokens themselves have no roles, as in a released
    vocabulary.

    Args:
        model: of either kind.
        sentences: of the model's dialect.
        member: see `cls_attention`.

    Raises:
        ValueError: the model has no such member.
    """
    vocabulary = model.vocabulary
    shape = len(sentences), max(len(sentence.tokens) for sentence in sentences)
    ids = np.full(shape, vocabulary.pad_id)
    scores = np.zeros(
        (shape[0], model.description["encoder"]["layers"], shape[1]), np.float32
    )
    for start in range(0, len(sentences), CHUNK):
        chunk = sentences[start : start + CHUNK]
        weights = cls_attention(model, [s.tokens for s in chunk], member=member)
        for i, (sentence, found) in enumerate(zip(chunk, weights, strict=True), start):
            ids[i, : len(sentence.tokens)] = sentence.tokens
            scores[i, :, : len(sentence.tokens)] = found.mean(axis=1)
    lengths = np.array([len(sentence.tokens) for sentence in sentences])
    place = np.arange(shape[1])
    token = (place > 0) & (place < lengths[:, None])
    first_bar = (ids == vocabulary.bar_id).argmax(axis=1)
    return ClsAttention(
        scores=scores,
        token=token,
        space_group=token & (place < first_bar[:, None]),
        special=token & np.isin(ids, vocabulary.special_ids),
    )


def check_member(model: Model, member: int) -> None:
    """Raise ValueError unless the model has that member, counted from 0."""
    n_members = model.description.get("members", 1)
    if not 0 <= member < n_members:
        raise ValueError(
            f"{model.directory / DESCRIPTION}: there is no member {member + 1}, the "
            f"model has {n_members}"
        )


def cls_attention(
    model: Model, sentences: Sequence[Sequence[int]], *, member: int = 0
) -> list[Float[np.ndarray, "N H L"]]:
    """Return the attention from [CLS] to every token, by layer and head.

    The rows are the softmax weights of the forward pass and sum to one; the first
    token is [CLS] itself. Of an ensemble it is one member's: heads of different
    members are different things, and their mean would be nobody's.

    Args:
        model: of either kind.
        sentences: token ids, [CLS] first; none longer than the model takes.
        member: of an ensemble, from 0.

    Returns:
        Of each sentence an array of its length: N layers, H heads, L tokens.

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


@partial(jax.jit, static_argnames="encoder")
def _from_cls(
    encoder: Encoder,
    params: PyTree,
    features: Float[Array, "v F"] | None,
    tokens: Int[Array, "B L"],
    crystal: Int[Array, "B L"],
) -> Float[Array, "B N H L"]:
    """Attention from the first position of rows that hold one crystal each."""
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
