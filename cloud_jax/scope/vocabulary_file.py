"""Reading of `vocabulary.json`, which states its kind of vocabulary."""

import json
import os
from pathlib import Path

from cloud_jax.scope.vocabulary import FORMAT, Vocabulary
from cloud_jax.scope.word_pieces import WordPieceVocabulary


def load_vocabulary(path: str | os.PathLike) -> Vocabulary:
    """Return the vocabulary that `Vocabulary.save` wrote to a file.

    Raises:
        ValueError: not such a file, or its content differs from the hash it states.
        FileNotFoundError: no such file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format is {content['format']!r}")
        kind = WordPieceVocabulary if "spelling" in content else Vocabulary
        vocabulary = kind(**kind.fields(content))
        stated = content["sha256"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: not a vocabulary file ({error}); expected the JSON that "
            "`cloud-jax preprocess` writes"
        ) from None
    if vocabulary.sha256 != stated:
        raise ValueError(
            f"{path}: the content has hash {vocabulary.sha256[:12]}..., the file "
            f"states {stated[:12]}...; it was changed: restore it or make it anew"
        )
    return vocabulary
