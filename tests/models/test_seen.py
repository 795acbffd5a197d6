from cloud_jax.models.seen import find_sentences, new_sentences, pack_sentences


def test_packed_sentences_are_found_again_and_others_are_not():
    known = ["225 | Na a | Cl b", "225 | Na a | Cl b", "227 | Si a"]
    packed = pack_sentences(known)
    assert packed == pack_sentences(known[::-1])
    asked = ["227 | Si a", "227 | Ge a", known[0]]
    assert find_sentences(packed, asked).tolist() == [True, False, True]
    assert find_sentences(pack_sentences([]), asked).tolist() == [False] * 3


def test_what_was_learned_of_a_sentence_is_told_by_property():
    learned = {"heat_capacity": ["a", "b"], "debye_temperature": ["b", "c"]}
    packed = {name: pack_sentences(known) for name, known in learned.items()}
    found = new_sentences({"domain": {"sentences": packed}}, ["a", "b", "c", "d"])
    assert {name: new.tolist() for name, new in found.items()} == {
        "no_heat_capacity_learned": [False, False, True, True],
        "not_learned": [False, False, False, True],
    }
    assert new_sentences({"domain": {"n": 1}}, ["a"]) == {}
