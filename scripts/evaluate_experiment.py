"""Heat capacities of a model folder against measured ones.

    python -m scripts.evaluate_experiment MODEL MEASURED.json [--plot experiment.png]

The same as `python -m cloud_jax.phonon`, but for a model without its run, such as that
in the package; MEASURED.json is what `--measured` takes there. Prints the mean relative
deviation over the measured points from 0 (without it) to 300 K, and JSON on the last
line. Of the thermal labels' published split, Al2O3, CaO and GaN are test rows, MgO,
Li2O, LiF and NaCl are training rows, and CaTiO3 is in neither.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.constants import gas_constant

from cloud_jax.inference.predictor import load
from cloud_jax.studies.phonon.comparison import (
    COMPARED_K,
    Material,
    compare_measured,
    read_measured,
)
from cloud_jax.studies.phonon.figures import heat_capacity_plot
from cloud_jax.studies.phonon.known_crystals import (
    KNOWN,
    formula_atoms,
    heat_capacity_curves,
)

HOTTEST_K = 1000.0  # of the figure


def main() -> None:
    """Predict, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a model folder, or a finished run's")
    parser.add_argument("measured", type=Path, metavar="MEASURED.json")
    parser.add_argument("--plot", type=Path, default=Path("experiment.png"))
    arguments = parser.parse_args()
    measured = read_measured(arguments.measured, KNOWN)
    grid = np.linspace(0, HOTTEST_K, 101)
    asked = np.concatenate([grid, *(kelvin for kelvin, _ in measured.values())])
    found = heat_capacity_curves(load(arguments.model), list(measured), asked)
    materials, results = [], {}
    for name, (kelvin, cp) in measured.items():
        cv, cool = found[name], kelvin <= HOTTEST_K
        limit = 3 * formula_atoms(name) * gas_constant
        points = kelvin[cool], cp[cool]
        materials.append(Material(name, limit, {"model": cv.loc[grid]}, None, points))
        results[name] = compare_measured(cv, kelvin, cp) | {
            "flags": cv["flags"].iloc[0]
        }
        print(
            f"{name:8}{len(results[name]['cv_model']):3} points to {COMPARED_K:.0f} K, "
            f"mean relative deviation {results[name]['mean_relative_deviation']:7.1%}, "
            f"signed {results[name]['mean_signed_relative_deviation']:+7.1%} "
            f"{results[name]['flags']}"
        )
    heat_capacity_plot(arguments.plot, materials)
    print(f"{arguments.plot}\n{json.dumps(results)}")


if __name__ == "__main__":
    main()
