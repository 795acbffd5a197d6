"""Rules for asking a server again: after which answers, how often, after how long.

urllib3's `Retry` says which answers are worth another attempt and reads what a server
asks for. It does not send the attempts: a download that made progress counts from
zero again, and the threads of a harvest share their pauses, which no adapter can do.
"""

import random
from collections.abc import Mapping

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

FIRST_ATTEMPTS = 3  # where nothing has ever answered: there may be no network
# A pause is at most 60 s, and 600 s where the server asks for it.
RULE = Retry(
    status_forcelist=(408, 425, 429, *range(500, 600)),
    backoff_max=60,
    retry_after_max=600,
)


class Attempts:
    """Count failures in a row, and decide whether another attempt is worth making.

    Args:
        most: most attempts in a row; fewer where nothing has ever answered.
        first_pause_s: pause before the second attempt, see `pause_s`.

    Attributes:
        answered: whether the server has ever answered.
        n_failed: number of failures since the last success.
    """

    def __init__(self, most: int, first_pause_s: float):
        self._most, self._first_pause_s = most, first_pause_s
        self.answered = False
        self.n_failed = 0

    def fail(self, asked_s: float = 0.0) -> float | None:
        """Count a failure; return the seconds to the next attempt, None to give up.

        Args:
            asked_s: pause that the server asked for.
        """
        self.n_failed += 1
        most = self._most if self.answered else min(self._most, FIRST_ATTEMPTS)
        if self.n_failed >= most:
            return None
        return pause_s(self._first_pause_s, self.n_failed, asked_s)


def may_pass(status: int) -> bool:
    """Return whether another attempt may meet a better HTTP status."""
    return RULE.is_retry("GET", status)


def pause_s(first_s: float, failures: int, asked_s: float = 0.0) -> float:
    """Return the seconds to the next attempt.

    Args:
        first_s: pause before the second attempt; doubled each time, give or take a
            half.
        failures: number of failures in a row.
        asked_s: pause that the server asked for, which then holds.
    """
    pause = first_s * 2 ** (failures - 1) * random.uniform(0.5, 1.5)
    return min(asked_s, RULE.retry_after_max) or min(pause, RULE.backoff_max)


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that a server asks us to wait, 0 if it asks for none."""
    try:
        return float(RULE.parse_retry_after(headers.get("Retry-After", "")))
    except InvalidHeader:
        return 0.0


def reason(error: BaseException) -> str:
    """Return the first cause of an error, without the libraries in between."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}"[:200]
