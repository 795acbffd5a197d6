"""Widths of the intervals of a model with a law, as |ln s|.

s is a factor on all characteristic temperatures of the law: an interval reaches from
the property at theta / s to that at theta s.

The quantiles of a property's targets are interpolated in ln T. Below the coldest and
above the hottest of them they stay what they are there, and are nominal: no label says
how often such an interval holds. A crystal far from the training rows has wider
intervals (`cloud_jax.models.novelty`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.inference.crystals import Crystal
from cloud_jax.models.novelty import Widening
from cloud_jax.physics.laws import PROPERTIES

# The properties whose quantiles a property takes, the widest at each temperature; by
# default its own. theta_D(T) is a function of C_v(T) at the same T, so that their
# intervals hold together.
_SOURCES = {
    "debye_temperature": ("heat_capacity",),
    "gibbs_energy": ("entropy", "enthalpy"),
    "helmholtz": ("entropy", "internal_energy"),
}
_COLDEST_K = 1e-3  # ln T of T = 0


def log_widths(
    description: dict[str, Any],
    crystals: Sequence[Crystal],
    temperature_k: Float[np.ndarray, " T"],
) -> dict[str, Float[np.ndarray, "N T"]]:
    """Return |ln s| of each property; NaN where the model is not calibrated.

    A property whose sources have no quantiles takes the widest of all properties.

    Args:
        description: content of model.json.
        crystals: N of them.
        temperature_k: where the properties are asked for.
    """
    at = {
        name: np.interp(np.log(np.maximum(temperature_k, _COLDEST_K)), *points)
        for name, points in _quantile_points(description).items()
    }
    if len(at) > 1:  # Debye temperatures are another model's labels
        at.pop("debye_temperature", None)
    widest = np.max([*at.values()] or [np.full(len(temperature_k), np.nan)], axis=0)
    scale = _scales(description, crystals)[:, None]
    widths = {}
    for name in PROPERTIES:
        sources = _SOURCES.get(name, (name,))
        found = [at.get(source, widest) for source in sources]
        widths[name] = scale * np.max(found, axis=0)
    return widths


def quantiles(description: dict[str, Any]) -> dict[str, float]:
    """Return the calibrated quantile of each target, by its name."""
    calibration = (description.get("calibration") or {}).get("targets", {})
    return {name: entry["quantile"] for name, entry in calibration.items()}


def _quantile_points(
    description: dict[str, Any],
) -> dict[str, tuple[list[float], list[float]]]:
    """Return ascending ln T and the quantiles there, by property.

    Two targets of one property and temperature count as the wider one.
    """
    found = quantiles(description)
    points: dict[str, dict[float, float]] = {}
    for target in description["targets"]:
        name, quantile = target["property"], found.get(target["name"])
        if quantile is not None:
            kelvin = max(target["temperature_k"] or 0.0, _COLDEST_K)
            of_property = points.setdefault(name, {})
            of_property[kelvin] = max(quantile, of_property.get(kelvin, 0.0))
    return {
        name: (np.log(sorted(at)).tolist(), [at[kelvin] for kelvin in sorted(at)])
        for name, at in points.items()
    }


def _scales(
    description: dict[str, Any], crystals: Sequence[Crystal]
) -> Float[np.ndarray, " N"]:
    """Return by how much the intervals of each crystal are wider than the narrowest."""
    entry = (description.get("calibration") or {}).get("novelty")
    if not entry:
        return np.ones(len(crystals))
    return Widening(**entry).scale(np.array([c.distance for c in crystals]))
