"""The numbers of a finished run: errors per fold, ensemble and member."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from cloud_jax.arguments import command_line
from cloud_jax.evaluation.metrics import over_folds, regression_metrics
from cloud_jax.finetuning.folds import overlaps
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.labels import label_counts
from cloud_jax.finetuning.loop import Trained
from cloud_jax.models.seen import describe_learned
from cloud_jax.training.state import count_parameters


def fold_predictions(
    job: Job, trained: Trained, index: int
) -> tuple[Float[np.ndarray, "n P"], Float[np.ndarray, "n P"]]:
    """Return mean and spread over the members of a fold, for its test rows.

    The spread is the standard deviation of a sample, NaN of one member.
    """
    values = trained.values[job.members_of(index)][:, job.folds[index].test]
    if len(values) > 1:
        spread = values.std(axis=0, ddof=1)
    else:
        spread = np.full(values.shape[1:], np.nan)
    return values.mean(axis=0), spread


def results(job: Job, trained: Trained) -> dict[str, Any]:
    """Return the content of results.json."""
    config = job.config
    folds = [fold_results(job, trained, index) for index in range(len(job.folds))]
    one_member = jax.tree.map(lambda leaf: leaf[0], trained.params)
    return {
        "kind": "finetune",
        "benchmark": config.benchmark,
        "note": config.note,
        "table": config.data.table,
        "targets": [target._asdict() for target in job.targets],
        "members_a_fold": config.members,
        "figures": [
            {"file": "parity.png", "caption": "predicted against true, all test rows"}
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
        "validation_mae_over_mad": float(trained.score.mean()),
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
        return {
            target.name: regression_metrics(
                values[:, i],
                job.table.targets[fold.test, i],
                training_mean=training_mean[i],
            )
            for i, target in enumerate(job.targets)
        }

    first = job.members[chosen[0]]
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
                "validation_mae_over_mad": float(trained.score[i]),
                "best_epoch": int(trained.epoch[i]),
                "test": metrics(trained.values[i, fold.test]),
            }
            for i in chosen
        ],
    }


def format_summary(found: dict[str, Any], workdir: Path) -> str:
    """Return the table and the next command that end a run, from results.json."""
    lines = [
        f"\nTest rows of {len(found['folds'])} fold(s), protocol {found['protocol']}, "
        f"{found['parameters_of_a_member']:,} parameters per member\n",
        f"{'target':28}{'':10}{'MAE':>12}{'RMSE':>12}{'R2':>8}{'MAE/MAD':>9}",
    ]
    for kind in ("ensemble", "single"):
        for name, numbers in found[kind].items():
            lines.append(
                f"{name:28.28}{kind:10}"
                # None where no test row has a label, or all have the same.
                + "".join(
                    f"{'-' if mean is None else format(mean, digits):>{width}}"
                    for mean, digits, width in (
                        (numbers["mae"]["mean"], ".5g", 12),
                        (numbers["rmse"]["mean"], ".5g", 12),
                        (numbers["r2"]["mean"], ".4f", 8),
                        (numbers["mae_over_mad_train_mean"]["mean"], ".4f", 9),
                    )
                )
            )
    if known := found.get("checkpoint_learned"):  # absent from earlier versions
        lines.append(f"\nthe encoder had learned from: {known}")
    predict = command_line(["cloud-jax", "predict", "--checkpoint", str(workdir)])
    files = "results.json, predictions.csv, parity.png"
    lines.append(f"\n{workdir}/: {files}\n{predict} FILE...")
    return "\n".join(lines)
