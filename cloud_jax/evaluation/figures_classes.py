"""The figure of classes; apart, since scikit-learn comes with fine-tuning only."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.metrics import roc_auc_score, roc_curve

from cloud_jax.evaluation.figures import (
    COLOURS,
    FONT,
    make_panels,
    plain,
    save,
    write_note,
)
from cloud_jax.evaluation.metrics import reliability


def class_plot(
    path: str | Path,
    label: Float[np.ndarray, "N P"],
    probability: Float[np.ndarray, "N P"],
    *,
    names: Sequence[str],
) -> None:
    """Draw how reliable probabilities are, and their ROC curve, two panels per class.

    Args:
        path: the figure; its suffix is the format.
        label: 1 for rows of the class, 0 for others, NaN where there is no label.
        probability: of the class, for the same rows.
        names: of the probabilities.
    """
    figure, axes = make_panels(2 * len(names))
    for i, name in enumerate(names):
        reliable, roc = axes[2 * i : 2 * i + 2]
        for axis in (reliable, roc):
            axis.plot((0, 1), (0, 1), color="0.5", lw=0.8)
            axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal")
        reliable.set_xlabel(f"predicted {plain(name)}")
        reliable.set_ylabel("share of the class")
        roc.set_xlabel(f"false positive rate, {plain(name)}")
        roc.set_ylabel("true positive rate")
        known = ~np.isnan(label[:, i])
        true, found = label[known, i].astype(int), probability[known, i]
        if not known.any():
            continue
        mean, share, count = (
            np.array(x) for x in zip(*reliability(found, true), strict=True)
        )
        reliable.plot(mean, share, color=COLOURS[0], lw=1)
        sizes = 12 + 60 * count / count.max()
        reliable.scatter(mean, share, s=sizes, color=COLOURS[0], alpha=0.7, lw=0)
        write_note(reliable, f"{count.sum():,} rows in bins of 0.1")
        if np.ptp(true):
            false_rate, true_rate, _ = roc_curve(true, found)
            roc.step(false_rate, true_rate, where="post", color=COLOURS[0], lw=1.2)
            roc.text(0.96, 0.04, f"area {roc_auc_score(true, found):.3f}",
                     transform=roc.transAxes, ha="right", **FONT)  # fmt: skip
    save(figure, path)
