"""Measure a thermal model that has no run, such as the one in the package.

    python -m scripts.check_thermal MODEL [--plot cp.png] [--benchmark half.jsonl.gz]

Reads the public data sets `phonon` and `thermal:phonons` (in --data-dir, or downloaded
to it by fine-tuning), the published split. JSON lines out:
    published     C_v and U at 300 K per mol of primitive cells beside the published
                  values of the test rows: share inside the interval, MAE, MAE/MAD
                  (training mean), the same per atom, and of a constant per atom
    temperatures  C_v, S and H(T) - H(0) at 50, 100, 300 and 600 K beside the phonon
                  densities of test rows, those that give the published values (`whole`)
                  and those that these values complete (`completed`): median relative
                  error, and the share inside the interval by class of elements
    floor         the densities themselves as predictions of the published values: what
                  labels that do not agree leave to any model; with --benchmark, a file
                  of `cloud-jax study potentials`, the difference of its C_v, too
    measured      C_v beside measured C_p up to 300 K, from the package's table
"""

import argparse
import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.constants import gas_constant

from cloud_jax.datasets.phonon import CV, FOLD, ID, STRUCTURE, PhononSource, U
from cloud_jax.datasets.phonon_density import LABELS_K
from cloud_jax.datasets.thermal import DENSITY, ThermalSource
from cloud_jax.evaluation.coverage import coverage, inside
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.structures.element_classes import element_class
from cloud_jax.structures.species import ELEMENTS
from cloud_jax.studies.phonon.figures import heat_capacity_plot
from cloud_jax.studies.phonon.heat_capacity import (
    Material,
    compare_measured,
    heat_capacity_curves,
    measured_points,
)
from cloud_jax.studies.phonon.known_crystals import formula_atoms
from cloud_jax.studies.phonon.temperatures import in_joules
from cloud_jax.studies.potentials.run import read_benchmark

PUBLISHED = {"heat_capacity": CV, "internal_energy": U}
PROPERTIES = ("heat_capacity", "entropy", "enthalpy")
TEMPERATURES_K = (50, 100, 300, 600)
TRUSTED = ("whole", "completed")
HOTTEST_K = 600.0  # of the figure


def read_rows(data_dir: str) -> pd.DataFrame:
    """Return the rows with published values, indexed by id.

    Columns are labels (published ones per mol of cells, those of densities per mol of
    atoms), `fold`, `density`, `cell`, `n_atoms` and `class` of elements.
    """
    source = ThermalSource(name="thermal", data_dir=data_dir, parts=("phonons",))
    rows = pd.DataFrame(source.rows(source.columns)).set_index(ID)
    rows = rows[rows[CV].notna()].astype({CV: float, U: float})
    structures = PhononSource(name="phonon", data_dir=data_dir).rows((ID, STRUCTURE))
    cells = {row[ID]: ast.literal_eval(row[STRUCTURE]) for row in structures}
    rows["cell"] = rows.index.map(cells)
    rows["n_atoms"] = [len(cell["numbers"]) for cell in rows["cell"]]
    rows["class"] = [
        element_class(ELEMENTS[z - 1] for z in cell["numbers"]) for cell in rows["cell"]
    ]
    return rows


def predict(model: Predictor, rows: pd.DataFrame) -> dict[tuple[str, float], Any]:
    """Return value, lower and upper end by id for each property and temperature.

    They are per mol of primitive cells.
    """
    frame = in_joules(
        model.predict(
            [*rows["cell"]],
            ids=[*rows.index],
            temperature_k=TEMPERATURES_K,
            basis="cell",
        )
    )
    keys = ["property", "temperature_k"]
    return {
        key: own.set_index("id").loc[rows.index, ["value", "lower", "upper"]]
        for key, own in frame.groupby(keys)
    }


def beside_published(
    predicted: dict[tuple[str, float], Any], test: pd.DataFrame, train: pd.DataFrame
) -> dict[str, dict]:
    """Return errors and coverage of C_v and U at 300 K."""
    found = {}
    for name, column in PUBLISHED.items():
        own, true = predicted[name, LABELS_K], test[column]
        held = inside(own["lower"], true, own["upper"])
        found[name] = errors(own["value"], test, train, column) | {
            "inside_the_interval": coverage(held, test["class"])
        }
    return found


def errors(
    value: pd.Series, test: pd.DataFrame, train: pd.DataFrame, column: str
) -> dict[str, float]:
    """Return the errors of predictions of a published value, per mol of cells."""
    true, n = test[column], test["n_atoms"]
    per_atom = (train[column] / train["n_atoms"]).mean()
    error = (value - true).abs()
    mad = (true - train[column].mean()).abs().mean()
    mad_per_atom = (true / n - per_atom).abs().mean()
    constant = (n * per_atom - true).abs().mean()
    return {
        "n": len(test),
        "mae": error.mean(),
        "mae_over_mad": error.mean() / mad,
        "mae_per_atom": (error / n).mean(),
        "mae_over_mad_per_atom": (error / n).mean() / mad_per_atom,
        "mae_over_mad_of_a_constant_per_atom": constant / mad,
    }


def beside_densities(
    predicted: dict[tuple[str, float], Any], test: pd.DataFrame
) -> list[dict[str, Any]]:
    """Return median relative errors and coverage by property and temperature."""
    found = []
    for verdict in TRUSTED:
        rows = test[test[DENSITY] == verdict]
        for name in PROPERTIES if len(rows) else ():
            for kelvin in TEMPERATURES_K:
                per_atom = predicted[name, kelvin].loc[rows.index]
                per_atom = per_atom.div(rows["n_atoms"], axis=0)
                true = rows[f"{name}_{kelvin}k"].astype(float)
                held = inside(per_atom["lower"], true, per_atom["upper"])
                error = per_atom["value"] / true - 1
                found.append(
                    {
                        "property": name,
                        "temperature_k": kelvin,
                        "density": verdict,
                        "n": len(rows),
                        "median_relative_error": error.abs().median(),
                        "median_signed_error": error.median(),
                        "inside": coverage(held, rows["class"]),
                    }
                )
    return found


def floor(
    test: pd.DataFrame, train: pd.DataFrame, data_dir: str, benchmark: Path | None
) -> dict[str, Any]:
    """Return what disagreeing labels leave to a model without any error of its own.

    `mae_over_mad` is what the rows of that kind add to MAE/MAD over all test rows.
    """
    curves = PhononSource(name="phonon", data_dir=data_dir).curves((LABELS_K,))
    found: dict[str, Any] = {"test_rows": test[DENSITY].value_counts().to_dict()}
    for name, column in PUBLISHED.items():
        own = pd.Series(getattr(curves, name)[:, 0], curves.ids)
        for verdicts in (("whole",), ("soft",), ("whole", "completed", "soft")):
            rows = test[test[DENSITY].isin(verdicts)]
            if rows.empty:
                continue
            error = (own[rows.index] - rows[column]).abs()
            mad = (test[column] - train[column].mean()).abs().mean()
            found[f"{name} of the density, {' + '.join(verdicts)}"] = {
                "n": len(rows),
                "mae": error.mean(),
                "mae_over_mad": error.sum() / len(test) / mad,
                "median_relative_error": (error / rows[column]).median(),
            }
    if benchmark:
        both = pd.concat([test, train]).join(
            read_benchmark(benchmark)["true"], how="inner"
        )
        difference = (both["true"] - both[CV]).abs()
        found["published C_v, of the benchmark and here"] = {
            "n": len(both),
            "mae": difference.mean(),
            "median": difference.median(),
        }
    return found


def beside_measured(model: Predictor, plot: Path | None) -> dict[str, dict]:
    """Return deviations from measured heat capacities, and draw them."""
    measured = measured_points()
    grid = np.linspace(0, HOTTEST_K, 101)
    asked = np.concatenate([grid, *(kelvin for kelvin, _ in measured.values())])
    curves = heat_capacity_curves(model, list(measured), asked)
    materials, found = [], {}
    for name, (kelvin, cp) in measured.items():
        cv, cool = curves[name], kelvin <= HOTTEST_K
        limit = 3 * formula_atoms(name) * gas_constant
        points = kelvin[cool], cp[cool]
        materials.append(Material(name, limit, {"model": cv.loc[grid]}, points))
        found[name] = compare_measured(cv, kelvin, cp)
    if plot:
        heat_capacity_plot(plot, materials)
    return found


def main() -> None:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a model folder, or a finished run's")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--plot", type=Path, metavar="PNG")
    parser.add_argument("--benchmark", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    model = load(arguments.model)
    rows = read_rows(arguments.data_dir)
    test, train = (rows[rows[FOLD] == fold] for fold in ("test", "train"))
    predicted = predict(model, test)
    report("published", beside_published(predicted, test, train))
    report("temperatures", beside_densities(predicted, test))
    report("floor", floor(test, train, arguments.data_dir, arguments.benchmark))
    report("measured", beside_measured(model, arguments.plot))


def report(name: str, found: Any) -> None:
    """Print one part as a line of JSON."""
    print(json.dumps({name: found}, default=lambda number: number.item()), flush=True)


if __name__ == "__main__":
    main()
