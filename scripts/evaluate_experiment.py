"""Heat capacities of a model against measured ones: Figure 5 of the paper, and more.

    python -m scripts.evaluate_experiment MODEL MEASURED.json [--plot experiment.png]

MEASURED.json holds {"materials": {"MgO": {"T": [K], "Cp": [J/(mol K)]}, ...}} per mol
of formula units, some or all of the crystals below. Printed is the mean relative
deviation over the measured points from 0 (without it) to 300 K, and JSON on the last
line; the figure shows C_v(T) with its interval, the points and 3NR.

What is measured is C_p, what the model gives is C_v. C_p - C_v = alpha^2 V B T grows
with temperature: about 1 % at 300 K and several at 1000 K for such oxides, which is not
corrected, because the model knows neither expansion nor stiffness.

Of the thermal labels' published split, Al2O3, CaO and GaN are test rows, MgO, Li2O, LiF
and NaCl are training rows, and CaTiO3 is in neither.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure
from scipy.constants import gas_constant

from cloud_jax.evaluation.figures import Curve, Panel, curves
from cloud_jax.inference.predictor import load

COMPARED_K = 300.0
HOTTEST_K = 1000.0  # of the figure


def rocksalt(cation: str, anion: str, a: float) -> Structure:
    """A crystal of NaCl's kind; a in angstrom."""
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def crystals() -> dict[str, Structure]:
    """The crystals that may be measured, in angstrom.

    Of these numbers the model sees the space group, the Wyckoff positions and the
    elements, so their last digits do not matter.
    """
    return {
        # Corundum: Newnham & de Haan, Z. Kristallogr. 117 (1962) 235.
        "Al2O3": Structure.from_spacegroup(
            "R-3c",
            Lattice.hexagonal(4.757, 12.988),
            ["Al", "O"],
            [[0, 0, 0.352], [0.3064, 0, 0.25]],
        ),
        # Antifluorite: Zintl, Harder & Dauth, Z. Elektrochem. 40 (1934) 588.
        "Li2O": Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(4.619), ["Li", "O"], [[0.25, 0.25, 0.25], [0, 0, 0]]
        ),
        # Perovskite: Sasaki, Prewitt, Bass & Schulze, Acta Cryst. C 43 (1987) 1668,
        # from their setting Pbnm.
        "CaTiO3": Structure.from_spacegroup(
            "Pnma",
            Lattice.orthorhombic(5.442, 7.640, 5.380),
            ["Ca", "Ti", "O", "O"],
            [
                [0.0360, 0.25, 0.9932],
                [0.5, 0, 0],
                [0.4838, 0.25, 0.0714],
                [0.2888, 0.0371, 0.7108],
            ],
        ),
        # Wurtzite: Schulz & Thiemann, Solid State Commun. 23 (1977) 815.
        "GaN": Structure.from_spacegroup(
            "P6_3mc",
            Lattice.hexagonal(3.190, 5.189),
            ["Ga", "N"],
            [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.377]],
        ),
        # Wyckoff, Crystal Structures, vol. 1, 2nd ed. (1963), ch. III.
        "MgO": rocksalt("Mg", "O", 4.211),
        "CaO": rocksalt("Ca", "O", 4.811),
        "LiF": rocksalt("Li", "F", 4.017),
        "NaCl": rocksalt("Na", "Cl", 5.641),
    }


def read(path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return (temperatures, C_p) of each material.

    Raises:
        SystemExit: a material whose crystal is not known here.
    """
    materials = json.loads(path.read_text())["materials"]
    if unknown := materials.keys() - crystals().keys():
        raise SystemExit(f"{path}: no crystal is given for {', '.join(unknown)}")
    return {
        name: (np.array(entry["T"], float), np.array(entry["Cp"], float))
        for name, entry in materials.items()
    }


def compare(cv: pd.DataFrame, kelvin: np.ndarray, cp: np.ndarray) -> dict:
    """Return deviations of the model from the points up to 300 K.

    Args:
        cv: heat capacity by temperature, with its interval.
        kelvin: of the points.
        cp: measured.
    """
    cold = (kelvin > 0) & (kelvin <= COMPARED_K)
    model = cv.loc[kelvin[cold]]
    deviation = model["value"].to_numpy() / cp[cold] - 1
    inside = (model["lower"] <= cp[cold]) & (cp[cold] <= model["upper"])
    return {
        "temperature_k": kelvin[cold].tolist(),
        "cp_measured": cp[cold].tolist(),
        "cv_model": model["value"].tolist(),
        "mean_relative_deviation": float(np.abs(deviation).mean()),
        "mean_signed_relative_deviation": float(deviation.mean()),
        "points_inside_the_interval": int(inside.sum()),
    }


def main() -> None:
    """Predict, compare, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a model folder, or a finished run's")
    parser.add_argument("measured", type=Path, metavar="MEASURED.json")
    parser.add_argument("--plot", type=Path, default=Path("experiment.png"))
    arguments = parser.parse_args()
    measured = read(arguments.measured)
    structures = {name: crystals()[name] for name in measured}
    grid = np.linspace(0, HOTTEST_K, 101)
    asked = np.unique(np.concatenate([grid, *(t for t, _ in measured.values())]))
    found = load(arguments.model).predict(
        list(structures.values()),
        ids=list(structures),
        temperature_k=asked,
        basis="formula",
    )
    found = found[found["property"] == "heat_capacity"].set_index("id")
    panels, results = [], {}
    for name, (kelvin, cp) in measured.items():
        cv = found.loc[name].set_index("temperature_k")
        results[name] = compare(cv, kelvin, cp) | {"flags": cv["flags"].iloc[0]}
        shown = cv.loc[grid]
        cool = kelvin <= HOTTEST_K
        atoms = structures[name].composition.reduced_composition.num_atoms
        curve = Curve(
            "C_v, model",
            grid,
            *(shown[column].to_numpy() for column in ("value", "lower", "upper")),
            points=(kelvin[cool], cp[cool]),
            points_label="C_p, measured",
        )
        limit = 3 * atoms * gas_constant
        panels.append(
            Panel(
                "heat capacity",
                "J/(mol K)",
                [curve],
                ("Dulong-Petit, 3NR", limit),
                name,
            )
        )
        print(
            f"{name:8}{len(results[name]['cv_model']):3} points to {COMPARED_K:.0f} K, "
            f"mean relative deviation {results[name]['mean_relative_deviation']:7.1%}, "
            f"signed {results[name]['mean_signed_relative_deviation']:+7.1%} "
            f"{results[name]['flags']}"
        )
    curves(arguments.plot, panels)
    print(f"{arguments.plot}\n{json.dumps(results)}")


if __name__ == "__main__":
    main()
