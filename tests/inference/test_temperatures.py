import numpy as np
import pytest

from cloud_jax.inference.temperatures import check_temperatures, parse_temperatures


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("300", [300]),
        ("100,300,200", [100, 300, 200]),
        ("0:30:10", [0, 10, 20, 30]),
        ("0:1:0.1", np.linspace(0, 1, 11)),
        ("0:25:10", [0, 10, 20]),
        ("5:5:1", [5]),
    ],
)
def test_ways_to_write_temperatures(text, expected):
    np.testing.assert_allclose(parse_temperatures(text), expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-5", "at least 0 K"),
        ("nan", "at least 0 K"),
        ("1,inf", "at least 0 K"),
        ("-10:100:10", "at least 0 K"),
        ("100:0:10", "smaller temperature first"),
        ("0:100:0", "more than 0"),
        ("0:100:-1", "more than 0"),
        ("0:100:nan", "finite"),
        ("0:1e9:1", "at most 20,000"),
        ("0:100", "FIRST:LAST:STEP"),
        ("warm", "expected a temperature"),
        ("", "expected a temperature"),
    ],
)
def test_wrong_temperatures_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_temperatures(text)


def test_numbers_and_sequences_are_checked():
    assert check_temperatures(300).tolist() == [300]
    assert check_temperatures(range(3)).tolist() == [0, 1, 2]
    for wrong in ([], [[1, 2]], [-1]):
        with pytest.raises(ValueError, match="expected"):
            check_temperatures(wrong)
