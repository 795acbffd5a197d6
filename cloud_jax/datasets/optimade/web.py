"""HTTP for a harvest that takes days: rate-limited, repeated, limited in time."""

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

import cloud_jax
from cloud_jax.datasets.retries import Attempts, may_pass, reason, retry_after

MAX_BYTES = 256 * 2**20  # per answer
_HEADERS = {"User-Agent": f"cloud_jax/{cloud_jax.__version__} (OPTIMADE harvest)"}


@dataclass(frozen=True)
class RetryPolicy:
    """Hold the pace, attempts and time limits of requests.

    Attributes:
        requests_per_second: rate to one server, of all threads together.
        attempts: most attempts per answer.
        backoff_s: pause before the second attempt, doubled each time, give or take a
            half.
        request_limit_s: longest time for one attempt, to the last byte.
        time_limit_s: longest time for the whole harvest; 0 for none.
    """

    requests_per_second: float
    attempts: int
    backoff_s: float
    request_limit_s: float
    time_limit_s: float


class WebError(Exception):
    """Report a request without a usable answer.

    Attributes:
        status: the HTTP status of a refusal that another attempt would not change.
    """

    def __init__(self, message: str, status: int = 0):
        super().__init__(message)
        self.status = status


class OutOfTimeError(Exception):
    """Report that the time for the harvest is up, or that it was interrupted."""


class _AgainError(Exception):
    """Report that another attempt may help, after the `wait_s` the server asks."""

    def __init__(self, message: str, wait_s: float = 0.0):
        super().__init__(message)
        self.wait_s = wait_s


class RateLimiter:
    """Pace the requests to each server; shared by all threads."""

    def __init__(self):
        self._begun = time.monotonic()
        self._free: dict[str, float] = {}
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def wait(self, server: str, policy: RetryPolicy) -> None:
        """Wait for the server's turn.

        Raises:
            OutOfTimeError: the time is up, or would be before the turn comes.
        """
        with self._lock:
            turn = max(time.monotonic(), self._free.get(server, 0.0))
            if policy.time_limit_s and turn > self._begun + policy.time_limit_s:
                raise OutOfTimeError("the time limit of the harvest is reached")
            self._free[server] = turn + 1.0 / policy.requests_per_second
        if self.stopped.wait(max(0.0, turn - time.monotonic())):
            raise OutOfTimeError("the harvest was interrupted")

    def hold(self, server: str, seconds: float) -> None:
        """Send nothing to a server for a while."""
        with self._lock:
            until = time.monotonic() + seconds
            self._free[server] = max(until, self._free.get(server, 0.0))


class Web:
    """Read answers in JSON over one connection.

    Args:
        limiter: pace, shared with the other databases.
        policy: pace, attempts and time limits.

    Attributes:
        url: where the last answer came from, after redirects.
    """

    def __init__(self, limiter: RateLimiter, policy: RetryPolicy):
        self._limiter, self._policy = limiter, policy
        self._session = requests.Session()
        self._session.headers.update(_HEADERS)
        self._session.max_redirects = 5  # they do not wait for the server's turn
        self._attempts = Attempts(policy.attempts, policy.backoff_s)
        self.url = ""

    def __enter__(self) -> "Web":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def json(self, url: str, *, listing: bool = False) -> dict:
        """Return the JSON object that a URL answers with.

        Args:
            url: address to read.
            listing: whether its `data` must be a list.

        Raises:
            WebError: there is no usable answer.
            OutOfTimeError: the time is up.
        """
        server = urlsplit(url).netloc
        self._attempts.n_failed = 0
        while True:
            self._limiter.wait(server, self._policy)
            try:
                return _parse(self._get(url), listing)
            except _AgainError as error:
                pause = self._attempts.fail(error.wait_s)
                if pause is None:
                    times = self._attempts.n_failed
                    raise WebError(f"{error}, {times} times") from None
                self._limiter.hold(server, pause)

    def text(self, url: str) -> str:
        """Return the text of an answer, in one attempt; empty if it fails."""
        self._limiter.wait(urlsplit(url).netloc, self._policy)
        try:
            return self._get(url).decode("utf-8", "replace")
        except (_AgainError, WebError):
            return ""

    def _get(self, url: str) -> bytes:
        """Return the bytes of an answer, in one attempt."""
        limit_s = self._policy.request_limit_s
        end = time.monotonic() + limit_s
        try:
            with self._session.get(url, stream=True, timeout=limit_s) as answer:
                self._attempts.answered = True
                body = _read(answer, end)
                self.url = answer.url
        except (
            requests.RequestException, urllib3.exceptions.HTTPError, UnicodeError
        ) as error:  # fmt: skip
            # No connection, a truncated or badly compressed body, or an invalid URL.
            raise _AgainError(reason(error)) from None
        if answer.status_code == 200:
            return body
        message = f"HTTP {answer.status_code}"
        with suppress(ValueError, RecursionError):
            message += _details(json.loads(body))
        if may_pass(answer.status_code):
            raise _AgainError(message, retry_after(answer.headers))
        raise WebError(message, answer.status_code)


def mapping(value: Any) -> dict:
    """Return a JSON object, or an empty one where a server sent something else."""
    return value if isinstance(value, dict) else {}


def _read(answer: requests.Response, end: float) -> bytes:
    parts, size = [], 0
    # read1 returns early, so that a slow trickle meets the time limit too.
    while part := answer.raw.read1(2**16, decode_content=True):
        parts.append(part)
        size += len(part)
        if time.monotonic() > end:
            raise _AgainError("the answer took too long")
        if size > MAX_BYTES:
            raise WebError(f"found more than {MAX_BYTES:,} bytes in one answer")
    return b"".join(parts)


def _parse(body: bytes, listing: bool) -> dict:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise _AgainError(f"found {body[:60]!r}, expected JSON") from None
    if mapping(answer).get("errors"):  # some servers send them with status 200
        raise _AgainError(f"the server reports an error{_details(answer)}")
    if not isinstance(answer, dict) or not isinstance(
        answer.get("data"), list if listing else list | dict
    ):
        raise _AgainError(f"found {body[:60]!r}, expected an OPTIMADE answer with data")
    return answer


def _details(answer: Any) -> str:
    """Return the explanation that an OPTIMADE server gives for an error."""
    errors = mapping(answer).get("errors")
    errors = errors if isinstance(errors, list) else [errors] if errors else []
    texts = [
        str(mapping(error).get("detail") or mapping(error).get("title") or error)[:300]
        for error in errors[:5]
    ]
    return ": " + "; ".join(texts) if texts else ""
