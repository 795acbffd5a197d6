"""The figure of `cloud-jax predict --plot`: from predictions to panels."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cloud_jax.evaluation.figures import crystal_label, plain, shorten
from cloud_jax.evaluation.figures_thermal import Curve, Panel, thermal_figure
from cloud_jax.evaluation.measured import find_measured
from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.properties import (
    PredictionError,
    PropertyValues,
    atoms_in_basis,
)
from cloud_jax.physics.constants import GAS_CONSTANT
from cloud_jax.physics.laws import PROPERTIES
from cloud_jax.scope.space_groups import hermann_mauguin

_QUANTITIES = {
    "heat_capacity": "heat capacity $C_v$",
    "entropy": "entropy $S$",
    "enthalpy": "enthalpy $H(T) - H(0)$",
    "gibbs_energy": "Gibbs energy $G(T) - H(0)$",
    "internal_energy": "internal energy $U$",
    "helmholtz": "Helmholtz energy $F$",
    "debye_temperature": r"Debye temperature $\theta_D$",
    "zero_point_energy": "zero-point energy",
}
_BASES = {
    "cell": "per mol of primitive cells",
    "atom": "per mol of atoms",
    "formula": "per mol of formula units",
}  # the unit of "gram" says it
_AT_K = 2.0  # a point measured this near to a single temperature is drawn beside it


def properties_to_plot(
    description: dict[str, Any], asked: Sequence[str] | None
) -> list[str]:
    """Return the names of the properties that a figure shows.

    Args:
        description: content of model.json.
        asked: names, or None for the heat capacity, or the targets of a model without
            a law.

    Raises:
        PredictionError: the model has no property of that name.
    """
    has_law = description["head"]["kind"] == "physics"
    known = list(PROPERTIES) if has_law else [t["name"] for t in description["targets"]]
    names = asked or (["heat_capacity"] if has_law else known)
    if unknown := [name for name in names if name not in known]:
        raise PredictionError(
            f"--plot-property: found {', '.join(unknown)}; this model has "
            f"{', '.join(known)}"
        )
    return list(dict.fromkeys(names))


def plot(
    path: Path, crystals: Sequence[Crystal], chunks: Sequence[Sequence[PropertyValues]]
) -> None:
    """Draw predicted properties.

    Args:
        path: the figure; its suffix is the format.
        crystals: at least one.
        chunks: for consecutive parts of the crystals, the values of each property.
    """
    labels = _labels(crystals)
    panels = [
        _panel(parts, crystals, labels) for parts in zip(*chunks, strict=True)
    ]  # parts: one property of all chunks
    thermal_figure(path, panels)


def _panel(
    parts: Sequence[PropertyValues], crystals: Sequence[Crystal], labels: Sequence[str]
) -> Panel:
    first = parts[0]
    order = np.argsort(first.temperature_k)
    temperature_k = first.temperature_k[order]
    arrays = [
        np.concatenate([getattr(part, name) for part in parts])[:, order]
        for name in ("value", "lower", "upper")
    ]
    n = len(crystals)
    atoms = atoms_in_basis(first.basis, crystals) if first.basis else np.ones(n)
    points, limits = [None] * n, [None] * n
    if first.property == "heat_capacity" and first.basis:
        limits = 3 * GAS_CONSTANT * atoms
        points = [
            _measured(crystal, share, temperature_k)
            for crystal, share in zip(crystals, atoms, strict=True)
        ]
    curves = map(Curve, labels, *arrays, points, limits, atoms)
    name = first.property
    return Panel(
        _QUANTITIES.get(name, plain(name.replace("_", " "))),
        first.unit,
        _BASES.get(first.basis, ""),
        temperature_k,
        list(curves),
    )


def _measured(
    crystal: Crystal, atoms: float, temperature_k: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the measured points among the temperatures, on the basis of the figure."""
    measured = find_measured(crystal.formula, crystal.space_group)
    if measured is None:
        return None
    at, low, high = measured.temperature_k, *temperature_k[[0, -1]]
    shown = (at >= low) & (at <= high)
    if low == high:
        distance = np.abs(at - low)
        shown = distance == distance.min(initial=_AT_K)
    if not shown.any():
        return None
    return at[shown], measured.cp[shown] * atoms / crystal.formula_atoms


def _labels(crystals: Sequence[Crystal]) -> list[str]:
    """Return formula and space group of each crystal, and its id where these repeat."""
    labels = [
        crystal_label(crystal.formula, hermann_mauguin(crystal.space_group))
        for crystal in crystals
    ]
    count = Counter(labels)
    return [
        f"{label}, {plain(shorten(crystal.id))}" if count[label] > 1 else label
        for label, crystal in zip(labels, crystals, strict=True)
    ]
