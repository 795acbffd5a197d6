"""Estimates as rows, the same for a notebook, a CSV file and standard output."""

from collections.abc import Sequence

import numpy as np

from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.properties import Estimate

COLUMNS = (
    "id", "property", "temperature_k", "value", "unit", "basis", "std", "lower",
    "upper", "flags",
)  # fmt: skip


def rows(
    crystals: Sequence[Crystal], estimates: Sequence[Estimate]
) -> dict[str, np.ndarray]:
    """Return the columns of a long table.

    Crystals in their order, of each the estimates in theirs, of each the temperatures.

    Args:
        crystals: N of them.
        estimates: of these crystals.
    """
    lengths = [len(estimate.temperature_k) for estimate in estimates]

    def of_crystal(values: list[str]) -> np.ndarray:
        return np.repeat(np.array(values, dtype=object), sum(lengths))

    def of_estimate(values: list[str]) -> np.ndarray:
        once = np.repeat(np.array(values, dtype=object), lengths)
        return np.tile(once, len(crystals))

    def numbers(name: str) -> np.ndarray:
        parts = [getattr(estimate, name) for estimate in estimates]
        return np.concatenate(parts, axis=1).ravel()

    temperatures = np.concatenate([estimate.temperature_k for estimate in estimates])
    columns = {
        "id": of_crystal([crystal.id for crystal in crystals]),
        "property": of_estimate([estimate.property for estimate in estimates]),
        "temperature_k": np.tile(temperatures, len(crystals)),
        "unit": of_estimate([estimate.unit for estimate in estimates]),
        "basis": of_estimate([estimate.basis for estimate in estimates]),
        "flags": of_crystal([";".join(crystal.flags) for crystal in crystals]),
    }
    columns |= {name: numbers(name) for name in ("value", "std", "lower", "upper")}
    return {name: columns[name] for name in COLUMNS}
