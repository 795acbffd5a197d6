"""Closed, role-tagged vocabularies that turn sentences into token ids and back.

A word means different things in different places: `O` is oxygen or a zero
translation, `1` a generator count or an atom count. A token is therefore a role and
a word, `element:O` or `translation:O`, and the grammar of the sentence gives the
role. Every token that can occur is listed from the start, so nothing is learned from
data and there is no unknown token. (The vocabulary of released weights has no roles:
`cloud_jax.scope.word_pieces`.)

Besides its learned embedding a token carries a few physical descriptors
(`Vocabulary.features`). They are stored with the vocabulary, so that training needs
neither pymatgen nor spglib.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float

from cloud_jax.files import atomic_write
from cloud_jax.scope import tables
from cloud_jax.scope.record import MAX_COUNT, UNKNOWN_ORBITS
from cloud_jax.structures.rejection import Rejection

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", UNKNOWN_ORBITS, "|")
_MATRICES = "abcdefghijklmn"
_TRANSLATIONS = "ABCDEFGOXYZ"
_BLOCKS = "spdf"
FORMAT = "cloud_jax.vocabulary"


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The tokens of one dialect.

    Attributes:
        dialect: `paper` or `canonical`.
        tokens: role-tagged tokens; a token's id is its index. The first five are
            special: padding, [CLS], [SEP], [MASK] and the bar between parts.
        feature_names: names of the columns of `features`.
        features: physical descriptors, zero mean and unit variance over the tokens
            that have one and zero elsewhere, [V, F].
    """

    dialect: str
    tokens: tuple[str, ...]
    feature_names: tuple[str, ...]
    features: Float[np.ndarray, "V F"]

    pad_id = 0
    cls_id = 1
    sep_id = 2
    mask_id = 3
    bar_id = 4
    special_ids = (0, 1, 2, 3, 4)

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def sha256(self) -> str:
        """Return the hash of the dialect, the tokens and their features."""
        return hashlib.sha256(json.dumps(self._content()).encode()).hexdigest()

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    def encode(self, sentence: str) -> list[int]:
        """Return the token ids of a sentence, [CLS] first and [SEP] last.

        Raises:
            Rejection: the sentence does not follow the dialect's grammar, or needs
                a word that the vocabulary lacks (code `vocabulary`).
        """
        ids = [self.cls_id]
        for token in _tag(sentence, self.dialect):
            pieces = self._spell(token)
            if not pieces:
                role, _, word = token.partition(":")
                raise Rejection(
                    "vocabulary",
                    f"found the {role} {word!r}, which the {self.dialect} vocabulary "
                    f"does not have",
                )
            ids += pieces
        ids.append(self.sep_id)
        return ids

    def _spell(self, token: str) -> tuple[int, ...]:
        """Return the ids of a role-tagged token, `()` if the vocabulary lacks it."""
        return (self._ids[token],) if token in self._ids else ()

    def decode(self, ids) -> str:
        """Return the sentence of token ids; padding, [CLS] and [SEP] are dropped.

        Raises:
            ValueError: an id outside the vocabulary.
        """
        words = []
        for i in map(int, ids):
            if not 0 <= i < len(self.tokens):
                raise ValueError(f"token id {i}: expected 0 to {len(self.tokens) - 1}")
            if i not in (self.pad_id, self.cls_id, self.sep_id):
                words.append(self.tokens[i].rpartition(":")[2])
        return " ".join(words)

    def _content(self) -> dict:
        return {
            "format": FORMAT,
            "dialect": self.dialect,
            "tokens": self.tokens,
            "feature_names": self.feature_names,
            "features": self.features.astype(float).round(6).tolist(),
        }

    @classmethod
    def fields(cls, content: dict) -> dict:
        """Return the constructor's arguments from the content of a file."""
        return {
            "dialect": content["dialect"],
            "tokens": tuple(content["tokens"]),
            "feature_names": tuple(content["feature_names"]),
            "features": np.array(content["features"], dtype=np.float32),
        }

    def save(self, path: str | os.PathLike) -> None:
        """Write one JSON file atomically."""
        content = {**self._content(), "sha256": self.sha256}
        atomic_write(Path(path), json.dumps(content) + "\n")


def _tag(sentence: str, dialect: str) -> list[str]:
    """Return the words of a sentence, each tagged with its role.

    Raises:
        Rejection: the sentence does not follow the grammar.
    """
    parts = [part.split() for part in sentence.split("|")]
    if len(parts) != 3 or not all(parts):
        raise Rejection(
            "vocabulary",
            f"found {sentence!r}, expected generators | Wyckoff symbols | composition",
        )
    symmetry, orbits, composition = parts
    tags = [*_symmetry_roles(tuple(symmetry)), "|"]
    if orbits == [UNKNOWN_ORBITS]:
        tags += orbits
    elif dialect == "paper":
        tags += [f"wyckoff:{word}" for word in orbits]
    else:
        tags += _pairs(orbits, "element", "wyckoff")
    amount = "fraction" if dialect == "paper" else "count"
    return [*tags, "|", *_pairs(composition, "element", amount)]


@lru_cache(maxsize=512)  # 230 space groups
def _symmetry_roles(words: tuple[str, ...]) -> list[str]:
    if len(words) < 3 or not re.fullmatch(r"\d", words[1]):
        raise Rejection(
            "vocabulary",
            f"found {' '.join(words)!r}, expected a space-group generator string",
        )
    stop = 2 + 4 * int(words[1])
    roles = ["inversion", "generators"]
    roles += ["matrix", "translation", "translation", "translation"] * int(words[1])
    roles += ["origin"] + ["translation"] * (len(words) - stop - 1)
    if len(words) - stop not in (1, 4):
        raise Rejection(
            "vocabulary",
            f"found {' '.join(words)!r}: {words[1]} generators of four letters and an "
            f"origin flag make {stop + 1} or {stop + 4} words, not {len(words)}",
        )
    return [f"{role}:{word}" for role, word in zip(roles, words, strict=True)]


def _pairs(words: list[str], first: str, second: str) -> list[str]:
    if len(words) % 2:
        raise Rejection(
            "vocabulary",
            f"found {' '.join(words)!r}, expected pairs of {first} and {second}",
        )
    return [f"{(first, second)[i % 2]}:{word}" for i, word in enumerate(words)]


def build_vocabulary(dialect: str) -> Vocabulary:
    """Return the vocabulary of a dialect.

    Raises:
        ValueError: an unknown dialect.
    """
    from cloud_jax.scope.dialects import DIALECTS
    from cloud_jax.scope.space_groups import wyckoff_multiplicities
    from cloud_jax.structures.species import ELEMENTS

    if dialect not in DIALECTS:
        raise ValueError(f"dialect {dialect!r}: expected one of {DIALECTS}")
    symbols = {
        (multiplicity, letter.isupper(), letter)
        for number in range(1, 231)
        for letter, multiplicity in wyckoff_multiplicities(number).items()
    }
    tokens = list(SPECIAL)
    tokens += [f"inversion:{i}" for i in range(2)]
    tokens += [f"generators:{i}" for i in range(10)]
    tokens += [f"matrix:{letter}" for letter in _MATRICES]
    tokens += [f"translation:{letter}" for letter in _TRANSLATIONS]
    tokens += [f"origin:{i}" for i in range(2)]
    tokens += [f"wyckoff:{m}{letter}" for m, _, letter in sorted(symbols)]
    tokens += [f"element:{element}" for element in ELEMENTS]
    if dialect == "paper":
        tokens += [f"fraction:{np.round(i / 100, 2)!s}" for i in range(101)]
    else:
        tokens += [f"count:{i}" for i in range(1, MAX_COUNT + 1)]
    names, features = _features(tokens)
    return Vocabulary(dialect, tuple(tokens), names, features)


def _features(tokens: list[str]) -> tuple[tuple[str, ...], np.ndarray]:
    """Return standardised descriptors of elements and logarithms of amounts, [V, F]."""
    rows = []
    for token in tokens:
        role, _, word = token.partition(":")
        if role == "element":
            rows.append(_element_features(word))
        elif role == "wyckoff":
            rows.append({"log multiplicity": np.log(int(word[:-1]))})
        elif role in ("count", "fraction"):
            # A fraction that rounds to 0.0 is below 0.005.
            rows.append({"log amount": np.log(max(float(word), 0.0025))})
        else:
            rows.append({})
    names = tuple(dict.fromkeys(name for row in rows for name in row))
    table = np.array([[row.get(name, np.nan) for name in names] for row in rows])
    table = (table - np.nanmean(table, axis=0)) / np.nanstd(table, axis=0)
    # Rounded, so that the hash does not depend on the last bit of a logarithm.
    return names, np.nan_to_num(table).round(6).astype(np.float32)


def _element_features(symbol: str) -> dict[str, float]:
    element = tables.element(symbol)
    row = {
        "log mass": np.log(element.mass),
        "electronegativity": element.electronegativity,
        "row": float(element.row),
        "group": float(element.group),
        "atomic radius": element.atomic_radius,
        "ionic radius": element.ionic_radius,
        "Mendeleev number": element.mendeleev,
        "log melting point": np.log(element.melting_point),
    }
    for block in _BLOCKS:
        row[f"block {block}"] = float(element.block == block)
    return row
