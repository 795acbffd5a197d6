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
    import numpy as np

    from cloud_jax.evaluation.errors import Errors
    from cloud_jax.evaluation.figures_phonon import Material
    from cloud_jax.evaluation.phonon import PhononRun
    from cloud_jax.preprocess.sources.phonon import PhononSource

EPILOG = """\
RUN is the work directory of a finished cloud_jax.finetune on C_v or U at 300 K, through
a law or by plain regression; configs/thermal_cv.py and configs/thermal_u.py make two.
Give all runs that are to be compared.

--measured is JSON, {"materials": {"MgO": {"T": [K], "Cp": [J/(mol K)]}}}, per mol of
formula units, of some or all of Al2O3, Li2O, CaTiO3, GaN, MgO, CaO, LiF and NaCl. The
NIST-JANAF tables (https://janaf.nist.gov) have all but CaTiO3 and GaN.

exit codes
  0  written; a line for each thing that was left out, and what it needs
  1  something to correct: a run, a file, the disk
  2  wrong arguments
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
    "Measured is C_p, which lies above C_v by 1 % at 300 K and by several at 1000 K.",
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
    from cloud_jax.evaluation.phonon import screen

    try:
        found = run(arguments)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(screen(found))
    print(f"\n{arguments.output}/: results.json, " + ", ".join(
        figure["file"] for figure in found["figures"]
    ))  # fmt: skip
    for line in found["missing"]:
        print(f"left out: {line}", file=sys.stderr)
    return 0


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare, write and return the content of results.json."""
    from cloud_jax.evaluation.figures_phonon import heat_capacity_plot
    from cloud_jax.evaluation.paper import table
    from cloud_jax.evaluation.phonon import read_measured, read_runs, table_row
    from cloud_jax.inference.phonon import KNOWN
    from cloud_jax.preprocess.sources.phonon import DENSITIES, PhononSource
    from cloud_jax.preprocess.sources.source import SourceError, file_sha256
    from cloud_jax.training.logging import write_json

    refuse_other_results(arguments.output)
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
    source = PhononSource(name="phonon", data_dir=arguments.data_dir)
    try:
        found["hashes"][DENSITIES.name] = file_sha256(source.path(DENSITIES))
    except SourceError as error:
        found["missing"].append(f"curves of phonons, and other temperatures: {error}")
        source = None
    materials = compare_heat_capacities(runs, measured, source, found)
    if materials:
        heat_capacity_plot(arguments.output / "heat_capacity.png", materials)
        add_figure(found, "heat_capacity")
    if source:
        found["other_temperatures"] = other_temperatures(runs, source, found["missing"])
    write_json(arguments.output / "results.json", found)
    return found


def refuse_other_results(folder: Path) -> None:
    """Raise ValueError for a folder with the results of another command."""
    from cloud_jax.training.logging import read_json

    path = folder / "results.json"
    if path.exists() and read_json(path).get("kind") != "phonon":
        raise ValueError(
            f"{path} is not of this command and would be lost: give another --output"
        )


def add_figure(found: dict[str, Any], name: str) -> None:
    """Note a figure that was drawn."""
    found["figures"].append({"file": f"{name}.png", "caption": CAPTIONS[name]})


def draw_errors(folder: Path, runs: list["PhononRun"], found: dict[str, Any]) -> None:
    """Draw the errors of all runs, a panel a property, and note them in numbers."""
    from cloud_jax.evaluation import figures_errors
    from cloud_jax.evaluation.errors import summary, volume_edges
    from cloud_jax.evaluation.phonon import QUANTITIES

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


def compare_heat_capacities(
    runs: list["PhononRun"],
    measured: dict[str, tuple],
    source: "PhononSource | None",
    found: dict[str, Any],
) -> list["Material"]:
    """Compare C_v(T) of the models with measurement and with phonons.

    Adds `heat_capacities`, `phonons_of` and `missing` to what was found.

    Returns:
        What to draw; nothing where no run has a law.
    """
    import numpy as np

    from cloud_jax.evaluation.phonon import compare_measured
    from cloud_jax.inference.phonon import KNOWN, PAPER, heat_capacity_curves
    from cloud_jax.inference.predictor import load

    lawful = [one for one in runs if one.law]
    # One figure shows few curves: of models that learned C_v, where there are such.
    shown = [one for one in lawful if one.property == "heat_capacity"] or lawful
    if not shown:
        found["missing"].append(
            "heat_capacity.png: no run has a law (config.head.law), and a regression "
            "head knows no other temperature"
        )
        return []
    grids = {
        name: np.linspace(0, crystal.melting_k, 121)
        for name, crystal in KNOWN.items()
        if name in measured or name in PAPER
    }
    points = {
        name: (kelvin[solid], cp[solid])
        for name, (kelvin, cp) in measured.items()
        for solid in [kelvin <= KNOWN[name].melting_k]
    }
    asked = np.concatenate(
        [*grids.values(), *(kelvin for kelvin, _ in points.values())]
    )
    models = {
        one.label: heat_capacity_curves(load(one.folder), list(grids), asked)
        for one in shown
    }
    found["heat_capacities"] = {
        label: {
            name: compare_measured(curves[name], *points[name])
            | {"flags": curves[name]["flags"].iloc[0]}
            for name in points
        }
        for label, curves in models.items()
    }
    return materials_of(grids, models, source, points, found)


def materials_of(
    grids: dict[str, "np.ndarray"],
    models: dict[str, dict],
    source: "PhononSource | None",
    points: dict[str, tuple],
    found: dict[str, Any],
) -> list["Material"]:
    """Gather what one figure shows of each crystal."""
    import numpy as np
    from scipy.constants import gas_constant

    from cloud_jax.evaluation.figures_phonon import Material
    from cloud_jax.inference.phonon import formula_atoms, harmonic_curves

    kelvin = np.unique(np.concatenate([grid[1:] for grid in grids.values()]))
    harmonic = harmonic_curves(source, list(grids), kelvin) if source else {}
    found["phonons_of"] = {name: key for name, (key, _) in harmonic.items()}
    return [
        Material(
            name,
            3 * formula_atoms(name) * gas_constant,
            {label: curves[name].loc[grid] for label, curves in models.items()},
            harmonic[name][1].loc[grid[1:]] if name in harmonic else None,
            points.get(name),
        )
        for name, grid in grids.items()
    ]


def other_temperatures(
    runs: list["PhononRun"], source: "PhononSource", missing: list[str]
) -> dict[str, dict]:
    """Errors at 100, 300 and 600 K of models that learned at 300 K."""
    import ast

    from cloud_jax.inference.phonon import TEMPERATURES_K, at_other_temperatures
    from cloud_jax.inference.predictor import load

    found: dict[str, dict] = {}
    lawful = [one for one in runs if one.law]
    if not lawful:
        return found
    curves = source.curves(TEMPERATURES_K)
    texts = dict(source.crystals(source.pieces()[0].path))
    for one in lawful:
        if (n := len(one.results["folds"])) > 1:
            missing.append(
                f"{one.folder}: other temperatures: the ensemble of {n} folds has "
                "learned from every row; that of one fold (config.folds.only) has not"
            )
            continue
        in_joule = 1000 if one.errors.unit.startswith("kJ") else 1
        true = in_joule * one.errors.true
        labels = dict(zip(one.errors.ids, true, strict=True))
        cells = {key: ast.literal_eval(texts[key]) for key in labels if key in texts}
        errors = at_other_temperatures(
            load(one.folder), curves, cells, one.property, labels, labels
        )
        found[f"{one.label}, {one.property}"] = errors
        if not errors["measured_on"]:
            missing.append(
                f"{one.folder}: other temperatures: of no test row the density of "
                "states gives the label (J per mol of primitive cells at 300 K)"
            )
    return found


if __name__ == "__main__":
    sys.exit(main())
