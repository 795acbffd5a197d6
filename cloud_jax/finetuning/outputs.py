"""What a fine-tuning run leaves: results, predictions, figure, model folder."""

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from cloud_jax.datasets.matbench import MatbenchSource
from cloud_jax.evaluation.leaderboard_file import (
    FOLDS,
    LeaderboardError,
    write_matbench,
)
from cloud_jax.evaluation.metrics import over_folds, regression_metrics
from cloud_jax.files import atomic_open, write_json
from cloud_jax.finetuning.calibration import calibrate
from cloud_jax.finetuning.folds import overlaps
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.trained import Trained
from cloud_jax.models.folder import save_model
from cloud_jax.training.state import count_parameters

_COLUMNS = ("fold", "id", "target", "unit", "true", "predicted", "std")
_COLUMNS += ("space_group", "volume_a3")


def announce(job: Job) -> None:
    """Print what will be trained on what."""
    table = job.table
    print(table.summary())
    if table.rejects:
        print(f"all {len(table.rejects):,} are in {job.config.workdir}/rejects.csv")
    for index, fold in enumerate(job.folds):
        members = [member for member in job.members if member.fold == index]
        twins = len(overlaps(table.sentences, fold))
        print(
            f"fold {fold.name}: {len(members)} members, {len(members[0].train):,} "
            f"training, {len(members[0].validation):,} validation, "
            f"{len(fold.test):,} test rows, {twins} of them with the sentence of a "
            "training row"
        )


def fold_predictions(
    job: Job, trained: Trained, index: int
) -> tuple[Float[np.ndarray, "n P"], Float[np.ndarray, "n P"]]:
    """Mean and spread over the members of a fold, for its test rows."""
    chosen = [i for i, member in enumerate(job.members) if member.fold == index]
    values = trained.values[chosen][:, job.folds[index].test]
    several = len(chosen) > 1
    spread = (
        values.std(axis=0, ddof=1) if several else np.full(values.shape[1:], np.nan)
    )
    return values.mean(axis=0), spread


def write_predictions(path: Path, job: Job, trained: Trained) -> None:
    """Write one row for each fold, test row and target.

    The volume is that of the primitive cell; it and the space group are empty where
    the table does not say.
    """
    table = job.table
    with atomic_open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for index, fold in enumerate(job.folds):
            means, spreads = fold_predictions(job, trained, index)
            for row, mean, spread in zip(fold.test, means, spreads, strict=True):
                for i, target in enumerate(job.targets):
                    name = fold.name, table.ids[row], target.name, target.unit
                    numbers = table.targets[row, i], mean[i], spread[i]
                    volume = table.volume[row]
                    crystal = (
                        table.space_group[row] or "",
                        f"{volume:.6g}" if np.isfinite(volume) else "",
                    )
                    writer.writerow((*name, *(f"{x:.9g}" for x in numbers), *crystal))


def write_leaderboard(path: Path, job: Job) -> None:
    """Write MatBench's own results file of a run on one of its tasks, or say why not.

    It is made of predictions.csv beside it, so also for a run that finished long ago.
    """
    kind, _, task = job.config.data.table.partition(":")
    if kind != "matbench":
        return
    source = MatbenchSource.from_word(task, job.config.data.folder)
    predictions: dict[str, dict[str, float]] = {}
    true: dict[str, float] = {}
    with (path.parent / "predictions.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            predictions.setdefault(row["fold"], {})[row["id"]] = float(row["predicted"])
            true[row["id"]] = float(row["true"])
    settings = job.config.optimizer.to_dict() | {"members": job.config.members}
    try:
        if (found := [t.name for t in job.targets]) != [source.targets[0].column]:
            raise LeaderboardError(
                f"{source.name}: found targets {', '.join(found)}, expected "
                f"{source.targets[0].column} alone"
            )
        write_matbench(
            path,
            source.name,
            predictions,
            true,
            source.official_folds(),
            parameters=dict.fromkeys(FOLDS, settings),
            metadata={
                "algorithm": "cloud_jax",
                "checkpoint_sha256": job.hashes.get("checkpoint"),
            },
        )
    except LeaderboardError as error:
        print(f"no {path.name}: {error}")


def write_timing(path: Path, workdir: Path) -> None:
    """Write how long all groups trained: of results.json a clock decides nothing."""
    seconds = 0.0
    for log in workdir.glob("members/*/metrics.jsonl"):
        events = map(json.loads, log.read_text().splitlines())
        seconds += sum({event["step"]: event["seconds"] for event in events}.values())
    write_json(path, {"training_seconds": round(seconds, 1)})


def results(job: Job, trained: Trained) -> dict[str, Any]:
    """The content of results.json."""
    folds = []
    for index, fold in enumerate(job.folds):
        chosen = [i for i, member in enumerate(job.members) if member.fold == index]
        mean, _ = fold_predictions(job, trained, index)
        training_mean = job.table.targets[fold.train].mean(axis=0)

        def metrics(values, fold=fold, training_mean=training_mean):
            return {
                target.name: regression_metrics(
                    values[:, i],
                    job.table.targets[fold.test, i],
                    training_mean=training_mean[i],
                )
                for i, target in enumerate(job.targets)
            }

        folds.append(
            {
                "fold": fold.name,
                "n_train": len(job.members[chosen[0]].train),
                "n_validation": len(job.members[chosen[0]].validation),
                "n_test": len(fold.test),
                "test_rows_with_a_training_sentence": len(
                    overlaps(job.table.sentences, fold)
                ),
                "ensemble": metrics(mean),
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
        )
    return {
        "kind": "finetune",
        "benchmark": job.config.benchmark,
        "note": job.config.note,
        "table": job.config.data.table,
        "targets": [target._asdict() for target in job.targets],
        "members_a_fold": job.config.members,
        "figures": [
            {"file": "parity.png", "caption": "predicted against true, all test rows"}
        ],
        "protocol": job.config.folds.protocol,
        "dialect": job.config.data.dialect,
        "checkpoint": job.config.model.checkpoint or None,
        "law": job.config.head.law or None,
        "rows_used": len(job.table.ids),
        "rows_rejected": len(job.table.rejects),
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
        "parameters_of_a_member": count_parameters(
            jax.tree.map(lambda leaf: leaf[0], trained.params)
        )["total"],
        "hashes": job.hashes,
    }


def draw_parity(path: Path, job: Job, trained: Trained, found: dict[str, Any]) -> None:
    """Draw predicted against true of all test rows."""
    from cloud_jax.evaluation.figures import parity_plot

    predicted = [
        fold_predictions(job, trained, index)[0] for index in range(len(job.folds))
    ]
    true = [job.table.targets[fold.test] for fold in job.folds]
    errors = [found["ensemble"][target.name]["mae"]["mean"] for target in job.targets]
    parity_plot(
        path,
        np.concatenate(true),
        np.concatenate(predicted),
        names=[target.name for target in job.targets],
        units=[target.unit for target in job.targets],
        notes=[f"MAE {error:.4g}" for error in errors],
    )


def write_model(directory: Path, job: Job, trained: Trained) -> None:
    """Write the members of all folds as one ensemble, ready for prediction."""
    params = trained.params
    targets = [t._asdict() | {"mean": 0.0, "scale": 1.0} for t in job.targets]
    if job.law is None:
        params = unscale_output(params, trained.scale)
    seen = np.unique(
        np.concatenate([np.union1d(m.train, m.validation) for m in job.members])
    )
    sentences = [job.table.sentences[row] for row in seen]
    tokens = [job.table.tokens[row] for row in seen]
    save_model(
        directory,
        description={
            "kind": "property",
            **job.origin,
            "encoder": dataclasses.asdict(job.encoder) | {"dtype": "float32"},
            "head": {
                "kind": "physics" if job.law else "regression",
                "layers": job.config.head.layers,
                "law": job.config.head.law or None,
                "outputs": job.model.outputs,
            },
            "targets": targets,
            "members": len(job.members),
            "calibration": calibrate(job, trained),
            "domain": {
                "n": len(seen),
                "token_ids": sorted({token for row in tokens for token in row}),
                "symmetries": sorted({s.partition(" | ")[0] for s in sentences}),
                "longest": max(map(len, tokens)),
            },
            "provenance": {
                "protocol": job.config.folds.protocol,
                "hashes": job.hashes,
                "folds": [fold.name for fold in job.folds],
            },
        },
        vocabulary=job.vocabulary,
        params=params,
    )


def unscale_output(params: Any, scale: Any) -> Any:
    """Let the last layer put out targets in their own units.

    Members differ in their scaling, which the model folder then need not know.
    """
    output = params["head"]["output"]
    output = {
        "kernel": output["kernel"] * scale.std[:, None, :],
        "bias": output["bias"] * scale.std + scale.mean,
    }
    return params | {"head": params["head"] | {"output": output}}


def format_summary(found: dict[str, Any], workdir: Path) -> str:
    """What a person sees last."""
    lines = [
        f"\nTest rows of {len(found['folds'])} fold(s), protocol {found['protocol']}, "
        f"{found['parameters_of_a_member']:,} parameters a member\n",
        f"{'target':28}{'':10}{'MAE':>12}{'RMSE':>12}{'R2':>8}{'MAE/MAD':>9}",
    ]
    for kind in ("ensemble", "single"):
        for name, numbers in found[kind].items():
            mean = {key: value["mean"] for key, value in numbers.items()}
            over_mad, r2 = mean["mae_over_mad_train_mean"], mean["r2"]
            lines.append(
                f"{name:28.28}{kind:10}{mean['mae']:12.5g}{mean['rmse']:12.5g}"
                + "".join(
                    f"{x:{width}.4f}" if x is not None else f"{'-':>{width}}"
                    for x, width in ((r2, 8), (over_mad, 9))
                )
            )
    lines.append(
        f"\n{workdir}/: results.json, predictions.csv, parity.png\n"
        f"python -m cloud_jax.predict --checkpoint {workdir} FILE..."
    )
    return "\n".join(lines)
