"""Distances of held-out rows from training rows, and what the labels test."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, PyTree
from sklearn.linear_model import QuantileRegressor

from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.targets import Target
from cloud_jax.models.folder import Model
from cloud_jax.models.network import cls_states
from cloud_jax.models.novelty import MAX_ROWS, TrainingStates, Widening
from cloud_jax.scope.vocabulary import Vocabulary
from cloud_jax.structures.element_classes import is_metal

_FEWEST_ROWS = 200  # with fewer, the exponent is noise
_NEAR, _FAR = 0.1, 0.95  # shares of the held-out rows
_SMALLEST = 1e-3  # distances and residuals whose logarithms are taken


def calibrating_targets(targets: Sequence[Target]) -> Bool[np.ndarray, " P"]:
    """Return which targets calibrate the intervals of all properties.

    Debye temperatures are another model's labels, which say nothing of the errors of
    other properties. Where there is nothing else, they are what is predicted.
    """
    counts = np.array([t.property != "debye_temperature" for t in targets])
    return counts if counts.any() else ~counts


def labelled_rows(job: Job) -> Bool[np.ndarray, " N"]:
    """Return which rows of the table have a label that tests an interval."""
    labels = job.table.targets[:, calibrating_targets(job.targets)]
    return ~np.isnan(labels).all(axis=1)


def held_out_distances(
    job: Job, params: PyTree
) -> tuple[TrainingStates, Float[np.ndarray, " N"]]:
    """Return the first member's training rows, and how far held-out rows are from such.

    Args:
        job: whose members hold rows out.
        params: of all members.

    Returns:
        The states of the first member's training rows, of a sample if there are many,
        and distances by row of the table; NaN where no member held the row out.
    """
    description = {"kind": "property", "encoder": vars(job.start.encoder)}
    model = Model(Path(), description, job.start.vocabulary, params)
    counts, references = labelled_rows(job), []
    distances = np.full(len(counts), np.nan)
    for index, member in enumerate(job.members):
        train, held = (rows[counts[rows]] for rows in (member.train, member.validation))
        if len(train) > MAX_ROWS:
            train = np.random.default_rng(index).choice(train, MAX_ROWS, replace=False)
        states = cls_states(
            model, [job.table.tokens[row] for row in (*train, *held)], member=index
        )
        references.append(TrainingStates.of(states[: len(train)]))
        distances[held] = references[-1].distances(states[len(train) :])
    return references[0], distances


def fit_widening(
    residuals: Float[np.ndarray, "N P"],
    distance: Float[np.ndarray, " N"],
    level: float,
) -> Widening | None:
    """Return how residuals grow with the distance; None if there are too few rows.

    Of each row the mean residual counts, in units of its targets' quantiles. The median
    of these is taken for a power of the distance: many rows decide it, where the
    largest residuals would leave it to few.

    Args:
        residuals: of held-out rows; NaN for others and where a label is missing.
        distance: of the rows, NaN where it is not known.
        level: of the intervals.
    """
    residuals = residuals[:, ~np.isnan(residuals).all(axis=0)]
    with np.errstate(invalid="ignore"):
        relative = residuals / np.nanquantile(residuals, level, axis=0)
    known = np.isfinite(distance) & ~np.isnan(relative).all(axis=1)
    if known.sum() < _FEWEST_ROWS:
        return None
    distance, of_row = distance[known], np.nanmean(relative[known], axis=1)
    near, far = np.maximum(np.quantile(distance, (_NEAR, _FAR)), _SMALLEST)
    beyond = np.log(np.maximum(distance / near, 1.0))
    fitted = QuantileRegressor(quantile=0.5, alpha=0.0).fit(
        beyond[:, None], np.log(np.maximum(of_row, _SMALLEST))
    )
    return Widening(float(near), max(0.0, float(fitted.coef_[0])), float(far))


def elements_of(vocabulary: Vocabulary, tokens: Sequence[int]) -> set[str]:
    """Return the elements in a sentence; none if the vocabulary has no roles."""
    words = (vocabulary.tokens[token].partition(":") for token in tokens)
    return {word for role, _, word in words if role == "element"}


def labelled_chemistry(
    vocabulary: Vocabulary, rows: Sequence[Sequence[int]]
) -> dict[str, Any]:
    """Return the number of elemental crystals, and the elements that metals hold.

    Args:
        vocabulary: of the sentences.
        rows: token ids of rows with a label that tests an interval.
    """
    found = [elements_of(vocabulary, tokens) for tokens in rows]
    if not any(found):
        return {}
    metals = [
        elements for elements in found if elements and all(map(is_metal, elements))
    ]
    return {
        "elemental": sum(len(elements) == 1 for elements in found),
        "in_metals": sorted(set().union(*metals)),
    }
