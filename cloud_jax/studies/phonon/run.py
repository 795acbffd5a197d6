"""Compare finished runs, draw the figures and write results.json."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_jax.datasets.phonon import CV, ID, PhononSource, U
from cloud_jax.evaluation.results import refuse_other_results
from cloud_jax.files import file_sha256, write_json
from cloud_jax.structures.source import SourceError
from cloud_jax.studies.paper import table
from cloud_jax.studies.phonon.errors import Errors, summary, volume_edges
from cloud_jax.studies.phonon.finished_runs import (
    QUANTITIES,
    PhononRun,
    read_runs,
    table_row,
)
from cloud_jax.studies.phonon.heat_capacity import compare_heat_capacities
from cloud_jax.studies.phonon.temperatures import other_temperatures

_CAPTIONS = {
    "violin": "Errors of the test rows, target minus predicted, with the ids of the "
    "largest ones of both signs (Figure 4b). Thick bars: middle half; thin bars: 5th "
    "to 95th percentile.",
    "volume": "Absolute errors of the test rows in six bins of primitive-cell volume "
    "with equally many crystals (Figure 4c). Boxes: middle half; whiskers: 5th to 95th "
    "percentile.",
    "symmetry": "Mean absolute error by crystal system, with the number of test rows "
    "(Figure 4d).",
    "heat_capacity": "C_v against temperature per mol of formula units, up to the "
    "melting point, from labels at 300 K; bands are the model's intervals (Figure 5). "
    "Measured is C_p, which at 300 K lies above C_v by about 1 % in hard oxides and up "
    "to several per cent in soft salts, and by more where it is hotter. The title says "
    "whether the crystal was a test row or the models have learned from it.",
}


def run(folders: Sequence[Path], *, data_dir: str, output: Path) -> dict[str, Any]:
    """Compare runs; what lacks a file is left out and listed.

    Args:
        folders: work directories of finished fine-tuning runs.
        data_dir: folder of the phonon densities of states.
        output: folder of results.json and the figures.

    Returns:
        The content of results.json; `missing` lists what was left out, and why.

    Raises:
        ValueError: a run, a file or the folder that cannot be used.
        OSError: a file cannot be read or written.
    """
    refuse_other_results(output, "phonon")
    runs = read_runs(folders)
    found: dict[str, Any] = {
        "kind": "phonon",
        "table_1": _table_1(runs),
        "figures": [],
        "missing": [],
        "hashes": {
            str(one.folder / name): file_sha256(one.folder / name)
            for one in runs
            for name in ("results.json", "predictions.csv")
        },
        "note": "",
    }
    output.mkdir(parents=True, exist_ok=True)
    _compare_errors(output, runs, found)
    source, labels = _find_phonons(data_dir, found)
    with_law = [one for one in runs if one.law]
    _compare_heat_capacities(output, with_law, source, labels, found)
    if source:
        more, missing = other_temperatures(with_law, source, labels)
        found["other_temperatures"] = more
        found["missing"] += missing
    write_json(output / "results.json", found)
    return found


def _table_1(runs: Sequence[PhononRun]) -> dict[str, Any]:
    """Return the rows of Table 1, ours and the paper's."""
    paper = table("1")
    return {
        "ours": [table_row(one) for one in runs],
        "paper": {
            model: {
                column: cell._asdict()
                for column, cell in zip(paper.columns, cells, strict=True)
            }
            for model, cells in paper.cells.items()
        },
        "deviation_of_the_paper": paper.deviation,
    }


def _compare_errors(
    folder: Path, runs: Sequence[PhononRun], found: dict[str, Any]
) -> None:
    """Draw the errors of all runs, one panel per property, and add their numbers."""
    from cloud_jax.studies.phonon import figures_errors

    by_property: dict[str, list[Errors]] = {}
    for one in runs:
        by_property.setdefault(one.property, []).append(one.errors)
    panels = [
        figures_errors.ErrorPanel(QUANTITIES[name], own)
        for name, own in by_property.items()
    ]
    found["errors"] = {
        name: {one.label: summary(one, volume_edges(own)) for one in own}
        for name, own in by_property.items()
    }
    for name in ("violin", "volume", "symmetry"):
        draw = getattr(figures_errors, f"{name}_plot")
        try:
            draw(folder / f"{name}.png", panels)
        except ValueError as error:
            found["missing"].append(
                f"{name}.png: {error}: columns space_group and volume_a3 of "
                "predictions.csv are empty or missing; fine-tuning again writes them"
            )
        else:
            _add_figure(found, name)


def _find_phonons(
    data_dir: str, found: dict[str, Any]
) -> tuple[PhononSource | None, dict[str, dict[str, float]]]:
    """Look for the published phonons; add their hashes, or that they are missing.

    Returns:
        The source, None where a file of it is missing, and {property: {id: label}}.
    """
    source = PhononSource(name="phonon", data_dir=data_dir)
    try:
        rows = list(source.rows((CV, U)))
        files = [source.path(*files) for files in source.wanted((CV, U))]
    except SourceError as error:
        found["missing"].append(f"curves of phonons, and other temperatures: {error}")
        return None, {}
    found["hashes"] |= {file.name: file_sha256(file) for file in files}
    columns = {"heat_capacity": CV, "internal_energy": U}
    return source, {
        name: {row[ID]: float(row[column]) for row in rows if row.get(column)}
        for name, column in columns.items()
    }


def _compare_heat_capacities(
    folder: Path,
    runs: Sequence[PhononRun],
    source: PhononSource | None,
    labels: dict[str, dict[str, float]],
    found: dict[str, Any],
) -> None:
    """Draw C_v(T) of models with a law, and add the deviations from measurement."""
    from cloud_jax.studies.phonon.figures import heat_capacity_plot

    # A figure shows few curves: those of models that learned C_v, where there are any.
    shown = [one for one in runs if one.property == "heat_capacity"] or list(runs)
    if not shown:
        found["missing"].append(
            "heat_capacity.png: no run has a law (config.head.law), and a regression "
            "head predicts at the temperature of its labels only"
        )
        return
    labelled = labels.get(shown[0].property, ())
    more, materials = compare_heat_capacities(shown, source, labelled)
    found |= more
    heat_capacity_plot(folder / "heat_capacity.png", materials)
    _add_figure(found, "heat_capacity")


def _add_figure(found: dict[str, Any], name: str) -> None:
    """Add a drawn figure with its caption."""
    found["figures"].append({"file": f"{name}.png", "caption": _CAPTIONS[name]})
