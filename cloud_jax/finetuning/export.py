"""The model folder of a run: its members as one ensemble, ready for prediction."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from cloud_jax.finetuning.calibration import calibrate
from cloud_jax.finetuning.job import Job
from cloud_jax.finetuning.loop import Trained
from cloud_jax.finetuning.steps import Scale
from cloud_jax.models.folder import save_model


def write_model(directory: Path, job: Job, trained: Trained) -> None:
    """Write the members of all folds as one model folder."""
    config, params = job.config, trained.params
    if job.law is None:
        params = unscale_output(params, trained.scale)
    save_model(
        directory,
        description={
            "kind": "property",
            **job.start.origin,
            "encoder": dataclasses.asdict(job.start.encoder) | {"dtype": "float32"},
            "head": {
                "kind": "physics" if job.law else "regression",
                "layers": config.head.layers,
                "law": config.head.law or None,
                "outputs": job.model.outputs,
            },
            "targets": [
                target._asdict() | {"mean": 0.0, "scale": 1.0} for target in job.targets
            ],
            "members": len(job.members),
            "calibration": calibrate(job, trained),
            "domain": domain(job),
            "provenance": {
                "protocol": config.folds.protocol,
                "hashes": job.hashes,
                "folds": [fold.name for fold in job.folds],
            },
        },
        vocabulary=job.start.vocabulary,
        params=params,
    )


def domain(job: Job) -> dict[str, Any]:
    """Return what the members have seen, by which prediction flags what they have not.

    Validation rows count: they chose the parameters.
    """
    seen = np.unique(
        np.concatenate([np.union1d(m.train, m.validation) for m in job.members])
    )
    sentences = [job.table.sentences[row] for row in seen]
    tokens = [job.table.tokens[row] for row in seen]
    return {
        "n": len(seen),
        "token_ids": sorted({token for row in tokens for token in row}),
        "symmetries": sorted({s.partition(" | ")[0] for s in sentences}),
        "longest": max(map(len, tokens)),
    }


def unscale_output(params: dict[str, Any], scale: Scale) -> dict[str, Any]:
    """Return parameters whose last layer puts out targets in their own units.

    Members differ in their scaling, which the model folder then need not hold.
    """
    output = params["head"]["output"]
    output = {
        "kernel": output["kernel"] * scale.std[:, None, :],
        "bias": output["bias"] * scale.std + scale.mean,
    }
    return params | {"head": params["head"] | {"output": output}}
