import numpy as np
import pandas as pd
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
        ("1_000", "expected a temperature"),
        ("\u0663\u0660\u0660", "expected a temperature"),
        ("300 K", "expected a temperature"),
        ("1e30", "at most 1,000,000 K"),
        ("0:100", "FIRST:LAST:STEP"),
        ("warm", "expected a temperature"),
        ("", "expected a temperature"),
    ],
)
def test_wrong_temperatures_are_named(text, message):
    with pytest.raises(ValueError, match=message):
        parse_temperatures(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (300, [300]),
        ("300", [300]),
        (" 100,300 ", [100, 300]),
        ("0:20:10", [0, 10, 20]),
        (np.float32(300), [300]),
        (np.int64(300), [300]),
        (np.array(300), [300]),
        (range(3), [0, 1, 2]),
        ((x for x in (1, 2.5)), [1, 2.5]),
        (pd.Series([1, 2], index=["a", "b"]), [1, 2]),
        ([np.int8(4), -0.0], [4, 0]),
    ],
)
def test_values_that_are_temperatures(value, expected):
    found = check_temperatures(value)
    assert found.tolist() == expected
    assert not np.signbit(found).any()


@pytest.mark.parametrize(
    "value",
    [
        [], [[1, 2]], [-1], "abc", ["300"], np.array(["300"]), b"300", True,
        np.bool_(True), [True, 300], np.array([True]), None, [None], np.nan,
        [1, np.inf], 1e7, 10**400, 300 + 0j, {300: 1}, object(),
        np.array([300, "a"], dtype=object), pd.Series([300, None]),
    ],
)  # fmt: skip
def test_values_that_are_not_temperatures_are_refused(value):
    with pytest.raises(ValueError, match="expected"):
        check_temperatures(value)
