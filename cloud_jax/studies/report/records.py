"""The keys of results.json that the report shows, as dataclasses.

Runs of earlier versions lack keys and files may be edited by hand, so reading is
tolerant: a value that is missing or of another type reads as empty, never as an error.
"""

import dataclasses
import math
import types
from dataclasses import dataclass
from typing import Any, get_args, get_origin

Number = float | None
Metrics = dict[str, Number]
_HUGE = 1e300  # a JSON integer beyond this overflows a float


def decode(kind: Any, value: Any) -> Any:
    """Return a JSON value as `kind`, or the empty value of `kind` if it does not fit.

    Args:
        kind: `Number`, `str`, `Any`, a dataclass, or a list or dict of these.
        value: as read from JSON.
    """
    if kind is Any:
        return value
    if kind is str:
        return value if isinstance(value, str) else ""
    if isinstance(kind, types.UnionType):  # Number
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return value if abs(value) < _HUGE else math.inf  # NaN becomes infinite too
    if get_origin(kind) is list:
        items = value if isinstance(value, list) else []
        return [decode(get_args(kind)[0], item) for item in items]
    items = value if isinstance(value, dict) else {}
    if get_origin(kind) is dict:
        return {key: decode(get_args(kind)[1], item) for key, item in items.items()}
    keys = dataclasses.fields(kind)
    return kind(**{key.name: decode(key.type, items.get(key.name)) for key in keys})


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation of a metric, over folds or over members."""

    mean: Number = None
    std: Number = None


@dataclass(frozen=True)
class Target:
    """One property that a run learned."""

    name: str
    property: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Fold:
    """Row counts of a fold, and {target: {metric: value}} of its ensemble.

    `labels` is {side: {target: number of rows with its label}}.
    """

    fold: str
    n_train: Number
    n_validation: Number
    n_test: Number
    test_rows_with_a_training_sentence: Number
    labels: dict[str, dict[str, Number]]
    ensemble: dict[str, Metrics]
    members: list[Any]


@dataclass(frozen=True)
class LawRow:
    """One fine-tuning run in the terms of Table 1."""

    label: str
    column: str
    note: str
    protocol: str
    folds: Number
    test_rows: Number
    ensemble: dict[str, Spread]
    single: dict[str, Spread]


@dataclass(frozen=True)
class Errors:
    """Errors of a model in one quantity, by crystal system and by volume (Å³)."""

    unit: str
    crystal_systems: dict[str, Metrics]
    volume_bins: list[Metrics]


@dataclass(frozen=True)
class AtTemperature:
    """Errors at a temperature (K) that no label has."""

    property: str = ""
    temperature_k: Number = None
    n: Number = None
    mae_over_mad_train_mean: Number = None


@dataclass(frozen=True)
class HeatCapacity:
    """C_v of a model beside the measured C_p of one crystal."""

    role: str
    temperature_k: list[Number]
    mean_relative_deviation: Number
    points_inside_the_interval: Number


@dataclass(frozen=True)
class Layer:
    """Attention of one layer to the k tokens with the highest scores, for several k."""

    layer: Number
    top: list[dict[str, Any]]


@dataclass(frozen=True)
class Attention:
    """Attention measured in one way; `share` is that of space-group tokens."""

    share: Number
    layers: list[Layer]


@dataclass(frozen=True)
class Results:
    """results.json of any kind of run."""

    note: str
    hashes: dict[str, Any]
    # finetune
    benchmark: str
    table: str
    targets: list[Target]
    protocol: str
    dialect: str
    checkpoint: str
    checkpoint_learned: str
    law: str
    rows_used: Number
    rows_rejected: Number
    labels: dict[str, Number]
    members_a_fold: Number
    parameters_of_a_member: Number
    validation_mae_over_mad: Number
    ensemble: dict[str, dict[str, Spread]]
    single: dict[str, dict[str, Spread]]
    baselines: dict[str, dict[str, dict[str, Spread]]]
    folds: list[Fold]
    # discovery
    reference: dict[str, Any]
    formation_energy: Metrics
    stability: dict[str, Metrics]
    thresholds: list[Metrics]
    absent: list[str]
    # phonon
    table_1: dict[str, list[LawRow]]
    errors: dict[str, dict[str, Errors]]
    other_temperatures: dict[str, dict[str, list[AtTemperature]]]
    heat_capacities: dict[str, dict[str, HeatCapacity]]
    missing: list[str]
    # attention
    measured: dict[str, Attention]
    verdict: dict[str, str]
    # scaling
    intervals: dict[str, list[Number]]
    optima: list[dict[str, Any]]
    warnings: list[str]
