"""When a server is asked again, and after how long."""

import email.utils
import random
import time
from collections.abc import Mapping

FIRST_ATTEMPTS = 3  # where nothing has ever answered: there may be no network
LONGEST_PAUSE_S = 60.0
LONGEST_WAIT_S = 600.0  # that a server may ask for
_AGAIN = (408, 425, 429)  # and 5xx


def may_pass(status: int) -> bool:
    """Whether another attempt may meet a better HTTP status."""
    return status in _AGAIN or status >= 500


def pause_s(first_s: float, failures: int, asked_s: float = 0.0) -> float:
    """Seconds to the next attempt.

    Args:
        first_s: before the second attempt; doubled each time, give or take a half.
        failures: in a row.
        asked_s: what the server asked for, which holds if it did.
    """
    pause = first_s * 2 ** (failures - 1) * random.uniform(0.5, 1.5)
    return min(asked_s, LONGEST_WAIT_S) or min(pause, LONGEST_PAUSE_S)


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks us to wait: a number or a date; 0 if it asks none."""
    asked = headers.get("Retry-After", "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        then = email.utils.parsedate_to_datetime(asked).timestamp()
        return max(0.0, then - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0


def reason(error: BaseException) -> str:
    """What lies at the bottom of an error, without the libraries in between."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}"[:200]
