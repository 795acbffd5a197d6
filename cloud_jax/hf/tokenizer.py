"""The tokenizer folder of a released BERT as a `WordPieceVocabulary`, read once."""

import json
import re
from pathlib import Path

import numpy as np

from cloud_jax.scope.space_groups import generator_string
from cloud_jax.scope.vocabulary import build_vocabulary
from cloud_jax.scope.word_pieces import (
    RELEASED_GENERATORS,
    SPECIAL,
    WordPieceVocabulary,
)


def read_tokenizer(folder: Path) -> WordPieceVocabulary:
    """Read the tokenizer folder of a released BERT.

    Args:
        folder: holds vocab.txt, tokenizer_config.json and, where tokens were added,
            added_tokens.json, as `BertTokenizer.save_pretrained` wrote them.

    Raises:
        OSError: a file is missing.
        ValueError: a file is damaged or asks for an unsupported setting; says file,
            field, found and expected.
    """
    folder = Path(folder)
    path = folder / "tokenizer_config.json"
    config = _read_object(path)
    _check_config(path, config)
    path = folder / "vocab.txt"
    words = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    added = _added_tokens(folder, config, words)
    tokens = (*words, *added)
    ids = {token: i for i, token in enumerate(tokens)}
    if len(ids) != len(tokens):
        twice = next(token for i, token in enumerate(tokens) if ids[token] != i)
        raise ValueError(f"{folder}: the token {twice!r} has two ids, expected one")
    missing = [token for token in (*SPECIAL, "[UNK]", "|") if token not in ids]
    if missing:
        raise ValueError(
            f"{path}: lacks {', '.join(missing)}, expected CLOUD's tokenizer"
        )
    spelling = {
        token: spelled
        for token in build_vocabulary("paper").tokens
        if token not in SPECIAL
        and (spelled := _spell(token.rpartition(":")[2], ids, added))
    }
    features = np.zeros((len(tokens), 0), np.float32)
    generators = {
        " ".join(generator_string(number)): " ".join(theirs)
        for number, theirs in RELEASED_GENERATORS.items()
    }
    return WordPieceVocabulary("paper", tokens, (), features, spelling, generators)


def _check_config(path: Path, config: dict) -> None:
    """Refuse a tokenizer that would cut words in another way."""
    expected = {
        # BertTokenizer's own default is true, so a missing field is refused.
        "do_lower_case": (False,),
        "tokenizer_class": ("BertTokenizer", "BertTokenizerFast"),
        "do_basic_tokenize": (True, None),
        "never_split": (None, []),
    } | {f"{token[1:-1].lower()}_token": (token, None) for token in SPECIAL}
    for field, allowed in expected.items():
        found = config.get(field)
        if isinstance(found, dict):
            found = found.get("content")
        if found not in allowed:
            raise ValueError(
                f"{path}, field {field}: found {found!r}, expected "
                f"{' or '.join('nothing' if a is None else repr(a) for a in allowed)}"
            )


def _added_tokens(folder: Path, config: dict, words: list[str]) -> list[str]:
    """Return the tokens beyond vocab.txt, in the order of their ids."""
    path = folder / "added_tokens.json"
    named = _read_object(path) if path.exists() else {}
    decoder = config.get("added_tokens_decoder", {})
    try:
        pairs = [(int(i), str(token)) for token, i in named.items()]
        pairs += [(int(i), str(entry["content"])) for i, entry in decoder.items()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder}: added_tokens.json or added_tokens_decoder of "
            f"tokenizer_config.json is not a table of tokens and ids ({error!r})"
        ) from None
    tokens = dict(enumerate(words))
    for i, token in pairs:
        if tokens.setdefault(i, token) != token:
            raise ValueError(
                f"{folder}: id {i} is {tokens[i]!r} and {token!r}; expected one token "
                "from vocab.txt, added_tokens.json and tokenizer_config.json"
            )
    if sorted(tokens) != list(range(len(tokens))):
        raise ValueError(
            f"{path}: found {len(tokens) - len(words)} ids up to {max(tokens)}, "
            f"expected those that follow the {len(words)} lines of vocab.txt, no gap"
        )
    return [tokens[i] for i in range(len(words), len(tokens))]


def _read_object(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"found a {type(content).__name__}, expected an object")
    except ValueError as error:
        raise ValueError(f"{path}: not the expected JSON ({error})") from None
    return content


def _spell(word: str, ids: dict[str, int], added: list[str]) -> tuple[int, ...]:
    """Spell one word as BertTokenizer does; `()` where it would say [UNK].

    Added tokens are cut out first, wherever they stand, then punctuation; the rest is
    split from the left into the longest known pieces.
    """
    by_length = sorted(added, key=len, reverse=True)
    pattern = "|".join(map(re.escape, by_length)) or "(?!)"  # never matches
    parts = []
    for part in re.split(f"({pattern})", word):
        parts += [part] if part in added else re.findall("[A-Za-z0-9]+|.", part)
    pieces = []
    for part in parts:
        start = 0
        while start < len(part):
            prefix = "##" if start else ""
            stop = len(part)
            while prefix + part[start:stop] not in ids:
                stop -= 1
                if stop == start:
                    return ()
            pieces.append(ids[prefix + part[start:stop]])
            start = stop
    return tuple(pieces)
