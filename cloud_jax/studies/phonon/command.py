"""Runs on heat capacity and phonon energy: Table 1, Figures 4 and 5 of the paper.

    python -m cloud_jax.phonon runs/thermal_cv runs/thermal_u --measured cp.json

Writes results.json, violin.png, volume.png, symmetry.png and heat_capacity.png to
--output. What cannot be had is left out, and the command says which file it wants.
"""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloud_jax.datasets.phonon import PhononSource
    from cloud_jax.studies.phonon.comparison import PhononRun
    from cloud_jax.studies.phonon.errors import Errors

EPILOG = """\
RUN is the work directory of a finished cloud_jax.finetune on C_v or U at 300 K, through
a law or by plain regression; tasks cv and u of configs/debye.py make two.
Give all runs that are to be compared.

--measured is JSON, {"materials": {"MgO": {"T": [K], "Cp": [J/(mol K)]}}}, per mol of
formula units, of some or all of Al2O3, Li2O, CaTiO3, GaN, MgO, CaO, LiF and NaCl. The
NIST-JANAF tables (https://janaf.nist.gov) have all but CaTiO3 and GaN.

exit codes
  0  written; a line for each thing that was left out, and what it needs
  1  something to correct: a run, a file, the disk
  2  wrong arguments
130  stopped; figures that were drawn by then stay, results.json is that of before
"""
CAPTIONS = {
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


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Command-line arguments, without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.phonon",
        description="Compare runs on heat capacity and phonon energy with the paper, "
        "with phonons and with measurement.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="see below")
    add("--measured", type=Path, metavar="FILE.json", help="heat capacities, see below")
    add(
        "--data-dir",
        default="data",
        metavar="DIR",
        help="where the phonon densities of states are looked for (default: data)",
    )
    add(
        "--output",
        type=Path,
        default=Path("runs/phonon"),
        metavar="DIR",
        help="folder for results.json and the figures (default: runs/phonon)",
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = parse(argv)
    from cloud_jax.studies.phonon.comparison import format_summary

    try:
        found = run(arguments)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: no results.json was written", file=sys.stderr)
        return 130
    print(format_summary(found))
    print(f"\n{arguments.output}/: results.json, " + ", ".join(
        figure["file"] for figure in found["figures"]
    ))  # fmt: skip
    for line in found["missing"]:
        print(f"left out: {line}", file=sys.stderr)
    return 0


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare, write and return the content of results.json."""
    from cloud_jax.evaluation.results import refuse_other_results
    from cloud_jax.files import file_sha256, write_json
    from cloud_jax.studies.paper import table
    from cloud_jax.studies.phonon.comparison import read_measured, read_runs, table_row
    from cloud_jax.studies.phonon.figures import heat_capacity_plot
    from cloud_jax.studies.phonon.known_crystals import KNOWN, compare_heat_capacities
    from cloud_jax.studies.phonon.temperatures import other_temperatures

    refuse_other_results(arguments.output, "phonon")
    runs = read_runs(arguments.runs)
    measured = {}
    if arguments.measured:
        measured = read_measured(arguments.measured, KNOWN)
    paper = table("1")
    found = {
        "kind": "phonon",
        "table_1": {
            "ours": [table_row(one) for one in runs],
            "paper": {
                model: {cell: own._asdict() for cell, own in zip(
                    paper.columns, cells, strict=True)}
                for model, cells in paper.cells.items()
            },
            "deviation_of_the_paper": paper.deviation,
        },
        "figures": [],
        "missing": [],
        "hashes": {
            str(one.folder / name): file_sha256(one.folder / name)
            for one in runs for name in ("results.json", "predictions.csv")
        },
        "note": "",
    }  # fmt: skip
    if arguments.measured:
        found["hashes"]["measured"] = file_sha256(arguments.measured)
    else:
        found["missing"].append(
            "measured heat capacities: --measured FILE.json, see --help for its form "
            "and where its numbers are published"
        )
    arguments.output.mkdir(parents=True, exist_ok=True)
    draw_errors(arguments.output, runs, found)
    source, labels = published(arguments.data_dir, found)
    lawful = [one for one in runs if one.law]
    # One figure shows few curves: of models that learned C_v, where there are such.
    shown = [one for one in lawful if one.property == "heat_capacity"] or lawful
    if shown:
        labelled = labels.get(shown[0].property, ())
        more, drawn = compare_heat_capacities(shown, measured, source, labelled)
        found |= more
        heat_capacity_plot(arguments.output / "heat_capacity.png", drawn)
        add_figure(found, "heat_capacity")
    else:
        found["missing"].append(
            "heat_capacity.png: no run has a law (config.head.law), and a regression "
            "head knows no other temperature"
        )
    if source:
        more, missing = other_temperatures(lawful, source, labels)
        found["other_temperatures"] = more
        found["missing"] += missing
    write_json(arguments.output / "results.json", found)
    return found


def published(
    data_dir: str, found: dict[str, Any]
) -> tuple["PhononSource | None", dict[str, dict[str, float]]]:
    """Look for the published phonons; note what was read, or what is missing.

    Returns:
        The source, None where a file of it is missing, and {property: {id: label}}.
    """
    from cloud_jax.datasets.phonon import CV, ID, PhononSource, U
    from cloud_jax.files import file_sha256
    from cloud_jax.structures.source import SourceError

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


def add_figure(found: dict[str, Any], name: str) -> None:
    """Note a figure that was drawn."""
    found["figures"].append({"file": f"{name}.png", "caption": CAPTIONS[name]})


def draw_errors(folder: Path, runs: list["PhononRun"], found: dict[str, Any]) -> None:
    """Draw the errors of all runs, a panel a property, and note them in numbers."""
    from cloud_jax.studies.phonon import figures_errors
    from cloud_jax.studies.phonon.comparison import QUANTITIES
    from cloud_jax.studies.phonon.errors import summary, volume_edges

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
    for name, draw in (
        ("violin", figures_errors.violin_plot),
        ("volume", figures_errors.volume_plot),
        ("symmetry", figures_errors.symmetry_plot),
    ):
        try:
            draw(folder / f"{name}.png", panels)
        except ValueError as error:
            found["missing"].append(
                f"{name}.png: {error}: columns space_group and volume_a3 of "
                "predictions.csv are empty or missing; fine-tuning again writes them"
            )
        else:
            add_figure(found, name)


if __name__ == "__main__":
    sys.exit(main())
