"""Predicted properties as columns of a long table, or as JSON objects."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.properties import PropertyValues

COLUMNS = (
    "id", "property", "temperature_k", "value", "unit", "basis", "std", "lower",
    "upper", "flags",
)  # fmt: skip
_NUMBERS = ("value", "std", "lower", "upper")
NO_ROWS = {
    name: np.zeros(0, float if name in ("temperature_k", *_NUMBERS) else object)
    for name in COLUMNS
}


def rows(
    crystals: Sequence[Crystal], properties: Sequence[PropertyValues]
) -> dict[str, np.ndarray]:
    """Return the columns of a long table.

    Rows are in the order of the crystals, then of the properties, then of the
    temperatures.

    Args:
        crystals: N of them.
        properties: values for these crystals, one entry per property.
    """
    lengths = [len(one.temperature_k) for one in properties]

    def per_crystal(values: list[str]) -> np.ndarray:
        return np.repeat(np.array(values, dtype=object), sum(lengths))

    def per_property(values: list[str]) -> np.ndarray:
        once = np.repeat(np.array(values, dtype=object), lengths)
        return np.tile(once, len(crystals))

    def numbers(name: str) -> np.ndarray:
        parts = [getattr(one, name) for one in properties]
        return np.concatenate(parts, axis=1).ravel()

    temperatures = np.concatenate([one.temperature_k for one in properties])
    columns = {
        "id": per_crystal([crystal.id for crystal in crystals]),
        "property": per_property([one.property for one in properties]),
        "temperature_k": np.tile(temperatures, len(crystals)),
        "unit": per_property([one.unit for one in properties]),
        "basis": per_property([one.basis for one in properties]),
        "flags": per_crystal([";".join(crystal.flags) for crystal in crystals]),
    }
    columns |= {name: numbers(name) for name in _NUMBERS}
    return {name: columns[name] for name in COLUMNS}


def needs_double(properties: Sequence[PropertyValues]) -> bool:
    """Return whether float32 has too few digits for the numbers of some property."""
    return any(one.double for one in properties)


def objects(
    crystals: Sequence[Crystal], properties: Sequence[PropertyValues]
) -> Iterator[dict[str, Any]]:
    """Yield one object per crystal, with its description and all properties.

    Numbers have the digits of float32, unless a property needs more; None stands for
    NaN.
    """
    kind = np.float64 if needs_double(properties) else np.float32
    for i, crystal in enumerate(crystals):
        yield {
            "id": crystal.id,
            "sentence": crystal.sentence,
            "space_group": crystal.space_group,
            "formula": dict(crystal.formula),
            "n_atoms": crystal.n_atoms,
            "flags": list(crystal.flags),
            "properties": [
                {
                    "property": one.property,
                    "unit": one.unit,
                    "basis": one.basis,
                    "temperature_k": _plain(one.temperature_k, kind),
                    **{name: _plain(getattr(one, name)[i], kind) for name in _NUMBERS},
                }
                for one in properties
            ],
        }


def _plain(values: np.ndarray, kind: type[np.floating]) -> list[float | None]:
    """Return numbers for JSON, rounded to the shortest text of a kind of float."""
    texts = values.astype(kind).astype(str)
    return [None if text == "nan" else float(text) for text in texts]
