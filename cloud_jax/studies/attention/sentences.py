"""Read crystals and ready sentences as token ids."""

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

from cloud_jax.datasets.corpus import KINDS, read_sources
from cloud_jax.inference.crystals import options_of, to_crystals
from cloud_jax.inference.inputs import parse, path_items
from cloud_jax.models.folder import Model
from cloud_jax.scope import Rejection
from cloud_jax.scope.pipeline import Reject
from cloud_jax.structures.source import RawItem, Source


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
        words: files, folders, patterns and archives of structures, or sources of
            `cloud-jax preprocess`: `table:FILE`, `strings:FILE` (ready sentences in
            the model's dialect), `matbench:phonons`, `embedded`.
        model: gives the dialect and the tolerances.
        workers: processes that parse structures.
        progress: called with a number of crystals done, and False.

    Returns:
        The sentences, and what could not be read, each in order; ready sentences come
        after structures.

    Raises:
        SourceError: a source does not exist, or cannot be read or downloaded.
        EngineError: the worker processes failed.
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
    """Return whether a word names a source of preprocessing, and not a file."""
    is_kind = word.partition(":")[0] in KINDS and not os.path.lexists(word)
    return is_kind or word.endswith(".toml")


def _items(sources: Sequence[Source], *, without: Sequence[Source]):
    return chain.from_iterable(s.items() for s in sources if s not in without)


def _once(items: Iterable[RawItem]) -> Iterable[RawItem]:
    """Drop repeated items: a file may be named twice, or match two patterns."""
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
