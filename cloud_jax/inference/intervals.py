"""Widths of the intervals of a model with a law, as |ln s|.

s is a factor on all characteristic temperatures of the law: an interval reaches from
the property at theta / s to that at theta s.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.inference.crystals import Crystal
from cloud_jax.physics.laws import PROPERTIES


def log_widths(
    description: dict[str, Any],
    crystals: Sequence[Crystal],
    temperature_k: Float[np.ndarray, " T"],
) -> dict[str, Float[np.ndarray, "N T"]]:
    """Return |ln s| of each property; NaN where the model is not calibrated.

    A property has the widest quantile of its own targets, or else of all targets.

    Args:
        description: content of model.json.
        crystals: N of them.
        temperature_k: where the properties are asked for.
    """
    found = quantiles(description)
    widest = max(found.values(), default=np.nan)
    own: dict[str, float] = {}
    for target in description["targets"]:
        of_target = found.get(target["name"], widest)
        name = target["property"]
        own[name] = max(own.get(name, of_target), of_target)
    shape = len(crystals), len(temperature_k)
    return {name: np.full(shape, own.get(name, widest)) for name in PROPERTIES}


def quantiles(description: dict[str, Any]) -> dict[str, float]:
    """Return the calibrated quantile of each target, by its name."""
    calibration = (description.get("calibration") or {}).get("targets", {})
    return {name: entry["quantile"] for name, entry in calibration.items()}
