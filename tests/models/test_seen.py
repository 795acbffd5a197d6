from cloud_jax.models.seen import find_sentences, pack_sentences


def test_packed_sentences_are_found_again_and_others_are_not():
    known = ["225 | Na a | Cl b", "225 | Na a | Cl b", "227 | Si a"]
    packed = pack_sentences(known)
    assert packed == pack_sentences(known[::-1])
    asked = ["227 | Si a", "227 | Ge a", known[0]]
    assert find_sentences(packed, asked).tolist() == [True, False, True]
    assert find_sentences(pack_sentences([]), asked).tolist() == [False] * 3
