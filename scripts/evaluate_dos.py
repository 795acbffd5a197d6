"""A model trained at 300 K against phonons at other temperatures.

    python -m scripts.evaluate_dos MODEL [data/thermal_cv_u.csv data/thermal_dos.npz]

C_v and U at 100, 300 and 600 K, per mol of primitive cells, are integrated from the
phonon densities of states beside the labels (both files are made by
scripts/make_thermal_table.py) and compared with the model's, on the rows that the
table's split tests and whose density gives the C_v label within 1 %. MAD is that of
these rows from the mean of the other rows with a label, chosen alike. It is what
`python -m cloud_jax.phonon` says of finished runs, for a model without its run.

Prints a table, then JSON on one line.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from cloud_jax.datasets.phonon import CV, Curves, integrate
from cloud_jax.inference.predictor import load
from cloud_jax.studies.phonon.temperatures import TEMPERATURES_K, at_other_temperatures


def read(table: Path, dos: Path) -> tuple[pd.DataFrame, Curves]:
    """Return the table and what its densities integrate to.

    Raises:
        SystemExit: the two are not of the same crystals.
    """
    frame = pd.read_csv(table)
    with np.load(dos) as stored:
        if list(stored["ids"]) != list(frame["id"]):
            raise SystemExit(f"{dos} and {table} do not list the same ids")
        frequencies, densities = stored["frequency_cm"], stored["dos"]
    n_atoms = frame["n_atoms"].to_numpy(dtype=float)
    temperatures = np.array(TEMPERATURES_K)
    found = integrate(frequencies, densities, n_atoms, temperatures)
    return frame, Curves(list(frame["id"]), temperatures, *found, n_atoms)


def main() -> None:
    """Integrate, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", type=Path, help="a model folder, or a finished run's")
    add("table", type=Path, nargs="?", default=Path("data/thermal_cv_u.csv"))
    add("dos", type=Path, nargs="?", default=Path("data/thermal_dos.npz"))
    arguments = parser.parse_args()
    frame, curves = read(arguments.table, arguments.dos)
    tested = frame[frame["split"] == "test"].set_index("id")
    cells = {key: json.loads(text) for key, text in tested["structure"].items()}
    labels = frame.set_index("id")[CV].dropna().to_dict()
    found = at_other_temperatures(
        load(arguments.model), curves, cells, "heat_capacity", labels
    )
    print(f"{found['measured_on']} of {found['test_rows']} test rows, MAE/MAD")
    for own, best in zip(found["model"], found["debye_law_at_best"], strict=True):
        print(
            f"{own['property']:16}{own['temperature_k']:5.0f} K"
            f"{own['mae_over_mad_train_mean']:8.4f}, Debye law at best "
            f"{best['mae_over_mad_train_mean']:.4f}"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
