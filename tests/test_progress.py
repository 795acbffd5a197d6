"""Progress in a log: plain lines now and then, never one per update."""

import pytest

from cloud_jax import progress as module
from cloud_jax.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that tqdm reads, in seconds."""
    now = [0.0]
    monkeypatch.setattr("tqdm.std.tqdm._time", lambda self: now[0], raising=False)
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return now


def run(clock, n: int, seconds_each: float, **options) -> None:
    with progress("reading", total=n, unit="crystals", **options) as bar:
        for _ in range(n):
            clock[0] += seconds_each
            bar.update()


def test_a_log_gets_a_line_every_half_minute_and_one_at_the_end(clock, capsys):
    run(clock, 1000, 0.1)
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 5
    assert all(line.startswith("reading") and "\r" not in line for line in lines)
    assert "1000/1000" in lines[-1]
    assert "<" in lines[0]  # the time left


def test_short_work_and_quiet_work_write_nothing(clock, capsys, monkeypatch):
    run(clock, 100, 0.1)
    run(clock, 1000, 0.1, show=False)
    monkeypatch.setenv("CLOUD_JAX_QUIET", "1")
    run(clock, 1000, 0.1)
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_line_that_is_drawn_over(clock, capsys, monkeypatch):
    monkeypatch.setattr(module.sys.stderr, "isatty", lambda: True, raising=False)
    run(clock, 100, 0.1)
    assert "\r" in capsys.readouterr().err
