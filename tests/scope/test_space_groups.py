import numpy as np
import pytest
import spglib
from generator_strings import DENOMINATOR, close_group, parse_generators

from cloud_jax.scope.space_groups import (
    generator_string,
    wyckoff_multiplicities,
    wyckoff_relabelings,
)


def spglib_group(number: int) -> set[tuple[int, ...]]:
    """Operations of spglib's default setting: the first Hall number of the group."""
    hall = next(
        h for h in range(1, 531) if spglib.get_spacegroup_type(h).number == number
    )
    operations = spglib.get_symmetry_from_database(hall)
    shifts = np.rint(operations["translations"] * DENOMINATOR).astype(int)
    return {
        (*rotation.ravel().tolist(), *(shift % DENOMINATOR).tolist())
        for rotation, shift in zip(operations["rotations"], shifts, strict=True)
    }


def test_closing_each_generator_string_gives_spglibs_group():
    assert [
        number
        for number in range(1, 231)
        if close_group(generator_string(number)) != spglib_group(number)
    ] == []


def test_the_reference_tables_wrong_string_gives_another_group():
    # 13bDDOgDOOcODD0 stands for 131 in the reference pipeline and closes to 130.
    wrong = close_group("13bDDOgDOOcODD0")
    assert wrong != spglib_group(131)


def test_parts_of_a_generator_string():
    parts = parse_generators("05bOOOcOOOdOOOeOOOhDDD1YYY")
    assert not parts.inversion
    assert parts.generators[-1] == ("h", "DDD")
    assert parts.origin_shift == "YYY"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "000000",
        "x2",
        "03aDDO0",
        "00",
        "12aDDOcOOO",
        "12aDDOcOOO1XX",
        "01zOOO0",
    ],
)
def test_a_string_off_the_grammar_is_refused(text):
    with pytest.raises(ValueError, match="not a space-group generator string"):
        parse_generators(text)


def test_a_number_that_is_not_a_space_group_is_refused():
    with pytest.raises(ValueError, match="231: expected an integer from 1 to 230"):
        generator_string(231)


def test_186_distinct_wyckoff_symbols():
    symbols = {
        f"{multiplicity}{letter}"
        for number in range(1, 231)
        for letter, multiplicity in wyckoff_multiplicities(number).items()
    }
    assert len(symbols) == 186
    assert "8A" in symbols


def test_relabelings_keep_multiplicities_and_hold_the_identity():
    for number in range(1, 231):
        table = wyckoff_multiplicities(number)
        relabelings = wyckoff_relabelings(number)
        assert {letter: letter for letter in table} in relabelings
        for relabeling in relabelings:
            assert set(relabeling) == set(relabeling.values()) == set(table)
            assert all(table[a] == table[b] for a, b in relabeling.items())
