"""Small run folders as the commands write them, for the tests of the report."""

import json
import struct
import zlib

from cloud_jax.config import finetuning

HASHES = {"table": "ab" * 32, "vocabulary": "cd" * 32}


def png(width=3, height=2):
    """Return the bytes of a white PNG."""

    def chunk(name, data):
        crc = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", crc)

    rows = zlib.compress((b"\0" + b"\xff" * width) * height)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", rows), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def write(folder, results, **beside):
    """Write a run folder: results.json, its figures, and other JSON files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(json.dumps(results))
    for name, value in beside.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    for figure in results.get("figures", []):
        (folder / figure["file"]).write_bytes(png())
    return folder


def metrics(mae):
    """Return the metrics of one fold; MAE/MAD is half of the MAE."""
    ratios = {"mae_over_mad_train_mean": mae / 2, "mae_over_mad_test_mean": mae / 4}
    return {"mae": mae, "rmse": 2 * mae, "r2": 0.5, **ratios, "n": 253}


def over(values):
    """Return mean and deviation over folds, as `metrics.over_folds` does."""
    mean = sum(values) / len(values)
    std = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
    found = metrics(mean)
    del found["n"]
    return {
        k: {"mean": v, "std": std if k == "mae" and std else None}
        for k, v in found.items()
    }


def finetune(
    folder,
    benchmark="matbench_phonons",
    maes=(30.0, 32.0, 31.0, 33.0, 34.0),
    *,
    n_test=253,
    members=1,
    validation=0.2,
    name="last phdos peak",
    **changes,
):
    """Write a fine-tuning run; the MAE of single members is larger by 1."""
    folds = [
        {
            "fold": f"fold_{i}",
            "n_train": 911,
            "n_validation": 101,
            "n_test": n_test,
            "test_rows_with_a_training_sentence": 0,
            "ensemble": {name: metrics(mae)},
            "members": [
                {"member": j, "test": {name: metrics(mae + 1)}} for j in range(members)
            ],
        }
        for i, mae in enumerate(maes)
    ]
    target = {"name": name, "property": name, "unit": "cm^-1", "basis": ""}
    results = {
        "kind": "finetune",
        "benchmark": benchmark,
        "note": "",
        "table": "matbench:phonons",
        "targets": [{**target, "temperature_k": 0.0}],
        "members_a_fold": members,
        "figures": [{"file": "parity.png", "caption": "predicted against true"}],
        "protocol": "strict",
        "dialect": "canonical",
        "checkpoint": None,
        "law": None,
        "rows_used": n_test * len(maes),
        "rows_rejected": 2,
        "ensemble": {name: over(maes)},
        "single": {name: over([mae + 1 for mae in maes])},
        "validation_mae_over_mad": validation,
        "folds": folds,
        "parameters_of_a_member": 711809,
        "hashes": HASHES,
    }
    config = json.loads(json.dumps(finetuning().to_dict()))
    config["optimizer"]["learning_rate"] = 7e-4
    environment = {
        "cloud_jax": "0.1.0",
        "commit": "0123abcd",
        "python": "3.11.7",
        "command": ["cloud_jax/finetune.py", "--config", "configs/a.py"],
        "versions": {"jax": "0.10.1"},
        "devices": ["cpu", "cpu"],
        "hashes": HASHES,
    }
    timing = {"training_seconds": 334.5}
    beside = {"config": config, "environment": environment, "timing": timing}
    return write(folder, results | changes, **beside)


def pretrain(folder, loss=0.25):
    """Write a pretraining run, whose results do not name their kind."""
    segments = ("symmetry", "wyckoff", "composition")
    results = {"validation_loss": loss, "validation_accuracy": 0.9}
    for what in ("validation", "unigram", "bigram"):
        results |= {f"{what}_loss_{s}": loss for s in segments}
    results |= {"parameters_non_embedding": 614272, "epochs": 3.0, "wall_seconds": 75.0}
    return write(folder, results | {"hashes": HASHES})


def discovery(folder, published=True):
    """Write an evaluation on MatBench Discovery that had the hull."""
    full = {"f1": 0.5, "daf": 2.25, "precision": 0.375, "accuracy": 0.75, "tpr": 0.625}
    full |= {"tnr": 0.875, "mae": 0.0815, "rmse": 0.125, "r2": 0.25, "roc_auc": 0.8125}
    results = {
        "kind": "discovery",
        "note": "",
        "reference": {"hull": "summary.csv.gz", "hull_is_published": published},
        "formation_energy": {"mae": 0.0815, "rmse": 0.125, "r2": 0.9, "n": 256963},
        "stability": {"full": full | {"n": 256963}},
        "thresholds": [{"threshold_ev": 0.05, **full}],
        "absent": ["no unique prototypes: the file has no such column"],
        "figures": [{"file": "roc.png", "caption": "ROC"}],
        "hashes": {},
    }
    return write(folder, results)


def phonon(folder):
    """Write a comparison of heat capacities."""
    some = {"n": 30, "mean_absolute_error": 1.25, "median_absolute_error": 1.0}
    bins = [{"from_a3": 10.0, "to_a3": 52.5, **some}, {"from_a3": 52.5, "to_a3": 900}]
    errors = {"unit": "J/(mol K)", "volume_bins": bins}
    ratio = {"mae_over_mad_train_mean": 0.0625}
    at = {"property": "heat_capacity", "temperature_k": 100.0, "n": 237, **ratio}
    other = {"model": [at], "debye_law_at_best": [ratio]}
    several = {"mae_over_mad_train_mean": {"mean": 0.0625, "std": 0.0025}}
    ours = {"label": "debye", "column": "thermal_cv", "protocol": "strict", "folds": 5}
    ours |= {"test_rows": 1512, "ensemble": several, "single": several}
    curve = {
        "temperature_k": [100.0, 300.0],
        "role": "test",
        "mean_relative_deviation": 0.0275,
    }
    results = {
        "kind": "phonon",
        "note": "",
        "table_1": {"ours": [ours]},
        "errors": {
            "heat_capacity": {"debye": errors | {"crystal_systems": {"cubic": some}}}
        },
        "other_temperatures": {"debye, heat_capacity": other},
        "heat_capacities": {
            "debye": {"MgO": curve | {"points_inside_the_interval": 1}}
        },
        "missing": ["violin.png: no column"],
        "figures": [{"file": "volume.png", "caption": "errors by volume"}],
        "hashes": {},
    }
    return write(folder, results)


def attention(folder):
    """Write the attention of a model with two layers, the first asked for, k = 2."""
    found = {
        "value": 0.75, "interval": [0.7, 0.8],
        "null": 0.5, "null_interval": [0.45, 0.55],
        "difference": 0.25, "difference_interval": [0.2, 0.3],
        "p_greater": 0.0001,
    }  # fmt: skip
    layers = [
        {"layer": i, "mass": 0.5, "top": [{"k": 2, "p1": found, "p2": found}]}
        for i in (1, 2)
    ]
    results = {"kind": "attention", "layers": 2, "layer": 1, "note": ""}
    results |= {"measured": {"special_counted": {"share": 0.625, "layers": layers}}}
    results |= {"verdict": {"special_counted": "holds"}}
    return write(folder, results | {"hashes": {}, "figures": []})


def scaling(folder):
    """Write a fitted scaling law."""
    names = ("A", "B", "E", "alpha", "beta", "a", "b")
    best = {"flops": 1.5e12, "parameters": 2e5, "parameters_interval": [1e5, 3e5]}
    results = {
        "kind": "scaling",
        **{name: i + 0.5 for i, name in enumerate(names)},
        "intervals": {name: [i + 0.25, i + 0.75] for i, name in enumerate(names)},
        "points": 12,
        "optima": [best | {"tokens": 1.25e6, "loss": 1.5}],
        "warnings": ["E is not told apart from 0"],
        "figures": [{"file": "scaling.png", "caption": "the law"}],
        "hashes": {"points": "ef" * 32},
        "note": "",
    }
    return write(folder, results)
