"""Every word of the vocabularies has an explanation, and it is the right one."""

import numpy as np
import pytest

from cloud_jax.scope.tables import space_group_table
from cloud_jax.scope.vocabulary import build_vocabulary
from cloud_jax.scope.words import (
    MATRICES,
    TRANSLATIONS,
    describe_group,
    element_name,
    explain_token,
)

# Determinant and trace of a point operation give its kind, whatever the axes.
KINDS = {
    (1, 3): "identity", (1, -1): "twofold", (1, 0): "threefold", (1, 1): "fourfold",
    (-1, -3): "inversion", (-1, 1): "mirror", (-1, -1): "fourfold",
}  # fmt: skip


@pytest.mark.parametrize("dialect", ["canonical", "paper"])
def test_every_token_is_explained_and_no_two_roles_are_mixed_up(dialect):
    tokens = build_vocabulary(dialect).tokens
    words = {token: explain_token(token) for token in tokens}
    assert all(words.values())
    assert "piece of a word" not in words.values()
    # Different words of one role mean different things.
    assert len(set(words.values())) == len(words)


def test_matrices_do_what_is_said_of_them():
    for letter, matrix in space_group_table("matrices").items():
        matrix = np.array(matrix)
        kind = round(np.linalg.det(matrix)), int(np.trace(matrix))
        assert KINDS[kind] in MATRICES[letter]
        for axis, name in enumerate("xyz"):
            if f"about {name}" in MATRICES[letter]:
                sign = -1 if "with inversion" in MATRICES[letter] else 1
                assert matrix[axis, axis] == sign
            if f"reverses {name}" in MATRICES[letter]:
                assert matrix[axis, axis] == -1
    x, y, z = np.array([0.1, 0.2, 0.3])
    moved = {
        k: np.array(m) @ (x, y, z) for k, m in space_group_table("matrices").items()
    }
    np.testing.assert_allclose(moved["l"], [y, x, z])
    np.testing.assert_allclose(moved["k"], [-y, -x, z])


def test_shifts_are_those_of_the_table():
    assert space_group_table("translations") == TRANSLATIONS


def test_names_and_groups():
    assert element_name("W") == "tungsten"
    assert element_name("Lr") == "lawrencium"
    assert explain_token("wyckoff:1a").endswith("1 atom in the conventional cell")
    assert describe_group(225)["system"] == "cubic"
    assert describe_group(152)["hand"] == ""
    assert "P3_121" in describe_group(154)["hand"]
    assert explain_token("##ab") == "piece of a word"
