"""Errors of a run's test rows, by the size and the symmetry of the crystals."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from cloud_jax.scope.crystal_systems import LAST_GROUP, crystal_system

N_BINS = 6  # bins of volume, as in figure 4c of the paper
_NEEDED = ("id", "target", "unit", "true", "predicted")
_OPTIONAL = ("space_group", "volume_a3")
_N_LISTED = 5  # largest errors in a summary


class Errors(NamedTuple):
    """The errors of one run on one target, one entry per test row.

    Attributes:
        label: name of the run.
        unit: unit of the target.
        ids: ids of the crystals.
        true: targets.
        predicted: predictions.
        space_group: number, 0 where it is not known.
        volume_a3: volume of the primitive cell, NaN where it is not known.
    """

    label: str
    unit: str
    ids: list[str]
    true: Float[np.ndarray, " N"]
    predicted: Float[np.ndarray, " N"]
    space_group: Int[np.ndarray, " N"]
    volume_a3: Float[np.ndarray, " N"]

    @property
    def error(self) -> Float[np.ndarray, " N"]:
        """Return target minus prediction."""
        return self.true - self.predicted


def read_errors(path: Path, label: str) -> dict[str, Errors]:
    """Read the predictions of a fine-tuning run.

    Args:
        path: its predictions.csv.
        label: name of the run.

    Returns:
        {target: its errors}; a row that several folds test is in it several times, one
        without a label is not.

    Raises:
        ValueError: a column is missing, or a value is not a finite number.
        OSError: the file cannot be read.
    """
    text = dict.fromkeys(("id", "target", "unit"), str)
    numbers = ("true", "predicted", *_OPTIONAL)
    blank = {name: ["", "nan"] for name in numbers}
    try:
        frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=blank)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeError) as error:
        raise ValueError(f"{path}: found no table: {error}") from error
    if missing := [name for name in _NEEDED if name not in frame]:
        raise ValueError(
            f"{path}: found columns {', '.join(frame)}; expected {', '.join(missing)} "
            "too, as cloud-jax finetune writes them"
        )
    frame = frame[frame["true"].notna()]
    for name in ("true", "predicted"):
        if not (
            pd.api.types.is_numeric_dtype(frame[name])
            and np.isfinite(frame[name]).all()
        ):
            raise ValueError(f"{path}: column {name}: not all are finite numbers")
    frame = frame.reindex(columns=[*_NEEDED, *_OPTIONAL])
    return {
        target: Errors(
            label,
            rows["unit"].iloc[0],
            rows["id"].tolist(),
            rows["true"].to_numpy(float),
            rows["predicted"].to_numpy(float),
            rows["space_group"].fillna(0).to_numpy(int),
            rows["volume_a3"].to_numpy(float),
        )
        for target, rows in frame.groupby("target", sort=False)
    }


def volume_edges(runs: Sequence[Errors], n_bins: int = N_BINS) -> list[float]:
    """Return the bounds of volume bins with equally many of the tested crystals.

    Args:
        runs: runs on one target; a crystal counts once, however many runs tested it.
        n_bins: number of bins.

    Returns:
        The least volume of each bin, and the greatest of all; cubic angstrom. Empty
        where fewer than `n_bins` different volumes are known.
    """
    known = {
        name: volume
        for run in runs
        for name, volume in zip(run.ids, run.volume_a3, strict=True)
        if np.isfinite(volume)
    }
    volumes = np.sort(list(known.values()))
    if len(np.unique(volumes)) < n_bins:
        return []
    bins = np.array_split(volumes, n_bins)
    return [float(own[0]) for own in bins] + [float(volumes[-1])]


def by_volume(run: Errors, edges: Sequence[float]) -> list[Float[np.ndarray, " n"]]:
    """Return the absolute errors in each bin of `volume_edges`.

    A volume on the bound of two bins counts in the upper one.
    """
    known = np.isfinite(run.volume_a3)
    place = np.searchsorted(edges[1:-1], run.volume_a3[known], side="right")
    error = np.abs(run.error[known])
    return [error[place == i] for i in range(len(edges) - 1)]


def by_system(run: Errors) -> dict[str, Float[np.ndarray, " n"]]:
    """Return the absolute errors in each of the seven crystal systems."""
    systems = np.array([crystal_system(number) for number in run.space_group])
    return {name: np.abs(run.error[systems == name]) for name in LAST_GROUP}


def by_space_group(run: Errors) -> dict[int, Float[np.ndarray, " n"]]:
    """Return the absolute errors in each space group that was tested."""
    numbers = np.unique(run.space_group[run.space_group > 0])
    return {int(n): np.abs(run.error[run.space_group == n]) for n in numbers}


def largest(run: Errors, n: int) -> list[int]:
    """Return the indices of the n largest absolute errors, the largest first."""
    return np.argsort(-np.abs(run.error), kind="stable")[:n].tolist()


def summary(run: Errors, edges: Sequence[float]) -> dict[str, Any]:
    """Summarise the errors of a run for results.json.

    Args:
        run: its errors on one target.
        edges: from `volume_edges`; empty where volumes are not known.
    """
    size = np.abs(run.error)
    return {
        "unit": run.unit,
        "n": len(run.ids),
        "absolute_error": {
            "mean": float(size.mean()),
            "median": float(np.quantile(size, 0.5)),
            "percentile_95": float(np.quantile(size, 0.95)),
            "max": float(size.max()),
        },
        "largest": [
            {
                "id": run.ids[i],
                "true": float(run.true[i]),
                "predicted": float(run.predicted[i]),
                "target_minus_predicted": float(run.error[i]),
            }
            for i in largest(run, _N_LISTED)
        ],
        "volume_bins": [
            {"from_a3": low, "to_a3": high, **_spread(own)}
            for (low, high), own in zip(
                pairwise(edges), by_volume(run, edges) if edges else (), strict=True
            )
        ],
        "crystal_systems": {
            name: _spread(own) for name, own in by_system(run).items() if len(own)
        },
        "space_groups": {
            str(number): _spread(own) for number, own in by_space_group(run).items()
        },
    }


def _spread(size: Float[np.ndarray, " n"]) -> dict[str, float | int]:
    if not len(size):
        return {"n": 0}
    return {
        "n": len(size),
        "mean_absolute_error": float(size.mean()),
        "median_absolute_error": float(np.median(size)),
    }
