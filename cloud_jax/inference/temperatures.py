"""Temperatures as people write them: `300`, `100,200,300` or `0:1000:10`."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float

MAX_TEMPERATURES = 20_000  # per request; more is most likely a typing error
HOTTEST_K = 1e6  # far above any crystal
_EXPECTED = "expected a temperature in kelvin, as a number"


def parse_temperatures(text: str) -> Float[np.ndarray, " T"]:
    """Read one temperature, a list, or first:last:step with the last included.

    Raises:
        ValueError: another form, or a value that is not a temperature.
    """
    words = text.split(":")
    if len(words) == 1:
        return check_temperatures([_number(word) for word in text.split(",")])
    if len(words) != 3:
        raise ValueError(f"found {text!r}, expected FIRST:LAST:STEP as in 0:1000:10")
    first, last, step = map(_number, words)
    if not all(map(math.isfinite, (first, last, step))):
        raise ValueError(f"found {text!r}, expected finite numbers")
    if step <= 0:
        raise ValueError(f"found a step of {step:g} K, expected more than 0")
    if last < first:
        raise ValueError(
            f"found {first:g} to {last:g} K, expected the smaller temperature first"
        )
    n = (last - first) / step + 1e-9
    if n >= MAX_TEMPERATURES:
        raise ValueError(
            f"found {n:,.0f} steps, expected at most {MAX_TEMPERATURES:,} temperatures"
        )
    return check_temperatures(first + step * np.arange(int(n) + 1))


def _number(word: str) -> float:
    try:
        # float also reads 1_000 and the digits of every script.
        return float(word if word.isascii() and "_" not in word else "")
    except ValueError:
        raise ValueError(f"found {word!r}, {_EXPECTED}") from None


def check_temperatures(
    temperature_k: float | str | Iterable[float],
) -> Float[np.ndarray, " T"]:
    """Return one or many temperatures as an array.

    Args:
        temperature_k: a number, numbers in a sequence or an array of one axis, or text
            as `parse_temperatures` reads it.

    Raises:
        ValueError: one is not a number from 0 K, or there are none or too many.
    """
    if isinstance(temperature_k, str):
        return parse_temperatures(temperature_k)
    values = temperature_k
    if isinstance(values, Mapping | bytes):
        raise ValueError(f"found a {type(values).__name__}, {_EXPECTED}")
    if isinstance(values, Iterable) and not hasattr(values, "__array__"):
        values = list(values)
    # numpy would read True as 1, "300" as text and None as NaN.
    for value in values if isinstance(values, list) else [values]:
        if isinstance(value, bool | np.bool_ | str | type(None)):
            raise ValueError(f"found {value!r}, {_EXPECTED}")
    array = np.atleast_1d(np.asarray(values))
    if array.size and array.dtype.kind not in "iuf":
        raise ValueError(f"found {array.ravel()[0]!r}, {_EXPECTED}")
    if array.ndim != 1 or not 1 <= len(array) <= MAX_TEMPERATURES:
        raise ValueError(
            f"found {array.size:,} temperatures on {array.ndim} axes, expected 1 to "
            f"{MAX_TEMPERATURES:,} on one axis"
        )
    array = array.astype(float) + 0.0  # no minus zero
    bad = array[~((array >= 0) & (array <= HOTTEST_K))]  # NaN is neither
    if len(bad):
        raise ValueError(
            f"found {bad[0]:g} K, expected a temperature of at least 0 K and at most "
            f"{HOTTEST_K:,.0f} K"
        )
    return array
