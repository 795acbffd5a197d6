"""What a run says of its start."""

import jax
from jax import monitoring

from cloud_jax.training.startup import StartUp, format_times


def test_a_program_that_is_compiled_before_the_first_step_counts():
    startup = StartUp()
    assert startup.to_json() == {}
    jax.jit(lambda x: x * 3.0 + 0.123)(1.0)
    monitoring.record_event_duration_secs("/jax/another/duration", 1000.0)
    startup.end()
    found = startup.to_json()
    assert 0 < found["compile_seconds"] < found["startup_seconds"] < 1000
    jax.jit(lambda x: x * 3.0 + 0.456)(1.0)
    startup.end()
    assert startup.to_json() == found


def test_times_that_are_not_known_are_not_said():
    assert format_times({}) == ""
    times = {"startup_seconds": 9.25, "compile_seconds": 7.0, "waiting_seconds": 0.0}
    assert format_times(times) == (
        "first step after 9.2 s, 7.0 s of it compiling; "
        "0.0 s of training waited for batches"
    )
