"""Temperatures as people write them: `300`, `100,200,300` or `0:1000:10`."""

import math
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float

MAX_TEMPERATURES = 20_000  # per request; more is most likely a typing error


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
        return float(word)
    except ValueError:
        raise ValueError(f"found {word!r}, expected a temperature in kelvin") from None


def check_temperatures(
    temperature_k: float | Iterable[float],
) -> Float[np.ndarray, " T"]:
    """Return one or many temperatures as an array.

    Raises:
        ValueError: one is negative or not finite, or there are none or too many.
    """
    values = temperature_k
    if isinstance(values, Iterable) and not isinstance(values, np.ndarray):
        values = list(values)
    values = np.atleast_1d(np.asarray(values, dtype=float))
    if values.ndim != 1 or not 1 <= len(values) <= MAX_TEMPERATURES:
        raise ValueError(
            f"found {values.size:,} temperatures, expected 1 to {MAX_TEMPERATURES:,}"
        )
    bad = values[~(np.isfinite(values) & (values >= 0))]
    if len(bad):
        raise ValueError(f"found {bad[0]:g} K, expected a temperature of at least 0 K")
    return values
