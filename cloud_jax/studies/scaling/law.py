"""The scaling law L(N, D) = A/N^alpha + B/D^beta + E (eq. 4) and its optimum.

N counts parameters without embeddings, D tokens seen.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

FLOPS_PER_TOKEN = 6  # training takes 6 N D FLOPs (Kaplan et al. 2020)
CONSTANTS = ("A", "B", "E", "alpha", "beta")


class Law(NamedTuple):
    """The five constants of eq. 4; losses in nats per masked token."""

    A: float
    B: float
    E: float
    alpha: float
    beta: float

    def loss(
        self, parameters: Float[np.ndarray, "..."], tokens: Float[np.ndarray, "..."]
    ) -> Float[np.ndarray, "..."]:
        """Return L(N, D)."""
        return (
            self.A / np.asarray(parameters, float) ** self.alpha
            + self.B / np.asarray(tokens, float) ** self.beta
            + self.E
        )

    @property
    def a(self) -> float:
        """Return the exponent of the best N over compute (eq. 6)."""
        return self.beta / (self.alpha + self.beta)

    @property
    def b(self) -> float:
        """Return the exponent of the best D over compute (eq. 6)."""
        return self.alpha / (self.alpha + self.beta)

    @property
    def G(self) -> float:
        """Return G of eq. 6; clipped, so that it is finite for any constants."""
        return np.exp(np.clip(self._log_g, -700, 700))

    @property
    def _log_g(self) -> float:
        ratio = self.alpha * self.A / (self.beta * self.B)
        return np.log(ratio) / (self.alpha + self.beta)

    def optimum(
        self, flops: Float[np.ndarray, "..."]
    ) -> tuple[Float[np.ndarray, "..."], Float[np.ndarray, "..."]]:
        """Return N and D of the least loss that 6 N D = `flops` allows (eq. 5).

        Both are at least 1, even where the law is not identified.
        """
        product = np.log(np.asarray(flops, float) / FLOPS_PER_TOKEN)
        log_n = np.clip(self._log_g + self.a * product, 0, product)
        return np.exp(log_n), np.exp(product - log_n)
