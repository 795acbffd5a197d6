"""How a run ends before its last step: refused, stopped, diverged, out of memory."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from jax.errors import JaxRuntimeError


class RunMismatchError(ValueError):
    """The folder belongs to a run with other settings or other data."""


class InterruptedRunError(Exception):
    """A signal asked the run to stop; its state is saved."""

    def __init__(self, step: int):
        self.step = step
        super().__init__(f"interrupted after step {step}")


class DivergedError(Exception):
    """Training has left the finite numbers."""


class NonFiniteLossError(DivergedError):
    """A loss, a gradient or the state is infinite or NaN; no checkpoint holds it.

    Attributes:
        step: the update that produced it.
        found: what is not finite, in words.
        record_ids: the crystals of the batch, where one batch is the cause.
    """

    def __init__(self, step: int, found: str, *, record_ids: Sequence[str] = ()):
        self.step, self.found, self.record_ids = step, found, list(record_ids)
        crystals = ""
        if record_ids:
            crystals = (
                f". The {len(record_ids)} crystals of that batch are listed in "
                f"nonfinite.json of the work directory, first "
                f"{', '.join(record_ids[:5])}"
            )
        super().__init__(f"step {step}: {found}{crystals}")

    def to_json(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return {"step": self.step, "found": self.found, "record_ids": self.record_ids}


class MemoryExhaustedError(ValueError):
    """The memory of a device, or of the host, does not hold a run."""


@contextmanager
def memory_explained(advice: str) -> Iterator[None]:
    """Raise MemoryExhaustedError where XLA or NumPy says that memory is full.

    Args:
        advice: what the user may lower, in words.
    """
    try:
        yield
    except (JaxRuntimeError, MemoryError) as error:
        if isinstance(error, JaxRuntimeError) and "RESOURCE_EXHAUSTED" not in str(
            error
        ):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise MemoryExhaustedError(
            f"memory does not hold this run: lower {advice} ({reason})"
        ) from error
