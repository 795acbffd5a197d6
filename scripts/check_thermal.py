"""Say how good a thermal model is that has no run, such as the one in the package.

    python -m scripts.check_thermal MODEL [--measured MEASURED.json] [--plot cp.png]

Reads the public data set `phonon` (in --data-dir, or downloaded to it by fine-tuning):
C_v and U per mol of primitive cells, the published split. JSON lines out:
    intervals           per property at 300 K: share of the test labels inside the
                        interval, MAE, MAE/MAD (training mean), the same per atom, and
                        MAE/MAD of a constant per atom
    other_temperatures  C_v and U at 100, 300 and 600 K beside phonons, as in
                        `cloud-jax study phonon`
    measured            C_v beside measured C_p up to 300 K, from the package's table or
                        from --measured, a file as there
"""

import argparse
import ast
import json
from pathlib import Path

import numpy as np
from scipy.constants import gas_constant

from cloud_jax.datasets.phonon import CV, FOLD, ID, STRUCTURE, PhononSource, U
from cloud_jax.evaluation.measured import measured_heat_capacities
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.studies.phonon.figures import heat_capacity_plot
from cloud_jax.studies.phonon.heat_capacity import (
    Material,
    compare_measured,
    heat_capacity_curves,
    read_measured,
)
from cloud_jax.studies.phonon.known_crystals import KNOWN, formula_atoms
from cloud_jax.studies.phonon.temperatures import (
    TEMPERATURES_K,
    at_other_temperatures,
    in_joules,
)

LABELS = {"heat_capacity": CV, "internal_energy": U}
HOTTEST_K = 600.0  # of the figure


def intervals(model: Predictor, rows: dict[str, dict], cells: dict[str, dict]) -> dict:
    """Return errors and coverage of the 300 K intervals on the test rows."""
    test = [name for name, row in rows.items() if row[FOLD] == "test"]
    structures = [cells[name] for name in test]
    frame = in_joules(
        model.predict(structures, temperature_k=300.0, basis="cell", ids=test)
    )
    is_test = np.array([row[FOLD] == "test" for row in rows.values()])
    atoms = np.array([len(cells[name]["numbers"]) for name in rows])
    found = {}
    for name, column in LABELS.items():
        label = np.array([float(row[column]) for row in rows.values()])
        true, n = label[is_test], atoms[is_test]
        own = frame[frame.property == name].set_index("id").loc[test]
        error = np.abs(own.value.to_numpy() - true)
        mad = np.abs(true - label[~is_test].mean()).mean()
        per_atom = (label / atoms)[~is_test].mean()
        inside = (own.lower.to_numpy() <= true) & (true <= own.upper.to_numpy())
        mad_per_atom = np.abs(true / n - per_atom).mean()
        found[name] = {
            "n": len(test),
            "inside_the_interval": inside.mean(),
            "mae": error.mean(),
            "mae_over_mad": error.mean() / mad,
            "mae_per_atom": (error / n).mean(),
            "mae_over_mad_per_atom": (error / n).mean() / mad_per_atom,
            "mae_over_mad_of_a_constant_per_atom": np.abs(n * per_atom - true).mean()
            / mad,
        }
    return found


def beside_measured(
    model: Predictor, measured_file: Path | None, plot: Path | None
) -> dict:
    """Return deviations from measured heat capacities, and draw them."""
    if measured_file:
        measured = read_measured(measured_file, KNOWN)
    else:
        own = measured_heat_capacities()
        measured = {name: (own[name].temperature_k, own[name].cp) for name in KNOWN}
    grid = np.linspace(0, HOTTEST_K, 101)
    asked = np.concatenate([grid, *(kelvin for kelvin, _ in measured.values())])
    curves = heat_capacity_curves(model, list(measured), asked)
    materials, found = [], {}
    for name, (kelvin, cp) in measured.items():
        cv, cool = curves[name], kelvin <= HOTTEST_K
        limit = 3 * formula_atoms(name) * gas_constant
        points = kelvin[cool], cp[cool]
        materials.append(Material(name, limit, {"model": cv.loc[grid]}, None, points))
        found[name] = compare_measured(cv, kelvin, cp)
    if plot:
        heat_capacity_plot(plot, materials)
    return found


def main() -> None:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a model folder, or a finished run's")
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--measured", type=Path, metavar="MEASURED.json")
    parser.add_argument("--plot", type=Path, metavar="PNG")
    arguments = parser.parse_args()
    model = load(arguments.model)
    source = PhononSource(name="phonon", data_dir=arguments.data_dir)
    rows = {row[ID]: row for row in source.rows((CV, U, FOLD)) if CV in row}
    cells = {name: ast.literal_eval(row[STRUCTURE]) for name, row in rows.items()}
    print(json.dumps({"intervals": intervals(model, rows, cells)}), flush=True)
    tested = {name: cells[name] for name, row in rows.items() if row[FOLD] == "test"}
    found = at_other_temperatures(
        model,
        source.curves(TEMPERATURES_K),
        tested,
        "heat_capacity",
        {name: float(row[CV]) for name, row in rows.items()},
    )
    print(json.dumps({"other_temperatures": found}), flush=True)
    found = beside_measured(model, arguments.measured, arguments.plot)
    print(json.dumps({"measured": found}))


if __name__ == "__main__":
    main()
