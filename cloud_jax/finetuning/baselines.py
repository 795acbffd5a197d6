"""What labels give without a network: the training mean, and formulas alone.

Both learn from the training and validation rows of each fold and are tested on its
test rows, so that they stand beside the ensemble.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.cores import usable_cores
from cloud_jax.evaluation.metrics import (
    classification_metrics,
    over_folds,
    regression_metrics,
)
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.targets import composition_words

NAMES = {
    "mean": "the training rows' mean (of a class, its share)",
    "formula": "a random forest on the elements of the formula alone",
}
_TREES = 100
_LEAF = 3  # rows; of probabilities, which one row would make 0 or 1


def baselines(job: Job) -> dict[str, dict[str, Any]]:
    """Return the metrics over folds, by baseline and target."""
    features = element_features(job.table.sentences)
    found: dict[str, dict[str, Any]] = {name: {} for name in NAMES}
    for i, target in enumerate(job.targets):
        labels = job.table.targets[:, i]
        folds: dict[str, list] = {name: [] for name in NAMES}
        for fold in job.folds:
            train = fold.train[~np.isnan(labels[fold.train])]
            mean = labels[train].mean()
            predicted = {
                "mean": np.full(len(fold.test), mean),
                "formula": forest(
                    features[train],
                    labels[train],
                    features[fold.test],
                    is_class=bool(target.positive),
                ),
            }
            for name, values in predicted.items():
                true = labels[fold.test]
                folds[name].append(
                    classification_metrics(values, true)
                    if target.positive
                    else regression_metrics(values, true, training_mean=mean)
                )
        for name, metrics in folds.items():
            found[name][target.name] = over_folds(metrics)
    return found


def element_features(sentences: list[str]) -> Float[np.ndarray, "N F"]:
    """Return the counts of each element in a formula, and their shares."""
    formulas = [
        {element: float(count) for element, count in composition_words(s).items()}
        for s in sentences
    ]
    elements = sorted({element for formula in formulas for element in formula})
    counts = np.array([[f.get(e, 0.0) for e in elements] for f in formulas])
    atoms = counts.sum(axis=1, keepdims=True)
    return np.hstack([counts, counts / atoms, atoms])


def forest(
    features: Float[np.ndarray, "n F"],
    labels: Float[np.ndarray, " n"],
    asked: Float[np.ndarray, "m F"],
    *,
    is_class: bool,
) -> Float[np.ndarray, " m"]:
    """Return what a random forest predicts: numbers, or the probability of class 1."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    settings = {"n_estimators": _TREES, "random_state": 0, "n_jobs": usable_cores()}
    if is_class:
        model = RandomForestClassifier(min_samples_leaf=_LEAF, **settings)
        model.fit(features, labels.astype(int))
    else:
        model = RandomForestRegressor(max_features=1 / 3, **settings)
        model.fit(features, labels)
    model.n_jobs = 1  # threads would add trees in any order, and change the last digits
    if not is_class:
        return model.predict(asked)
    return model.predict_proba(asked)[:, model.classes_.tolist().index(1)]
