"""What training leaves for the outputs: all members at their best."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, PyTree

from cloud_jax.finetuning.steps import Scale


class Trained(NamedTuple):
    """All members at their best on validation rows, stacked.

    Attributes:
        params: [M, ...] on the host.
        raw: outputs for the rows a member did not train on, NaN for the others.
        values: the same as targets in the units of the table.
        scale: that was undone to get them.
        score: validation error, see `finetuning.loop.validation_scores`.
        epoch: after which they were taken.
    """

    params: PyTree
    raw: Float[np.ndarray, "M N O"]
    values: Float[np.ndarray, "M N P"]
    scale: Scale
    score: Float[np.ndarray, " M"]
    epoch: Float[np.ndarray, " M"]
