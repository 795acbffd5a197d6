"""The vocabulary of released weights (files: models/golden/make_bert.py)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cloud_jax.hf.tokenizer import read_tokenizer
from cloud_jax.scope import Rejection, build_vocabulary
from cloud_jax.scope.space_groups import generator_string
from cloud_jax.scope.vocabulary_file import load_vocabulary

GOLDEN = Path(__file__).parents[1] / "models/golden/bert_tiny"


@pytest.fixture(scope="module")
def vocabulary():
    return read_tokenizer(GOLDEN)


@pytest.fixture
def folder(tmp_path):
    for name in ("vocab.txt", "added_tokens.json", "tokenizer_config.json"):
        shutil.copy(GOLDEN / name, tmp_path)
    return tmp_path


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_sentences_get_the_ids_that_transformers_gives_and_come_back(vocabulary):
    with np.load(GOLDEN / "expected.npz") as golden:
        rows = zip(
            *(golden[n] for n in ("sentences", "tokens", "lengths")), strict=True
        )
    for text, ids, length in rows:
        assert vocabulary.encode(str(text)) == ids[:length].tolist()
        assert vocabulary.decode(ids) == text


def test_every_paper_word_is_spelled_and_special_ids_are_theirs(vocabulary):
    assert set(build_vocabulary("paper").tokens[4:]) == set(vocabulary.spelling)
    names = [vocabulary.tokens[i] for i in vocabulary.special_ids]
    assert names == ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "|"]
    assert vocabulary.special_ids[:4] == (1, 0, 2, 4)
    # Six letters, no [UNK] between: longest pieces from the left.
    pieces = [vocabulary.tokens[i] for i in vocabulary.spelling["wyckoff:192l"]]
    assert pieces == ["192", "##l"]


def test_the_grammar_is_still_checked(vocabulary):
    for text in ("", "0 1 a O O O 0 | 1a", "0 1 a O O O 0 | 1a | Xx 1.0"):
        with pytest.raises(Rejection):
            vocabulary.encode(text)


def test_it_survives_saving(vocabulary, tmp_path):
    vocabulary.save(tmp_path / "vocabulary.json")
    loaded = load_vocabulary(tmp_path / "vocabulary.json")
    assert type(loaded) is type(vocabulary)
    assert loaded.sha256 == vocabulary.sha256
    assert loaded.features.shape == (len(vocabulary), 0)
    text = "0 1 a O O O 0 | 1a | Po 1.0"
    assert loaded.encode(text) == vocabulary.encode(text)


def test_a_word_that_would_be_unknown_is_rejected_not_called_unknown(folder):
    path = folder / "vocab.txt"
    lines = path.read_text().replace("\n##p\n", "\n##@\n")
    path.write_text(lines)
    vocabulary = read_tokenizer(folder)
    assert "element:Np" not in vocabulary.spelling
    with pytest.raises(Rejection, match="the element 'Np', which the paper"):
        vocabulary.encode("0 1 a O O O 0 | 1a | Np 1.0")


def test_an_added_token_is_cut_out_of_longer_words_as_transformers_does(folder):
    change(folder / "added_tokens.json", **{"2l": 219})
    vocabulary = read_tokenizer(folder)
    pieces = [vocabulary.tokens[i] for i in vocabulary.spelling["wyckoff:12l"]]
    assert pieces == ["1", "2l"]


def test_three_space_groups_are_looked_up_under_the_authors_strings(vocabulary):
    def symmetry(number):
        ours = " ".join(generator_string(number))
        ids = vocabulary.encode(f"{ours} | 1a | Po 1.0")
        return ours, vocabulary.decode(ids).partition(" | ")[0]

    changed = {n for n in range(1, 231) if len(set(symmetry(n))) == 2}
    assert changed == {39, 131, 222}
    # As in the authors' data: a sentence of theirs means the same as ours.
    theirs = "1 3 b D D O g D O O c O D D 0"
    assert symmetry(131)[1] == theirs
    rest = " | 2c 2e | Pt 0.5 S 0.5"
    assert vocabulary.encode(theirs + rest) == vocabulary.encode(
        symmetry(131)[0] + rest
    )


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("tokenizer_config.json", {"do_lower_case": True}, "do_lower_case: found True"),
        ("tokenizer_config.json", {"cls_token": "<s>"}, "cls_token: found '<s>'"),
        ("tokenizer_config.json", {"tokenizer_class": "X"}, "tokenizer_class: found"),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"219": {"content": "2l", "single_word": True}}},
            "single_word: found True for '2l'",
        ),
        ("added_tokens.json", {"0.5": 9000}, "up to 9000, .* no gap"),
        ("added_tokens.json", {"new": 3}, r"id 3 is '\[UNK\]' and 'new'"),
        ("added_tokens.json", {"new": "x"}, "not a table of tokens and ids"),
        ("added_tokens.json", {"Fe": 219}, "'Fe' has two ids"),
    ],
)
def test_an_unsupported_tokenizer_is_an_error_that_names_it(
    folder, name, fields, message
):
    change(folder / name, **fields)
    with pytest.raises(ValueError, match=message) as caught:
        read_tokenizer(folder)
    assert str(folder) in str(caught.value)


SINGLE = {"id": 219, "content": "2l", "single_word": True}


def write_fast(folder, **sections):
    """Write what transformers 5 does: tokenizer.json, without vocab.txt."""
    words = (folder / "vocab.txt").read_text().splitlines()
    added = json.loads((folder / "added_tokens.json").read_text())
    added = {"[CLS]": 0, "[MASK]": 4} | added
    content = {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": token} for token, i in added.items()],
        "normalizer": {"type": "BertNormalizer", "lowercase": False},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "model": {
            "type": "WordPiece",
            "continuing_subword_prefix": "##",
            "vocab": {word: i for i, word in enumerate(words)},
        },
    }
    for name, fields in sections.items():
        old = content[name]
        content[name] = old + fields if isinstance(old, list) else (old or {}) | fields
    (folder / "tokenizer.json").write_text(json.dumps(content))


def forget_the_text(folder):
    (folder / "vocab.txt").unlink()
    (folder / "added_tokens.json").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config.pop("added_tokens_decoder", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def test_tokenizer_json_alone_gives_the_same_vocabulary(folder, vocabulary):
    write_fast(folder)
    assert read_tokenizer(folder).sha256 == vocabulary.sha256  # both files, the same
    forget_the_text(folder)
    assert read_tokenizer(folder).sha256 == vocabulary.sha256
    change(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["do_lower_case"]  # the normalizer says it
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert read_tokenizer(folder).sha256 == vocabulary.sha256


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"type": "BPE"}}, "model.type: found 'BPE', expected 'WordPiece'"),
        ({"model": {"continuing_subword_prefix": "@@"}}, "_prefix: found '@@'"),
        ({"model": {"vocab": [["a", 0.0]]}}, "is not the expected table of tokens"),
        ({"model": {"vocab": {"[CLS]": 0, "a": 9}}}, "ids from 0 up to 218, .* no gap"),
        (
            {"added_tokens": [SINGLE]},
            "single_word: found True for '2l'",
        ),
        ({"normalizer": {"lowercase": True}}, "normalizer.lowercase: found True"),
        ({"normalizer": {"type": "Sequence"}}, "normalizer.type: found 'Sequence'"),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "found 'ByteLevel', expected 'Bert"),
    ],
    ids=str,
)
def test_a_tokenizer_json_that_cuts_otherwise_is_refused(folder, sections, message):
    write_fast(folder, **sections)
    forget_the_text(folder)
    with pytest.raises(ValueError, match=message) as caught:
        read_tokenizer(folder)
    assert str(folder) in str(caught.value)


def test_two_files_that_contradict_each_other_are_refused(folder):
    write_fast(folder)
    path = folder / "vocab.txt"
    path.write_text(path.read_text().replace("\n##p\n", "\n##@\n"))
    with pytest.raises(ValueError, match=r"vocab.txt and tokenizer.json hold"):
        read_tokenizer(folder)


def test_missing_and_damaged_files_are_named(folder):
    (folder / "vocab.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected vocab.txt or tokenizer.j"):
        read_tokenizer(folder)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer_config.json: not the expected"):
        read_tokenizer(folder)
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokenizer_config.json"):
        read_tokenizer(folder)
