"""How a model says what it has learned from: tables, and hashes of sentences."""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt64


def pack_sentences(sentences: Iterable[str]) -> str:
    """Return the sorted hashes of different sentences as base64, 8 bytes each."""
    return base64.b64encode(np.unique(_hashes(sentences)).tobytes()).decode()


def find_sentences(packed: str, sentences: Sequence[str]) -> Bool[np.ndarray, " n"]:
    """Return which of n sentences are among the packed ones."""
    known = np.frombuffer(base64.b64decode(packed), "<u8")
    return np.isin(_hashes(sentences), known)


def new_sentences(
    description: dict[str, Any], sentences: Sequence[str]
) -> dict[str, Bool[np.ndarray, " n"]]:
    """Return which of n sentences a model has not learned from.

    Args:
        description: content of model.json.
        sentences: in the model's dialect.

    Returns:
        `no_heat_capacity_learned`: whether the model has learned no heat capacity of
        the sentence, `not_learned`: nor another property. Empty where the model does
        not say what it has learned from.
    """
    domain = description.get("domain") or {}
    known = {
        name: find_sentences(packed, sentences)
        for name, packed in domain.get("sentences", {}).items()
    }
    if not known:
        return {}
    nothing = np.zeros(len(sentences), bool)
    return {
        "no_heat_capacity_learned": ~known.get("heat_capacity", nothing),
        "not_learned": ~np.any([*known.values()], axis=0),
    }


def describe_learned(learned: Sequence[dict[str, Any]] | None) -> str:
    """Return the tables and numbers of labels of a model's provenance as a line."""
    if learned is None:
        return "not recorded"
    parts = [
        f"{entry['table']} ("
        + ", ".join(f"{n:,} {name}" for name, n in entry["labels"].items())
        + ")"
        for entry in learned
    ]
    return "; ".join(parts)


def _hashes(sentences: Iterable[str]) -> UInt64[np.ndarray, " n"]:
    digests = (hashlib.sha256(sentence.encode()).digest() for sentence in sentences)
    return np.frombuffer(b"".join(digest[:8] for digest in digests), "<u8")
