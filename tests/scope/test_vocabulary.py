import json

import numpy as np
import pytest

from cloud_jax.scope import Rejection, Vocabulary, build_vocabulary, encode, sentence
from cloud_jax.scope.record import Scope
from cloud_jax.scope.vocabulary import MAX_COUNT
from cloud_jax.scope.vocabulary_file import load_vocabulary
from cloud_jax.structures.readers import read_json

SALT = "1 6 a O D D a D O D b O O O c O O O d O O O e O O O 0"


@pytest.fixture(scope="module", params=["paper", "canonical"])
def vocabulary(request) -> Vocabulary:
    return build_vocabulary(request.param)


def test_every_prototype_round_trips(vocabulary, aflow_prototypes):
    for snl in aflow_prototypes[::6]:
        text = sentence(encode(read_json(snl)), vocabulary.dialect)
        ids = vocabulary.encode(text)
        assert ids[0] == vocabulary.cls_id
        assert ids[-1] == vocabulary.sep_id
        assert vocabulary.decode([*ids, 0, 0]) == text


def test_one_letter_is_another_token_in_another_role(vocabulary):
    part = (
        "4a | O 0.5 B 0.5" if vocabulary.dialect == "paper" else "O 4a B 4b | O 1 B 1"
    )
    tokens = [vocabulary.tokens[i] for i in vocabulary.encode(f"{SALT} | {part}")]
    assert "translation:O" in tokens
    assert "element:O" in tokens
    assert "translation:D" in tokens


def test_special_tokens_come_first(vocabulary):
    assert [vocabulary.tokens[i] for i in vocabulary.special_ids] == [
        "[PAD]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "|",
    ]
    assert len(set(vocabulary.tokens)) == len(vocabulary)


def test_mask_stands_for_orbits_that_nobody_knows(vocabulary):
    composition = (("Na", 1), ("Cl", 1))
    known = Scope(225, (), composition, 2, 22.4, 0.01, 5.0, "")
    text = sentence(known, vocabulary.dialect)
    amounts = "Na 0.5 Cl 0.5" if vocabulary.dialect == "paper" else "Na 1 Cl 1"
    assert text == f"{SALT} | [MASK] | {amounts}"
    ids = vocabulary.encode(text)
    assert ids.count(vocabulary.mask_id) == 1
    assert vocabulary.decode(ids) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{SALT} | [MASK] [MASK] | Na 1",
        "[MASK] | Na 4a | Na 1",
        SALT,
        f"{SALT} | 4a",
        f"{SALT} | | Na 1",
        "1 6 a O | 4a | Na 1",
        f"{SALT} | Na 4a | Na",
        f"{SALT} | Na 5z | Na 1",
        f"{SALT} | Na 4a | Na {MAX_COUNT + 1}",
        f"{SALT} | Xx 4a | Xx 1",
    ],
)
def test_what_the_grammar_does_not_allow_is_rejected(text):
    with pytest.raises(Rejection) as caught:
        build_vocabulary("canonical").encode(text)
    assert caught.value.code == "vocabulary"


def test_features_are_standardised_where_they_exist(vocabulary):
    names = list(vocabulary.feature_names)
    mass = vocabulary.features[:, names.index("log mass")]
    elements = [t.startswith("element:") for t in vocabulary.tokens]
    assert abs(mass[elements].mean()) < 1e-5
    assert abs(mass[elements].std() - 1) < 1e-5
    assert not vocabulary.features[[not e for e in elements], names.index("row")].any()
    ids = {token: i for i, token in enumerate(vocabulary.tokens)}
    assert mass[ids["element:U"]] > mass[ids["element:Fe"]] > mass[ids["element:H"]]


def test_a_saved_vocabulary_is_the_same(vocabulary, tmp_path):
    path = tmp_path / "vocabulary.json"
    vocabulary.save(path)
    loaded = load_vocabulary(path)
    assert loaded.tokens == vocabulary.tokens
    assert loaded.sha256 == vocabulary.sha256
    np.testing.assert_array_equal(loaded.features, vocabulary.features)


def test_a_changed_file_is_an_error_that_names_both_sides(tmp_path):
    path = tmp_path / "vocabulary.json"
    build_vocabulary("paper").save(path)
    content = json.loads(path.read_text())
    content["tokens"][20] = "matrix:?"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"the content has hash .* the file states"):
        load_vocabulary(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match="not a vocabulary file"):
        load_vocabulary(path)


def test_the_two_dialects_have_different_hashes():
    assert build_vocabulary("paper").sha256 != build_vocabulary("canonical").sha256
