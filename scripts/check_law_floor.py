"""How well each law could give both thermal labels of a crystal, at best.

    python -m scripts.check_law_floor [data/thermal_cv_u.csv]

For each crystal the variables of the law that come nearest to its C_v and U at 300 K
together, found on a grid; printed is what error is left, as MAE/MAD (MAD from the mean
of all rows), and how much of it is of crystals whose U lies below the classical 3RT an
atom, which no harmonic crystal with all its modes can have. JSON on the last line.
"""

import argparse
import json

import jax
import numpy as np
import pandas as pd

from cloud_jax.physics import debye, einstein
from cloud_jax.physics.constants import GAS_CONSTANT

KELVIN = 300.0


def main() -> None:
    """Read, search, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", nargs="?", default="data/thermal_cv_u.csv")
    table = pd.read_csv(parser.parse_args().table)
    n_atoms = table.n_atoms.to_numpy(float)
    labels = table[["cv_j_per_mol_cell_k", "u_j_per_mol_cell"]].to_numpy()
    mad = np.abs(labels - labels.mean(axis=0)).mean(axis=0)
    unphysical = labels[:, 1] / n_atoms < 3 * GAS_CONSTANT * KELVIN
    found = {"rows": len(table), "u_below_3rt": int(unphysical.sum())}
    for name, properties in grids().items():
        left = np.stack(
            [
                nearest(properties, row / n, n / mad)
                for row, n in zip(labels, n_atoms, strict=True)
            ]
        )
        for i, target in enumerate(("cv", "u")):
            found[f"{name}_{target}"] = round(float(left[:, i].mean()), 4)
            part = (left[:, i] * unphysical).mean()
            found[f"{name}_{target}_of_u_below_3rt"] = round(float(part), 4)
    print(json.dumps(found))


def grids() -> dict[str, np.ndarray]:
    """C_v and U an atom of each law on a grid of its variables, [2, n]."""
    with jax.enable_x64(True):

        def of(law, theta):
            return np.array(
                [law.heat_capacity(theta, KELVIN), law.internal_energy(theta, KELVIN)]
            )

        fine = np.geomspace(40, 6000, 20000)
        coarse = np.geomspace(40, 3000, 70)
        acoustic, optical = of(debye, coarse), of(einstein, coarse)
        share = np.linspace(0, 1, 21)[:, None, None]
        mixture = [
            share * a[:, None] + (1 - share) * o[None, :]
            for a, o in zip(acoustic, optical, strict=True)
        ]
        return {
            "debye": of(debye, fine),
            "debye_einstein": np.array(mixture).reshape(2, -1),
        }


def nearest(properties: np.ndarray, label: np.ndarray, weight: np.ndarray):
    """Errors in both labels, weighted, where their sum is least."""
    errors = np.abs(properties - label[:, None]) * weight[:, None]
    return errors[:, errors.sum(axis=0).argmin()]


if __name__ == "__main__":
    main()
