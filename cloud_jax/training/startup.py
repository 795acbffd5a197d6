"""How long a run takes to its first step, and how much of that is compiling."""

import time
from typing import Any

from jax import monitoring

# What XLA takes, or reading programs that it compiled before; tracing is not in it.
_COMPILING = "/jax/core/compile/backend_compile_duration"


class StartUp:
    """A clock from its making to the end of the first step.

    Attributes:
        running: until `end` is called.
    """

    def __init__(self):
        """Start the clock."""
        self.running = True
        self._begun = time.perf_counter()
        self._compile_seconds = 0.0
        self._found: dict[str, float] = {}
        monitoring.register_event_duration_secs_listener(self._listen)

    def end(self) -> None:
        """Stop the clock; only the first call counts."""
        if self.running:
            self.running = False
            monitoring.unregister_event_duration_listener(self._listen)
            self._found = {
                "startup_seconds": round(time.perf_counter() - self._begun, 3),
                "compile_seconds": round(self._compile_seconds, 3),
            }

    def to_json(self) -> dict[str, float]:
        """Return `startup_seconds` and `compile_seconds`; empty before the end."""
        return self._found

    def _listen(self, event: str, seconds: float, **_: Any) -> None:
        if event == _COMPILING:
            self._compile_seconds += seconds


def format_times(found: dict[str, Any]) -> str:
    """Return start-up, compilation and waiting as text; empty where none is known.

    Args:
        found: times in seconds, of results.json or timing.json.
    """
    parts = []
    if "startup_seconds" in found:
        parts.append(
            f"first step after {found['startup_seconds']:.1f} s, "
            f"{found['compile_seconds']:.1f} s of it compiling"
        )
    if "waiting_seconds" in found:
        parts.append(f"{found['waiting_seconds']:.1f} s of training waited for batches")
    return "; ".join(parts)
