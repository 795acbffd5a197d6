"""How a run ends before its last step: refused, interrupted, or no longer finite."""

from typing import Any


class RunMismatchError(ValueError):
    """The folder belongs to a run with other settings or other data."""


class InterruptedRunError(Exception):
    """A signal asked the run to stop; its state is saved."""

    def __init__(self, step: int):
        self.step = step
        super().__init__(f"interrupted after step {step}")


class NonFiniteLossError(Exception):
    """A loss or a gradient is infinite or NaN; no checkpoint holds the state after it.

    Attributes:
        step: the update that produced it.
        loss: mean over the batch, in nats per masked token.
        grad_norm: before clipping.
        record_ids: the crystals of the batch; empty for a validation loss.
    """

    def __init__(
        self,
        step: int,
        *,
        loss: float,
        grad_norm: float | None = None,
        record_ids: list[str] | None = None,
    ):
        self.step, self.loss, self.grad_norm = step, loss, grad_norm
        self.record_ids = record_ids or []
        found = f"validation loss {loss}"
        if record_ids:
            found = (
                f"loss {loss}, gradient norm {grad_norm}. The {len(record_ids)} "
                "crystals of that batch are listed in nonfinite.json of the work "
                f"directory, first {', '.join(record_ids[:5])}"
            )
        super().__init__(
            f"step {step}: {found}. No checkpoint holds that state; lower the learning "
            "rate or set the crystals aside that cause it"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the attributes, with numbers as text because JSON has no NaN."""
        return {
            "step": self.step,
            "loss": str(self.loss),
            "grad_norm": str(self.grad_norm),
            "record_ids": self.record_ids,
        }
