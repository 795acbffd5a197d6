"""Score predictions on MatBench Discovery, draw the figures and write a submission."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from cloud_jax.datasets.discovery import WBM_ARRAYS, WBM_SUMMARY
from cloud_jax.datasets.download import find
from cloud_jax.evaluation.results import read_results, refuse_other_results
from cloud_jax.files import file_sha256, write_json
from cloud_jax.studies.discovery import stability, submission
from cloud_jax.studies.discovery.metrics import error_metrics
from cloud_jax.studies.discovery.tables import (
    E_FORM,
    UNIQUE,
    Predictions,
    read_note,
    read_predictions,
    read_reference,
)


class Reference(NamedTuple):
    """The distances to the hull, where they are known.

    Attributes:
        path: their file, or None.
        is_published: whether it is the published summary of WBM.
        table: see `read_reference`, or None.
        absent: sentences on metrics that cannot be computed, and the file they need.
    """

    path: Path | None
    is_published: bool
    table: pd.DataFrame | None
    absent: list[str]


def run(
    run: Path,
    *,
    summary: Path | None,
    data_dir: Path,
    output: Path,
    target: str,
    metadata: Path | None,
) -> dict[str, Any]:
    """Score predictions; what lacks a file is left out and listed.

    Args:
        run: work directory of a finished fine-tuning run, or CSV of predictions.
        summary: table of hull distances; the published one in `data_dir` without it.
        data_dir: folder of the published files.
        output: folder of results.json, figures and submission.
        target: target of the run, or column of the CSV; empty for the usual one.
        metadata: YAML of fields of the submission, or None.

    Returns:
        The content of results.json.

    Raises:
        ValueError: predictions, reference, metadata or folder that cannot be used.
        OSError: a file cannot be read or written.
    """
    from cloud_jax.studies.discovery import figures  # loads matplotlib

    refuse_other_results(output, "discovery")
    file, origin = run, {}
    predictions = read_predictions(file, target)
    if file.is_dir():
        file, origin = file / "predictions.csv", read_results(file)
    # Mistakes in the metadata come to light before anything is computed.
    fields = submission.read_fields(metadata, origin)
    reference = _find_reference(summary, data_dir)
    true, source = _find_true_energies(predictions, reference.table, data_dir)
    scores, energies, distances = _score(predictions, reference, true)
    results: dict[str, Any] = {
        "kind": "discovery",
        "benchmark": "discovery",
        "run": str(run),
        "column": predictions.column,
        **_provenance(file, origin, reference, source),
        **scores,
    }
    output.mkdir(parents=True, exist_ok=True)
    results["figures"] = figures.draw_figures(output, energies, distances, results)
    results["submission"] = submission.write_submission(
        output,
        predictions.energy,
        fields,
        metrics=results.get("stability") if reference.is_published else None,
    )
    write_json(output / "results.json", results)
    return results


def _score(
    predictions: Predictions, reference: Reference, true: pd.Series
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame | None]:
    """Return the metrics, and the energies and distances that they are computed from.

    Args:
        predictions: of the model.
        reference: distances to the hull, where they are known.
        true: true formation energies by id, eV/atom.
    """
    table, absent = reference.table, reference.absent
    known = true.index if table is None else true.index.union(table.index)
    n_unknown = stability.unknown_ids(predictions, known, reference.is_published)
    energy = predictions.energy.reindex(true.index)
    energies = stability.both_known(true, energy)
    scores: dict[str, Any] = {
        "predictions_without_reference": n_unknown,
        "formation_energy": error_metrics(true.to_numpy(), energy.to_numpy()),
    }
    distances = None
    if table is not None:
        distances, n_outliers, lost = stability.distances(table, true, predictions)
        scores["outliers"] = n_outliers
        scores |= stability.judge(distances, table)
        absent = absent + lost
    return scores | {"absent": absent}, energies, distances


def _provenance(
    file: Path, origin: dict[str, Any], reference: Reference, source: str
) -> dict[str, Any]:
    """Return the notes, origins and hashes of what was read, for results.json."""
    notes, hashes = [origin.get("note")], {"predictions": file_sha256(file)}
    if reference.path:
        notes.append(read_note(reference.path))
        hashes["summary"] = file_sha256(reference.path)
    return {
        "note": " ".join(f"{note.rstrip('. ')}." for note in notes if note),
        "reference": {
            "formation_energy": source,
            "hull": reference.path.name if reference.path else None,
            "hull_is_published": reference.is_published,
        },
        "hashes": hashes,
    }


def _find_reference(summary: Path | None, data_dir: Path) -> Reference:
    """Find and read the distances to the hull."""
    path = summary or find(WBM_SUMMARY, data_dir)
    wanted = (
        f"{WBM_SUMMARY.name}, published at {WBM_SUMMARY.page}: put it into {data_dir}"
    )
    if path is None:
        absent = (
            "F1, DAF, precision, recall, accuracy, the rates, ROC-AUC and R2 of the "
            f"hull distance need {wanted}, or give your own table as --summary."
        )
        return Reference(None, False, None, [absent])
    table, absent = read_reference(path), []
    if UNIQUE not in table:
        absent.append(
            f"The unique prototypes and the 10,000 most stable of them need a column "
            f"{UNIQUE}, which {path.name} lacks and which is in {wanted}."
        )
    is_published = path.name.startswith(WBM_SUMMARY.name) and (
        find(WBM_SUMMARY, path.parent) == path
    )
    return Reference(path, is_published, table, absent)


def _find_true_energies(
    predictions: Predictions, table: pd.DataFrame | None, data_dir: Path
) -> tuple[pd.Series, str]:
    """Return the true formation energies by id, and where they are from."""
    in_table = table is not None and E_FORM in table
    arrays = None if in_table else find(WBM_ARRAYS, data_dir)
    found = stability.true_energies(predictions, table, arrays)
    if found is None:
        raise ValueError(
            f"neither the predictions nor {data_dir} have the true formation energies: "
            f"put {WBM_SUMMARY.name} there, published at {WBM_SUMMARY.page}, or give "
            "a table with material_id, e_above_hull and e_form_per_atom as --summary"
        )
    return found
