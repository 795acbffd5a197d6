"""Predictions joined with a reference: distances to the hull and their metrics."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cloud_jax.studies.discovery.metrics import (
    DECIMALS,
    hull_distance,
    stability,
    sweep,
    without_outliers,
)
from cloud_jax.studies.discovery.tables import (
    E_FORM,
    E_HULL,
    UNIQUE,
    Predictions,
    read_arrays,
)

# Thresholds of the figure, eV/atom.
_CURVE_EV = np.linspace(-0.2, 0.2, 81).round(3)


def true_energies(
    predictions: Predictions, reference: pd.DataFrame | None, arrays: Path | None
) -> tuple[pd.Series, str] | None:
    """Return the true formation energies by id, and their origin; None if unknown.

    Args:
        predictions: their labels are taken where the reference has none.
        reference: from `tables.read_reference`, or None.
        arrays: file of the arrays of WBM, or None.
    """
    if reference is not None and E_FORM in reference:
        return reference[E_FORM], "the file with the hull"
    if predictions.true is not None:
        if not arrays:
            return predictions.true, "the run's labels"
        # Crystals that the run rejected count as missing predictions.
        both = predictions.true.combine_first(read_arrays(arrays))
        return both, f"the run's labels, of the others {arrays.name}"
    if arrays:
        return read_arrays(arrays), arrays.name
    return None


def unknown_ids(predictions: Predictions, known: pd.Index, published: bool) -> int:
    """Count the predictions for crystals that are not in the reference.

    Raises:
        ValueError: all are, or one is although the reference is the published one.
    """
    unknown = predictions.energy.index.difference(known)
    if (published and len(unknown)) or len(unknown) == len(predictions.energy):
        raise ValueError(
            f"{len(unknown):,} of {len(predictions.energy):,} predictions are of "
            f"crystals that the reference does not have, such as "
            f"{', '.join(unknown[:3]) or '(the file is empty)'}; expected its ids, "
            f"such as {', '.join(known[:2])}"
        )
    return len(unknown)


def both_known(true: pd.Series, energy: pd.Series) -> pd.DataFrame:
    """Return the crystals that have a true and a predicted energy, eV/atom.

    Raises:
        ValueError: there are none.
    """
    both = pd.DataFrame({"true": true, "predicted": energy}).dropna()
    if both.empty:
        raise ValueError(
            "no crystal has both a true and a predicted energy: the predictions are "
            "empty, or their ids are not those of the reference"
        )
    return both


def distances(
    reference: pd.DataFrame, true: pd.Series, predictions: Predictions
) -> tuple[pd.DataFrame, int, list[str]]:
    """Return true and predicted distances to the hull, as on the leaderboard.

    Returns:
        The table by id (eV/atom), the number of outliers, and a sentence on what is
        left out, if anything.

    Raises:
        ValueError: no crystal has both distances.
    """
    hull, energy = reference[E_HULL], true.reindex(reference.index)
    lost = hull.notna() & energy.isna()
    found = predictions.energy.reindex(reference.index)
    kept = pd.Series(without_outliers(energy, found), index=found.index)
    hull, energy, kept_rounded = (x.round(DECIMALS) for x in (hull, energy, kept))
    table = pd.DataFrame(
        {
            "true": hull.mask(lost),
            "predicted": hull_distance(hull, energy, kept_rounded),
        }
    )
    if table.dropna().empty:
        raise ValueError(
            "no crystal has a hull distance, a true and a predicted formation energy: "
            "the ids of the files are different, or the predictions are empty"
        )
    n = int(lost.sum())
    absent = [
        f"Left out, as their true energy is not known, though their hull is: {n:,}."
    ]
    return table, int(found.notna().sum() - kept.notna().sum()), absent[: bool(n)]


def judge(table: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    """Compute the metrics that need the hull, for results.json.

    Args:
        table: from `distances`.
        reference: table of the same crystals, with unique prototypes where known.
    """
    true, found = table.true.to_numpy(), table.predicted.to_numpy()
    unique = reference[UNIQUE].to_numpy() if UNIQUE in reference else None
    return {
        "stability": stability(true, found, unique),
        "thresholds": sweep(true, found),
        "curve": sweep(true, found, _CURVE_EV),
    }
