"""The files of a run: predictions, figure, model folder, leaderboard, timing."""

import csv
import json
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from cloud_jax.datasets.matbench import MatbenchSource
from cloud_jax.evaluation.leaderboard_file import (
    FOLDS,
    LeaderboardError,
    write_matbench,
)
from cloud_jax.files import atomic_open, write_json
from cloud_jax.finetuning.calibration import calibrate
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.labels import label_counts
from cloud_jax.finetuning.loop import Trained
from cloud_jax.finetuning.novelty import (
    held_out_distances,
    labelled_chemistry,
    labelled_rows,
)
from cloud_jax.finetuning.results import FIGURES, fold_predictions
from cloud_jax.finetuning.steps import Scale
from cloud_jax.finetuning.targets import Target, are_classes
from cloud_jax.models.folder import encoder_fields, save_model
from cloud_jax.models.seen import pack_sentences
from cloud_jax.training.startup import StartUp

COLUMNS = ("fold", "id", "target", "unit", "true", "predicted", "spread")
COLUMNS += ("space_group", "volume_a3")


def write_predictions(path: Path, job: Job, trained: Trained) -> None:
    """Write one line per fold, test row and target.

    `true` is empty where the row has no label of the target, the space group and the
    volume (of the primitive cell) where the table does not say. Where targets are
    classes, true and predicted are words and another column has the probability, to
    which `std` then belongs.
    """
    table, classes = job.table, job.table.classes or {}
    digits = np.where(job.frame.offset == 0, 9, 15)  # an offset takes most of nine
    with atomic_open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *(["probability"] if classes else [])])
        for index, fold in enumerate(job.folds):
            means, spreads = fold_predictions(job, trained, index)
            for row, mean, spread in zip(fold.test, means, spreads, strict=True):
                volume = table.volume[row]
                crystal = (
                    table.space_group[row] or "",
                    f"{volume:.6g}" if np.isfinite(volume) else "",
                )
                for i, target in enumerate(job.targets):
                    name = fold.name, table.ids[row], target.name, target.unit
                    numbers = [
                        f"{x:.{digits[i]}g}"
                        for x in (table.targets[row, i], mean[i], spread[i])
                    ]
                    probability = [""] if classes else []
                    if words := classes.get(target.name):
                        probability = [numbers[1]]
                        numbers[1] = words[int(mean[i] >= 0.5)]
                        numbers[0] = words[int(table.targets[row, i] == 1)]
                    if np.isnan(table.targets[row, i]):
                        numbers[0] = ""
                    writer.writerow((*name, *numbers, *crystal, *probability))


def draw_figures(
    folder: Path, job: Job, trained: Trained, found: dict[str, Any]
) -> None:
    """Draw predictions of all test rows with a label.

    Numbers are drawn against the true ones in parity.png, the probabilities of classes
    in classes.png.
    """
    from cloud_jax.evaluation.figures import parity_plot
    from cloud_jax.evaluation.figures_classes import class_plot

    predicted = np.concatenate(
        [fold_predictions(job, trained, index)[0] for index in range(len(job.folds))]
    )
    true = np.concatenate([job.table.targets[fold.test] for fold in job.folds])
    classes = are_classes(job.targets)
    means = [found["ensemble"][target.name] for target in job.targets]
    if not classes.all():
        numbers = np.flatnonzero(~classes)
        errors = [means[i]["mae"]["mean"] for i in numbers]
        parity_plot(
            folder / FIGURES[0][0],
            true[:, numbers],
            predicted[:, numbers],
            names=[job.targets[i].name for i in numbers],
            units=[job.targets[i].unit for i in numbers],
            notes=["" if error is None else f"MAE {error:.4g}" for error in errors],
        )
    if classes.any():
        chosen = np.flatnonzero(classes)
        class_plot(
            folder / FIGURES[1][0],
            true[:, chosen],
            predicted[:, chosen],
            names=[job.targets[i].property for i in chosen],
        )


def write_model(directory: Path, job: Job, trained: Trained) -> None:
    """Write the members of all folds as one model folder."""
    config, params = job.config, trained.params
    novelty = distance = None
    if job.law is None:
        params = unscale_output(params, trained.scale)
    elif config.folds.protocol == "strict":
        novelty, distance = held_out_distances(job, params)
    calibration = calibrate(job, trained, distance)
    save_model(
        directory,
        description={
            "kind": "property",
            **job.start.origin,
            "encoder": encoder_fields(job.start.encoder),
            "head": {
                "kind": head_kind(job),
                "layers": config.head.layers,
                "law": config.head.law or None,
                "outputs": job.model.outputs,
            },
            "targets": [
                target._asdict()
                | {"mean": offset, "scale": unit}
                | classes_of(job, target)
                for target, offset, unit in zip(
                    job.targets, *(part.tolist() for part in job.frame), strict=True
                )
            ],
            "members": len(job.members),
            "calibration": calibration,
            "domain": domain(job),
            "provenance": {
                "protocol": config.folds.protocol,
                "hashes": job.hashes,
                "folds": [fold.name for fold in job.folds],
                "learned": learned(job),
            },
        },
        vocabulary=job.start.vocabulary,
        params=params,
        novelty=novelty if "novelty" in calibration else None,
    )


def classes_of(job: Job, target: Target) -> dict[str, Any]:
    """Return the words of a target's classes, that of 0 first; nothing of numbers."""
    found = (job.table.classes or {}).get(target.name)
    return {"classes": list(found)} if found else {}


def head_kind(job: Job) -> str:
    """Return what the head puts out, for model.json."""
    if job.law:
        return "physics"
    return "classification" if are_classes(job.targets).all() else "regression"


def learned(job: Job) -> list[dict[str, Any]] | None:
    """Return the tables that the members have learned from, the run's own last.

    It is None where the checkpoint does not say.
    """
    if job.start.learned is None:
        return None
    names = [target.name for target in job.targets]
    labels = label_counts(job.table.targets[_seen(job)], names)
    table = Path(job.config.data.table).name
    return [*job.start.learned, {"table": table, "labels": labels}]


def _seen(job: Job) -> Int[np.ndarray, " R"]:
    """Return the rows that a member has learned from, or that chose its parameters."""
    return np.unique(
        np.concatenate([np.union1d(m.train, m.validation) for m in job.members])
    )


def domain(job: Job) -> dict[str, Any]:
    """Return what the members have seen, by which prediction flags what they have not.

    Validation rows count: they chose the parameters.
    """
    seen = _seen(job)
    sentences = [job.table.sentences[row] for row in seen]
    tokens = [job.table.tokens[row] for row in seen]
    return {
        "n": len(seen),
        "token_ids": sorted({token for row in tokens for token in row}),
        "symmetries": sorted({s.partition(" | ")[0] for s in sentences}),
        "longest": max(map(len, tokens)),
        "sentences": {
            name: pack_sentences(compress(sentences, has_label))
            for name, has_label in _labelled(job, seen).items()
        },
        **labelled_chemistry(
            job.start.vocabulary,
            [job.table.tokens[row] for row in seen[labelled_rows(job)[seen]]],
        ),
    }


def _labelled(
    job: Job, rows: Int[np.ndarray, " R"]
) -> dict[str, Bool[np.ndarray, " R"]]:
    """Return which rows have a label of each property, at any temperature."""
    known = np.isfinite(job.table.targets[rows])
    properties = np.array([target.property for target in job.targets])
    return {
        name: known[:, properties == name].any(axis=1) for name in np.unique(properties)
    }


def unscale_output(params: dict[str, Any], scale: Scale) -> dict[str, Any]:
    """Return parameters whose last layer puts out targets in the frame of the labels.

    Members differ in their scaling, which the model folder then need not hold.
    """
    output = params["head"]["output"]
    output = {
        "kernel": output["kernel"] * scale.std[:, None, :],
        "bias": output["bias"] * scale.std + scale.mean,
    }
    return params | {"head": params["head"] | {"output": output}}


def write_timing(path: Path, workdir: Path, startup: StartUp) -> None:
    """Write the times of all groups and of this start, apart from results.json.

    Two equal runs then have equal results.
    """
    seconds = waiting = 0.0
    for log in workdir.glob("members/*/metrics.jsonl"):
        # All members of a group log the time of the same epoch.
        events = [json.loads(line) for line in log.read_text().splitlines()]
        epochs = {event["step"]: event for event in events}.values()
        seconds += sum(epoch["seconds"] for epoch in epochs)
        # Absent from epochs of an earlier version.
        waiting += sum(epoch.get("waiting_seconds", 0.0) for epoch in epochs)
    times = {"training_seconds": seconds, "waiting_seconds": waiting}
    found = {name: round(value, 1) for name, value in times.items()}
    write_json(path, found | startup.to_json())


def write_leaderboard(path: Path, job: Job) -> None:
    """Write MatBench's own results file of a run on one of its tasks.

    It is made from predictions.csv beside it, so also for a run that finished before.
    Where the run is not a whole task, a line says why there is no file.
    """
    kind, _, task = job.config.data.table.partition(":")
    if kind != "matbench":
        return
    source = MatbenchSource.from_word(task, job.config.data.folder)
    predictions: dict[str, dict[str, float]] = {}
    true: dict[str, float] = {}
    settings = job.config.optimizer.to_dict() | {"members": job.config.members}
    try:
        if (found := [t.name for t in job.targets]) != [source.targets[0].column]:
            raise LeaderboardError(
                f"{source.name}: found targets {', '.join(found)}, expected "
                f"{source.targets[0].column} alone"
            )
        with (path.parent / "predictions.csv").open(
            newline="", encoding="utf-8"
        ) as file:
            for row in csv.DictReader(file):
                fold = predictions.setdefault(row["fold"], {})
                fold[row["id"]] = float(row["predicted"])
                true[row["id"]] = float(row["true"])
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
