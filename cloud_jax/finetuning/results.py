"""The numbers of a finished run: errors per fold, ensemble and member."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy.special import expit

from cloud_jax.arguments import command_line
from cloud_jax.evaluation.metrics import (
    classification_metrics,
    over_folds,
    regression_metrics,
)
from cloud_jax.finetuning.baselines import NAMES as BASELINES
from cloud_jax.finetuning.baselines import baselines
from cloud_jax.finetuning.classes import temperature
from cloud_jax.finetuning.folds import overlaps
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.labels import label_counts
from cloud_jax.finetuning.loop import Trained
from cloud_jax.finetuning.targets import are_classes, validation_measure
from cloud_jax.models.seen import describe_learned
from cloud_jax.training.state import count_parameters

# File and caption of the figures of numbers and of classes.
FIGURES = (
    ("parity.png", "predicted against true, all test rows"),
    ("classes.png", "reliability of probabilities and ROC curve, all test rows"),
)
# Metric, head, format and width of the columns of the summary.
_NUMBERS = (
    ("mae", "MAE", ".5g", 12), ("rmse", "RMSE", ".5g", 12), ("r2", "R2", ".4f", 8),
    ("mae_over_mad_train_mean", "MAE/MAD", ".4f", 9),
)  # fmt: skip
_CLASSES = (
    ("roc_auc", "ROC-AUC", ".4f", 9), ("balanced_accuracy", "bal.acc.", ".4f", 10),
    ("accuracy", "accuracy", ".4f", 10), ("log_loss", "log loss", ".4f", 10),
    ("expected_calibration_error", "ECE", ".4f", 9),
)  # fmt: skip


def kinds(job: Job) -> tuple[bool, bool]:
    """Return whether a job has targets that are numbers, and ones that are classes."""
    classes = are_classes(job.targets)
    return not classes.all(), bool(classes.any())


def fold_predictions(
    job: Job, trained: Trained, index: int
) -> tuple[Float[np.ndarray, "n P"], Float[np.ndarray, "n P"]]:
    """Return mean and spread over the members of a fold, for its test rows.

    Of a class they are those of its probability. The spread is the standard deviation
    of a sample, NaN of one member.
    """
    values = member_values(job, trained, index)
    if len(values) > 1:
        spread = values.std(axis=0, ddof=1)
    else:
        spread = np.full(values.shape[1:], np.nan)
    return values.mean(axis=0), spread


def member_values(job: Job, trained: Trained, index: int) -> Float[np.ndarray, "m n P"]:
    """Return what each member of a fold predicts for its test rows.

    The temperature of a probability is of rows that members of this fold held out, so
    that no test row has a part in it.
    """
    members = job.members_of(index)
    values = trained.values[members][:, job.folds[index].test]
    for i in np.flatnonzero(are_classes(job.targets)):
        values[..., i] = expit(values[..., i] / temperature(job, trained, i, members))
    return values


def results(job: Job, trained: Trained) -> dict[str, Any]:
    """Return the content of results.json."""
    config = job.config
    folds = [fold_results(job, trained, index) for index in range(len(job.folds))]
    validation = validation_measure(job.targets)
    one_member = jax.tree.map(lambda leaf: leaf[0], trained.params)
    return {
        "kind": "finetune",
        "benchmark": config.benchmark,
        "note": config.note,
        "table": config.data.table,
        "targets": [target._asdict() for target in job.targets],
        "members_a_fold": config.members,
        "figures": [
            {"file": file, "caption": caption}
            for (file, caption), has in zip(FIGURES, kinds(job), strict=True)
            if has
        ],
        "protocol": config.folds.protocol,
        "dialect": config.data.dialect,
        "checkpoint": config.model.checkpoint or None,
        "checkpoint_learned": describe_learned(job.start.learned),
        "law": config.head.law or None,
        "rows_used": len(job.table.ids),
        "rows_rejected": len(job.table.rejects),
        "labels": label_counts(job.table.targets, [t.name for t in job.targets]),
        "ensemble": {
            target.name: over_folds([fold["ensemble"][target.name] for fold in folds])
            for target in job.targets
        },
        "single": {
            target.name: over_folds(
                [m["test"][target.name] for fold in folds for m in fold["members"]],
                ddof=1,
            )
            for target in job.targets
        },
        **({"baselines": baselines(job)} if config.baselines else {}),
        validation: float(trained.score.mean()),
        "folds": folds,
        "parameters_of_a_member": count_parameters(one_member)["total"],
        "hashes": job.hashes,
    }


def fold_results(job: Job, trained: Trained, index: int) -> dict[str, Any]:
    """Return the numbers of one fold: of its ensemble, and of each member alone."""
    fold, chosen = job.folds[index], job.members_of(index)
    # Of all rows that may be trained on, validation rows included, so that the errors
    # of all members are compared with the same deviation.
    training_mean = np.nanmean(job.table.targets[fold.train], axis=0)

    def metrics(values: Float[np.ndarray, "n P"]) -> dict[str, Any]:
        found = {}
        for i, target in enumerate(job.targets):
            column, true = values[:, i], job.table.targets[fold.test, i]
            if target.positive:
                found[target.name] = classification_metrics(column, true)
            else:
                found[target.name] = regression_metrics(
                    column, true, training_mean=training_mean[i]
                )
        return found

    first = job.members[chosen[0]]
    of_members = member_values(job, trained, index)
    return {
        "fold": fold.name,
        "n_train": len(first.train),
        "n_validation": len(first.validation),
        "n_test": len(fold.test),
        "labels": {
            side: label_counts(job.table.targets[rows], [t.name for t in job.targets])
            for side, rows in (
                ("train", first.train),
                ("validation", first.validation),
                ("test", fold.test),
            )
        },
        "test_rows_with_a_training_sentence": len(overlaps(job.table.sentences, fold)),
        "ensemble": metrics(fold_predictions(job, trained, index)[0]),
        "members": [
            {
                "member": job.members[i].number,
                validation_measure(job.targets): float(trained.score[i]),
                "best_epoch": int(trained.epoch[i]),
                "test": metrics(values),
            }
            for i, values in zip(chosen, of_members, strict=True)
        ],
    }


def format_summary(found: dict[str, Any], workdir: Path) -> str:
    """Return the table and the next command that end a run, from results.json."""
    lines = [
        f"\nTest rows of {len(found['folds'])} fold(s), protocol {found['protocol']}, "
        f"{found['parameters_of_a_member']:,} parameters per member",
    ]
    of_baselines = found.get("baselines", {})
    kinds_of = {kind: found[kind] for kind in ("ensemble", "single")} | of_baselines
    for columns in (_NUMBERS, _CLASSES):
        key = columns[0][0]
        table = [
            f"{name:28.28}{kind:10}"
            # None where no test row has a label, or all have the same.
            + "".join(
                f"{'-' if mean is None else format(mean, digits):>{width}}"
                for name_of, _, digits, width in columns
                for mean in [numbers[name_of]["mean"]]
            )
            for kind, of_kind in kinds_of.items()
            for name, numbers in of_kind.items()
            if key in numbers
        ]
        if table:
            heads = "".join(f"{head:>{width}}" for _, head, _, width in columns)
            lines += ["", f"{'target':38}{heads}", *table]
    if of_baselines:
        lines += ["", *(f"{name}: {BASELINES[name]}" for name in of_baselines)]
    if known := found.get("checkpoint_learned"):  # absent from earlier versions
        lines.append(f"\nthe encoder had learned from: {known}")
    predict = command_line(["cloud-jax", "predict", "--checkpoint", str(workdir)])
    drawn = found.get("figures", [{"file": FIGURES[0][0]}])  # absent from earlier ones
    figures = ", ".join(figure["file"] for figure in drawn)
    files = f"results.json, predictions.csv, {figures}"
    lines.append(f"\n{workdir}/: {files}\n{predict} FILE...")
    return "\n".join(lines)
