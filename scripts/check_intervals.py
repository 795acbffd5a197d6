"""How often the interval of a thermal model holds the label of a test row.

    python -m scripts.check_intervals MODEL [data/thermal_cv_u.csv]

C_v and U at 300 K per mol of primitive cells, rows whose `split` is test. Also prints
MAE and MAE/MAD (MAD from the mean of the training rows) of the model as it is on disk,
and the same an atom; JSON on the last line.
"""

import argparse
import json

import numpy as np
import pandas as pd

TARGETS = {
    "heat_capacity": "cv_j_per_mol_cell_k",
    "internal_energy": "u_j_per_mol_cell",
}


def main() -> None:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("table", nargs="?", default="data/thermal_cv_u.csv")
    arguments = parser.parse_args()
    from pymatgen.core import Structure

    import cloud_jax

    table = pd.read_csv(arguments.table)
    test = table[table.split == "test"]
    training = table[table.split != "test"]
    frame = cloud_jax.load(arguments.model).predict(
        [Structure.from_str(text, "json") for text in test.structure],
        temperature_k=300.0,
        basis="cell",
        ids=list(test.id),
    )
    found = {}
    for name, column in TARGETS.items():
        rows = frame[frame.property == name].set_index("id").loc[test.id]
        true, atoms = test[column].to_numpy(), test.n_atoms.to_numpy()
        error = np.abs(rows.value.to_numpy() - true)
        mad = np.abs(true - training[column].mean())
        per_atom = (training[column] / training.n_atoms).mean()
        inside = (rows.lower.to_numpy() <= true) & (true <= rows.upper.to_numpy())
        found[name] = {
            "n": len(test),
            "inside_the_interval": float(inside.mean()),
            "mae": float(error.mean()),
            "mae_over_mad": float(error.mean() / mad.mean()),
            "mae_per_atom": float((error / atoms).mean()),
            "mae_over_mad_per_atom": float(
                (error / atoms).mean() / np.abs(true / atoms - per_atom).mean()
            ),
            "mae_over_mad_of_a_constant_per_atom": float(
                np.abs(atoms * per_atom - true).mean() / mad.mean()
            ),
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
