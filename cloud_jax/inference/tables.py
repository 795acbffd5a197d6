"""Predicted properties as columns of a table, long or wide, or as JSON objects."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.properties import PredictionError, PropertyValues

COLUMNS = (
    "id", "formula", "property", "temperature_k", "value", "unit", "basis", "spread",
    "lower", "upper", "notes",
)  # fmt: skip
_NUMBERS = ("value", "spread", "lower", "upper")


def rows(
    crystals: Sequence[Crystal], properties: Sequence[PropertyValues]
) -> dict[str, np.ndarray]:
    """Return the columns of a long table: one row per property and temperature.

    Rows are in the order of the crystals, then of the properties, then of the
    temperatures.

    Args:
        crystals: N of them.
        properties: values for these crystals, one entry per property.
    """
    lengths = [len(one.temperature_k) for one in properties]

    def per_property(values: list[str]) -> np.ndarray:
        once = np.repeat(np.array(values, dtype=object), lengths)
        return np.tile(once, len(crystals))

    def numbers(name: str) -> np.ndarray:
        parts = [getattr(one, name) for one in properties]
        return np.concatenate(parts, axis=1).ravel()

    temperatures = np.concatenate([one.temperature_k for one in properties])
    columns = {
        **_per_crystal(crystals, sum(lengths)),
        "property": per_property([one.property for one in properties]),
        "temperature_k": np.tile(temperatures, len(crystals)),
        "unit": per_property([one.unit for one in properties]),
        "basis": per_property([one.basis for one in properties]),
    }
    columns |= {name: numbers(name) for name in _NUMBERS}
    return {name: columns[name] for name in COLUMNS}


def wide_rows(
    crystals: Sequence[Crystal], properties: Sequence[PropertyValues]
) -> dict[str, np.ndarray]:
    """Return the columns of a wide table: one row per crystal and temperature.

    Columns of numbers are named by property and unit, such as
    `heat_capacity_j_per_mol_k` and `heat_capacity_lower_j_per_mol_k`. A property
    without a temperature is repeated in all rows of its crystal.

    Args:
        crystals: N of them.
        properties: values for these crystals, one entry per property.

    Raises:
        PredictionError: two targets of a model would have the same column.
    """
    asked = np.concatenate([one.temperature_k for one in properties])
    kelvin = list(dict.fromkeys(asked[~np.isnan(asked)].tolist())) or [np.nan]
    row_of = {temperature: row for row, temperature in enumerate(kelvin)}
    numbers: dict[str, np.ndarray] = {}
    for one in properties:
        own = [row_of[t] for t in one.temperature_k.tolist() if t in row_of]
        for name in _NUMBERS:
            kind = "" if name == "value" else name
            key = "_".join(filter(None, (one.property, kind, _as_name(one.unit))))
            column = numbers.setdefault(
                key, np.full((len(crystals), len(kelvin)), np.nan)
            )
            at = own or slice(None)
            if name == "value" and not np.isnan(column[:, at]).all():
                raise PredictionError(
                    f"the model has two targets for the column {key} of a wide table: "
                    "use the long table"
                )
            column[:, at] = getattr(one, name)
    described = _per_crystal(crystals, len(kelvin))
    notes = described.pop("notes")
    bases = ";".join(dict.fromkeys(one.basis for one in properties if one.basis))
    return {
        **described,
        "temperature_k": np.tile(kelvin, len(crystals)),
        "basis": np.full(len(notes), bases, dtype=object),
        **{name: column.ravel() for name, column in numbers.items()},
        "notes": notes,
    }


def _as_name(unit: str) -> str:
    """Return a unit as words of a column's name: J/(mol K) is j_per_mol_k."""
    return re.sub(r"\W+", "_", unit.replace("/", " per ")).strip("_").lower()


def _per_crystal(crystals: Sequence[Crystal], n: int) -> dict[str, np.ndarray]:
    """Return what describes each crystal, n times."""
    texts = {
        "id": [crystal.id for crystal in crystals],
        "formula": [crystal.formula_text for crystal in crystals],
        "notes": [";".join(crystal.flags) for crystal in crystals],
    }
    return {
        name: np.repeat(np.array(values, dtype=object), n)
        for name, values in texts.items()
    }


def objects(
    crystals: Sequence[Crystal], properties: Sequence[PropertyValues]
) -> Iterator[dict[str, Any]]:
    """Yield one object per crystal, with its description and all properties.

    None stands for NaN.
    """
    for i, crystal in enumerate(crystals):
        yield {
            "id": crystal.id,
            "sentence": crystal.sentence,
            "space_group": crystal.space_group,
            "formula": crystal.formula_text,
            "n_atoms": crystal.n_atoms,
            "notes": list(crystal.flags),
            "properties": [
                {
                    "property": one.property,
                    "unit": one.unit,
                    "basis": one.basis,
                    "temperature_k": _plain(one.temperature_k),
                    **{name: _plain(getattr(one, name)[i]) for name in _NUMBERS},
                }
                for one in properties
            ],
        }


def _plain(values: Float[np.ndarray, " n"]) -> list[float | None]:
    return [None if np.isnan(value) else value for value in values.tolist()]


def rounded(one: PropertyValues) -> PropertyValues:
    """Return a property with as many significant digits as its `digits` says."""

    def significant(values: Float[np.ndarray, "N T"]) -> Float[np.ndarray, "N T"]:
        texts = (f"{value:.{one.digits}g}" for value in values.ravel().tolist())
        return np.array([float(text) for text in texts]).reshape(values.shape)

    numbers = {name: significant(getattr(one, name)) for name in _NUMBERS}
    return one._replace(**numbers)
