"""Distances of crystals from the training rows, and how they widen intervals.

A crystal's [CLS] state is whitened along the principal axes of the training rows'
states; its distance is the mean over the nearest of them. All of it is of one member:
the states of held-out rows come from a member that held them out, with the training
rows of that member; those of new crystals from the first member.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

N_AXES = 16
N_NEAREST = 3
MAX_ROWS = 4096  # training rows at most, 128 kB in a model folder
_BLOCK = 1024  # crystals whose distances from all rows are in memory at once


class TrainingStates(NamedTuple):
    """Whitened [CLS] states of training rows.

    Attributes:
        mean: of the states.
        axes: to whiten with.
        states: of the rows, bfloat16.
    """

    mean: Float[np.ndarray, " D"]
    axes: Float[np.ndarray, "D K"]
    states: Float[np.ndarray, "n K"]

    @classmethod
    def of(cls, states: Float[np.ndarray, "n D"]) -> "TrainingStates":
        """Return the whitened states of training rows."""
        mean = states.mean(axis=0)
        _, lengths, axes = np.linalg.svd(states - mean, full_matrices=False)
        kept = lengths[:N_AXES] > 1e-6 * lengths[0]
        axes = axes[:N_AXES][kept].T / lengths[:N_AXES][kept]
        axes = axes * np.sqrt(len(states) / max(1, axes.shape[1]))
        return cls(mean, axes, ((states - mean) @ axes).astype(jnp.bfloat16))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "TrainingStates":
        """Return what `_asdict` gave, after it was stored."""
        return cls(**{name: np.asarray(arrays[name]) for name in cls._fields})

    def distances(self, states: Float[np.ndarray, "N D"]) -> Float[np.ndarray, " N"]:
        """Return the mean distance of each state from its nearest training rows."""
        # Near a row the squares cancel: in float32 the fifth digit would be rounding.
        mean, axes, known = (np.asarray(part, np.float64) for part in self)
        found = [np.zeros(0)]
        for start in range(0, len(states), _BLOCK):
            new = (states[start : start + _BLOCK] - mean) @ axes
            squares = (new**2).sum(1)[:, None] + (known**2).sum(1) - 2 * new @ known.T
            nearest = np.sort(squares, axis=1)[:, :N_NEAREST]
            found.append(np.sqrt(np.maximum(nearest, 0)).mean(axis=1))
        return np.concatenate(found)


class Widening(NamedTuple):
    """How errors grow with the distance from training rows.

    Attributes:
        near: distance up to which they do not.
        exponent: of the growth beyond.
        far: distance that few held-out rows had: nothing was calibrated beyond.
    """

    near: float
    exponent: float
    far: float

    def scale(self, distance: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """Return by how much errors are larger than near the training rows.

        It is 1 where the distance is not known (NaN).
        """
        return np.fmax(distance / self.near, 1.0) ** self.exponent
