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

Pairs = list[tuple[int, str]]  # ids and tokens

_CLASSES = ("BertTokenizer", "BertTokenizerFast")
# With these, tokenizer.json alone says how words are cut.
_FAST_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend", None)
# What each field of tokenizer_config.json may hold.
_FIELDS = {
    # BertTokenizer's own default is true, so a missing field is refused.
    "do_lower_case": (False,),
    "tokenizer_class": _CLASSES,
    "do_basic_tokenize": (True, None),
    "never_split": (None, []),
} | {f"{token[1:-1].lower()}_token": (token, None) for token in SPECIAL}
# And of tokenizer.json.
_FAST = {
    "model.type": ("WordPiece",),
    "model.continuing_subword_prefix": ("##",),
    "normalizer.type": ("BertNormalizer",),
    "normalizer.lowercase": (False,),
    "pre_tokenizer.type": ("BertPreTokenizer",),
}


def read_tokenizer(folder: Path) -> WordPieceVocabulary:
    """Read the tokenizer folder of a released BERT.

    Args:
        folder: holds tokenizer_config.json and either vocab.txt and, where tokens were
            added, added_tokens.json, or tokenizer.json, which transformers 5 writes
            instead of these two.

    Raises:
        OSError: a file is missing.
        ValueError: a file is damaged or asks for an unsupported setting; says file,
            field, found and expected.
    """
    folder = Path(folder)
    path = folder / "tokenizer_config.json"
    config = _read_object(path)
    path, words, pairs = _read_words(folder, path, config)
    tokens = _merge(folder, words, pairs)
    missing = [token for token in (*SPECIAL, "[UNK]", "|") if token not in tokens]
    if missing:
        raise ValueError(
            f"{path}: lacks {', '.join(missing)}, expected CLOUD's tokenizer"
        )
    ids = {token: i for i, token in enumerate(tokens)}
    added = sorted({token for _, token in pairs}, key=len, reverse=True)
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


def _read_words(
    folder: Path, config_path: Path, config: dict
) -> tuple[Path, Pairs, Pairs]:
    """Return the file that holds the words, the words, and the tokens added to them."""
    text, fast = folder / "vocab.txt", folder / "tokenizer.json"
    if not text.exists() and fast.exists():
        settings, words, added = _read_fast(fast)
        _check_fields(fast, settings, _FAST)
        lowercase = {"do_lower_case": settings["normalizer.lowercase"]}
        fields = _FIELDS | {"tokenizer_class": (*_CLASSES, *_FAST_CLASSES)}
        _check_fields(config_path, lowercase | config, fields)
        return fast, words, added
    _check_fields(config_path, config, _FIELDS)
    try:
        lines = text.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except FileNotFoundError:
        names = ", ".join(sorted(file.name for file in folder.iterdir()))
        raise FileNotFoundError(
            f"{folder}: found {names}; expected vocab.txt or tokenizer.json"
        ) from None
    words, added = list(enumerate(lines)), _added_tokens(folder, config)
    # With both files present a program reads one or the other.
    if fast.exists() and _merge(folder, words, added) != _merge(
        folder, *_read_fast(fast)[1:]
    ):
        raise ValueError(
            f"{folder}: vocab.txt and tokenizer.json hold different tokens; remove the "
            "file that does not belong to these weights"
        )
    return text, words, added


def _read_fast(path: Path) -> tuple[dict, Pairs, Pairs]:
    """Return the settings by dotted name, the words and the added tokens of a file."""
    content = _read_object(path)
    try:
        settings = {
            name: (content.get(part) or {}).get(field)
            for name in _FAST
            for part, field in [name.split(".")]
        }
        words = [(int(i), str(token)) for token, i in content["model"]["vocab"].items()]
        entries = content.get("added_tokens") or []
        added = [(int(entry["id"]), _content(entry)) for entry in entries]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: model.vocab or added_tokens is not the expected table of tokens "
            f"and ids ({error!r})"
        ) from None
    return settings, words, added


def _check_fields(path: Path, found: dict, expected: dict[str, tuple]) -> None:
    """Refuse a tokenizer that would cut words in another way."""
    for field, allowed in expected.items():
        value = found.get(field)
        if isinstance(value, dict):
            value = value.get("content")
        if value not in allowed:
            raise ValueError(
                f"{path}, field {field}: found {value!r}, expected "
                f"{' or '.join('nothing' if a is None else repr(a) for a in allowed)}"
            )


def _added_tokens(folder: Path, config: dict) -> Pairs:
    """Return ids and tokens of added_tokens.json and of the tokenizer's settings."""
    path = folder / "added_tokens.json"
    named = _read_object(path) if path.exists() else {}
    decoder = config.get("added_tokens_decoder", {})
    try:
        pairs = [(int(i), str(token)) for token, i in named.items()]
        pairs += [(int(i), _content(entry)) for i, entry in decoder.items()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{folder}: added_tokens.json or added_tokens_decoder of "
            f"tokenizer_config.json is not a table of tokens and ids ({error!r})"
        ) from None
    return pairs


def _content(entry: dict) -> str:
    """Return the text of an added token, which is cut out wherever it stands."""
    if entry.get("single_word"):
        raise ValueError(f"single_word: found True for {entry['content']!r}")
    return str(entry["content"])


def _merge(folder: Path, words: Pairs, added: Pairs) -> tuple[str, ...]:
    """Return all tokens in the order of their ids, each with one id."""
    tokens: dict[int, str] = {}
    for i, token in (*words, *added):
        if tokens.setdefault(i, token) != token:
            raise ValueError(
                f"{folder}: id {i} is {tokens[i]!r} and {token!r}; expected one token "
                "per id in the words, the added tokens and tokenizer_config.json"
            )
    if sorted(tokens) != list(range(len(tokens))):
        raise ValueError(
            f"{folder}: found {len(tokens)} ids from {min(tokens)} up to "
            f"{max(tokens)}, expected {len(tokens)} from 0, no gap"
        )
    ordered = tuple(tokens[i] for i in range(len(tokens)))
    if len(set(ordered)) != len(ordered):
        twice = next(token for token in ordered if ordered.count(token) > 1)
        raise ValueError(f"{folder}: the token {twice!r} has two ids, expected one")
    return ordered


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

    Args:
        word: without spaces.
        ids: of all tokens.
        added: the tokens that were added to the words, the longest first.

    Added tokens are cut out first, wherever they stand, then punctuation; the rest is
    split from the left into the longest known pieces.
    """
    pattern = "|".join(map(re.escape, added)) or "(?!)"  # never matches
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
