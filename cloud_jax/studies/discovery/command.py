"""Judge a model on MatBench Discovery: from formation energies to stable crystals.

    python -m cloud_jax.discovery runs/discovery
    python -m cloud_jax.discovery predictions.csv --summary hull.csv --output out/

RUN is the work directory of a finished fine-tuning run whose test rows are WBM, or a
CSV of material_id and predicted formation energy. Its folder then has discovery/ with
results.json, figures, and the files of a submission to the leaderboard.
"""

import argparse
import datetime
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from cloud_jax.studies.discovery.tables import Predictions

_EPILOG = """\
Which crystals are stable needs their distance to the convex hull of Materials Project:
the published file 2023-12-13-wbm-summary.csv.gz, found in --data-dir, or a table of
yours (--summary) with material_id, e_above_hull (eV/atom), and if known
unique_prototype and e_form_per_atom. Without it the errors of the formation energy are
computed; each result says what is missing and where it is published.

--metadata is a YAML of what only you know, in the leaderboard's words: model_name,
model_key, authors (name, affiliation, email ...), doi, paper, repo, pr_url,
checkpoint_url, license, training_sets, training_cost, notes ...

exit status: 0 done, 1 something to correct, 2 wrong usage
"""
_CAPTIONS = {
    "parity.png": "Formation energy, predicted against true",
    "roc.png": "Receiver operating characteristic, as Figure S1",
    "thresholds.png": "Precision, recall and F1 by threshold, as Table S5",
    "hull.png": "Distance to the hull: predicted against true; error by true distance",
}


def parse(words: list[str] | None) -> argparse.Namespace:
    """Parse the command line without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.discovery",
        description="The metrics of MatBench Discovery, figures and a submission.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="work directory, or CSV of predictions")
    add("--summary", type=Path, metavar="FILE", help="hull distances, see below")
    add("--data-dir", type=Path, default=Path("data"), help="looked in (default: data)")
    add("--output", type=Path, metavar="DIR", help="(default: RUN/discovery)")
    add(
        "--target",
        default="",
        metavar="NAME",
        help="target of the run, or column of the CSV (default: e_form_per_atom)",
    )
    add("--metadata", type=Path, metavar="FILE", help="of the submission, see below")
    arguments = parser.parse_args(words)
    if arguments.output is None:
        if not arguments.run.is_dir() and arguments.run.exists():
            parser.error("argument --output: is needed where RUN is a file")
        arguments.output = arguments.run / "discovery"
    return arguments


def main(words: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = parse(words)
    try:
        return run(arguments)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: results.json was not written", file=sys.stderr)
        return 130


def run(arguments: argparse.Namespace) -> int:
    """Read, measure, write and show."""
    from cloud_jax.evaluation.results import read_results, refuse_other_results
    from cloud_jax.files import atomic_write, file_sha256
    from cloud_jax.studies.discovery import stability
    from cloud_jax.studies.discovery.metrics import error_metrics
    from cloud_jax.studies.discovery.summary import format_summary
    from cloud_jax.studies.discovery.tables import read_note, read_predictions

    refuse_other_results(arguments.output, "discovery")
    file, origin = arguments.run, {}
    predictions = read_predictions(file, arguments.target)
    if file.is_dir():
        file, origin = file / "predictions.csv", read_results(file)
    fields = _fields(arguments, origin)
    path, published, reference, absent = _reference(arguments)
    true, source = _true_energies(predictions, reference, arguments.data_dir)
    known = true.index if reference is None else true.index.union(reference.index)
    strange = stability.unknown_ids(predictions, known, published)
    energy = predictions.energy.reindex(true.index)
    both = stability.both_known(true, energy)
    notes = [origin.get("note"), read_note(path) if path else None]
    results: dict[str, Any] = {
        "kind": "discovery",
        "benchmark": "discovery",
        "run": str(arguments.run),
        "column": predictions.column,
        "note": " ".join(f"{note.rstrip('. ')}." for note in notes if note),
        "reference": {
            "formation_energy": source,
            "hull": path.name if path else None,
            "hull_is_published": published,
        },
        "hashes": {"predictions": file_sha256(file)}
        | ({"summary": file_sha256(path)} if path else {}),
        "predictions_without_reference": strange,
        "formation_energy": error_metrics(true.to_numpy(), energy.to_numpy()),
    }
    distances = None
    if reference is not None:
        distances, results["outliers"], lost = stability.distances(
            reference, true, predictions
        )
        absent += lost
        results |= stability.judge(distances, reference)
    results["absent"] = absent
    arguments.output.mkdir(parents=True, exist_ok=True)
    draw = _draw(arguments.output, both, distances, results)
    results["figures"] = [{"file": name, "caption": _CAPTIONS[name]} for name in draw]
    results["submission"] = _submit(arguments.output, predictions, fields, results)
    atomic_write(
        arguments.output / "results.json", json.dumps(results, indent=2) + "\n"
    )
    print(format_summary(results, arguments.output))
    return 0


def _reference(
    arguments: argparse.Namespace,
) -> "tuple[Path | None, bool, pd.DataFrame | None, list[str]]":
    """Find and read the hull: its file, whether it is the published one, its table.

    The last is what cannot be computed without what is missing, in sentences.
    """
    from cloud_jax.datasets.discovery import WBM_SUMMARY
    from cloud_jax.datasets.download import find
    from cloud_jax.studies.discovery.tables import UNIQUE, read_reference

    path = arguments.summary or find(WBM_SUMMARY, arguments.data_dir)
    wanted = (
        f"{WBM_SUMMARY.name}, published at {WBM_SUMMARY.page}: put it into "
        f"{arguments.data_dir}"
    )
    if path is None:
        return None, False, None, [
            "F1, DAF, precision, recall, accuracy, the rates, ROC-AUC and R2 of the "
            f"hull distance need {wanted}, or give a table of yours as --summary."
        ]  # fmt: skip
    table = read_reference(path)
    absent = []
    if UNIQUE not in table:
        absent.append(
            f"The unique prototypes and the 10,000 most stable of them need a column "
            f"{UNIQUE}, which {path.name} has not, and which is in {wanted}."
        )
    published = path.name.startswith(WBM_SUMMARY.name) and (
        find(WBM_SUMMARY, path.parent) == path
    )
    return path, published, table, absent


def _true_energies(
    predictions: "Predictions", reference: "pd.DataFrame | None", data_dir: Path
) -> "tuple[pd.Series, str]":
    """True formation energies by id, and where they are from."""
    from cloud_jax.datasets.discovery import WBM_ARRAYS, WBM_SUMMARY
    from cloud_jax.datasets.download import find
    from cloud_jax.studies.discovery.stability import true_energies
    from cloud_jax.studies.discovery.tables import E_FORM

    said = reference is not None and E_FORM in reference
    arrays = None if said else find(WBM_ARRAYS, data_dir)
    found = true_energies(predictions, reference, arrays)
    if found is None:
        raise ValueError(
            f"neither the predictions nor {data_dir} say the true formation energies: "
            f"put {WBM_SUMMARY.name} there, published at {WBM_SUMMARY.page}, or give "
            "a table with material_id, e_above_hull and e_form_per_atom as --summary"
        )
    return found


def _draw(
    folder: Path,
    energies: "pd.DataFrame",
    distances: "pd.DataFrame | None",
    results: dict[str, Any],
) -> list[str]:
    """Draw what there is; the names of the files."""
    from cloud_jax.studies.discovery import figures
    from cloud_jax.studies.discovery.metrics import roc_points
    from cloud_jax.studies.paper import table

    mae = results["formation_energy"]["mae"]
    columns = (energies[name].to_numpy() for name in ("true", "predicted"))
    figures.parity_plot(folder / "parity.png", *columns, mae=mae)
    drawn = ["parity.png"]
    if distances is None:
        return drawn
    both = distances.dropna()
    true, found = both.true.to_numpy(), both.predicted.to_numpy()
    if (auc := results["stability"]["full"]["roc_auc"]) is not None:
        figures.roc_plot(
            folder / "roc.png",
            roc_points(true, found),
            auc=auc,
            points=results["thresholds"],
        )
        drawn.append("roc.png")
    rows = {
        float(threshold): {
            {"tpr": "recall"}.get(column, column): cell.value
            for column, cell in zip(table("S5").columns, cells, strict=True)
        }
        for threshold, cells in table("S5").cells.items()
    }
    figures.threshold_plot(folder / "thresholds.png", results["curve"], paper=rows)
    figures.hull_plot(folder / "hull.png", true, found)
    return [*drawn, "thresholds.png", "hull.png"]


def _fields(arguments: argparse.Namespace, origin: dict[str, Any]) -> dict[str, Any]:
    """What the submission says of the model; looked at before anything is computed."""
    import yaml

    from cloud_jax import __version__
    from cloud_jax.studies.discovery.submission import describe

    user, path = {}, arguments.metadata
    if path:
        try:
            user = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{path}: is no YAML ({error})") from error
        if not isinstance(user, dict):
            raise ValueError(f"{path}: expected fields such as `authors: [...]`")
    trained_on_mp = str(origin.get("table")).startswith("discovery:mp")
    try:
        return describe(
            user,
            version=__version__,
            date=datetime.date.today().isoformat(),
            parameters=origin.get("parameters_of_a_member"),
            members=origin.get("members_a_fold"),
            training_set="MP 2022" if trained_on_mp else None,
            note=str(origin.get("note") or ""),
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _submit(
    folder: Path,
    predictions: "Predictions",
    fields: dict[str, Any],
    results: dict[str, Any],
) -> dict[str, Any]:
    """Write the submission; say what it still needs."""
    from cloud_jax.studies.discovery import submission

    published = results["reference"]["hull_is_published"]
    files = submission.write_submission(
        folder / "submission",
        predictions.energy,
        fields,
        date=datetime.date.today().isoformat(),
        metrics=results.get("stability") if published else None,
    )
    needed, empty = submission.missing_fields(fields)
    return {
        "files": [str(file.relative_to(folder)) for file in files],
        "to_fill_in": needed,
        "null": empty,
    }


if __name__ == "__main__":
    sys.exit(main())
