"""A model trained at 300 K against phonons at other temperatures.

    python -m scripts.evaluate_dos MODEL [data/thermal_cv_u.csv data/thermal_dos.npz]
        [--plot dos.png]

C_v and U at 100, 300 and 600 K, per mol of primitive cells, are integrated from the
phonon densities of states beside the labels (both files are made by
scripts/make_thermal_table.py) and compared with the model's, on rows that the table's
split tests. A density is taken as linear between its points and scaled to 3N modes; U
holds the zero-point energy, as the labels do. Densities end at 1000 cm^-1, where some
crystals have modes left (hydrogen, carbonates), so the numbers that count are of the
crystals whose density gives the C_v label within 1 %. MAD is that of these rows from
the mean of the training rows, chosen alike.

Beside the model stands the Debye law itself, its temperature chosen for each crystal so
that C_v at 300 K is that of the density: what a Debye head could reach at best, in the
sense that its error at 300 K is none.

Prints a table, then JSON on one line.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import jax
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from cloud_jax.evaluation.figures import parity_plot
from cloud_jax.evaluation.metrics import regression_metrics
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.physics import debye
from cloud_jax.preprocess.sources.phonon import integrate

TEMPERATURES_K = (100.0, 300.0, 600.0)
LABELS_K = 300.0
# Table column of each property's label, and its unit per mol of cells.
PROPERTIES = {
    "heat_capacity": ("cv_j_per_mol_cell_k", "J/(mol K)"),
    "internal_energy": ("u_j_per_mol_cell", "J/mol"),
}
CLOSE = 0.01  # of the C_v label


def read(table: Path, dos: Path) -> tuple[pd.DataFrame, dict]:
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
    found = integrate(frequencies, densities, n_atoms, np.array(TEMPERATURES_K))
    return frame, {
        (name, kelvin): values[:, i]
        for name, values in zip(PROPERTIES, found, strict=True)
        for i, kelvin in enumerate(TEMPERATURES_K)
    }


def predict(model: Predictor, rows: pd.DataFrame) -> dict:
    """Return the model's values, in the order of the rows; NaN for rejects."""
    found = model.predict(
        [json.loads(text) for text in rows["structure"]],
        ids=list(rows["id"]),
        temperature_k=TEMPERATURES_K,
        basis="cell",
    )
    wide = found.pivot(
        index="id", columns=["property", "temperature_k"], values="value"
    )
    wide = wide.reindex(rows["id"])
    return {
        (name, kelvin): wide[name, kelvin].to_numpy()
        for name in PROPERTIES
        for kelvin in TEMPERATURES_K
    }


def debye_at_best(true: dict, n_atoms: Float[np.ndarray, " N"]) -> dict:
    """Values of the Debye law that gives each crystal's C_v at 300 K."""
    with jax.enable_x64(True):
        low, high = np.full(len(n_atoms), 1.0), np.full(len(n_atoms), 1e4)
        for _ in range(40):  # C_v falls with theta
            theta = np.sqrt(low * high)
            found = debye.heat_capacity(theta, LABELS_K, n_atoms)
            above = np.asarray(found) > true["heat_capacity", LABELS_K]
            low, high = np.where(above, theta, low), np.where(above, high, theta)
        return {
            (name, kelvin): np.asarray(getattr(debye, name)(theta, kelvin, n_atoms))
            for name, kelvin in true
        }


def trained_apart(model: Predictor, table: Path) -> bool:
    """Whether the model says it has not learned from the rows that the split tests."""
    provenance = model.model.description.get("provenance", {})
    same = hashlib.sha256(table.read_bytes()).hexdigest()
    hashes = provenance.get("hashes", {})
    return hashes.get("table") == same and provenance.get("folds") == ["split"]


def measure(
    true: dict,
    predicted: dict,
    train: Bool[np.ndarray, " N"],
    test: Bool[np.ndarray, " N"],
) -> list[dict]:
    """Return the errors of each property and temperature.

    Args:
        true: of all rows.
        predicted: of the same; NaN where not asked.
        train: rows whose mean is that of a model that knows nothing.
        test: rows to measure on.
    """
    return [
        {
            "property": name,
            "temperature_k": kelvin,
            "unit": PROPERTIES[name][1],
            **regression_metrics(
                predicted[name, kelvin][test],
                true[name, kelvin][test],
                training_mean=true[name, kelvin][train].mean(),
            ),
        }
        for name, kelvin in true
    ]


def main() -> None:
    """Integrate, predict, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("model", type=Path, help="a model folder, or a finished run's")
    add("table", type=Path, nargs="?", default=Path("data/thermal_cv_u.csv"))
    add("dos", type=Path, nargs="?", default=Path("data/thermal_dos.npz"))
    add("--plot", type=Path, default=Path("dos.png"))
    arguments = parser.parse_args()
    model = load(arguments.model)
    apart = trained_apart(model, arguments.table)
    if not apart:
        print(
            f"warning: {arguments.model} does not say that it was trained on the "
            f"training rows of {arguments.table} alone",
            file=sys.stderr,
        )
    frame, true = read(arguments.table, arguments.dos)
    tested = (frame["split"] == "test").to_numpy()
    close = {
        name: np.abs(true[name, LABELS_K] / frame[column] - 1).to_numpy() < CLOSE
        for name, (column, _) in PROPERTIES.items()
    }
    predicted = {key: np.full(len(frame), np.nan) for key in true}
    for key, values in predict(model, frame[tested]).items():
        predicted[key][tested] = values
    best = debye_at_best(true, frame["n_atoms"].to_numpy())
    known = tested & np.isfinite(np.stack(list(predicted.values()))).all(axis=0)
    good = close["heat_capacity"]
    found = {
        "model": str(arguments.model),
        "trained_on_training_rows_alone": apart,
        "rows": len(frame),
        "rows_within_1_percent": {
            name: int(rows.sum()) for name, rows in close.items()
        },
        "test_rows": int(tested.sum()),
        "test_rows_rejected": int((tested & ~known).sum()),
        "test_rows_within_1_percent": int((known & good).sum()),
    }
    sets = {"within_1_percent": known & good, "all": known}
    for which, rows in sets.items():
        train = ~tested & (good if which == "within_1_percent" else True)
        found[which] = {
            "model": measure(true, predicted, train, rows),
            "debye_law_at_best": measure(true, best, train, rows),
        }
        print_table(found[which], f"{rows.sum()} test rows ({which})")
    errors = found["within_1_percent"]["model"]
    draw(arguments.plot, true, predicted, known & good, errors)
    print(f"\n{arguments.plot}\n{json.dumps(found)}")


def print_table(found: dict[str, list[dict]], title: str) -> None:
    """Print the errors of the model and of the law."""
    print(f"\n{title}\n{'':34}T / K{'MAE':>10}{'MAE/MAD':>10}")
    for who, errors in found.items():
        for row in errors:
            print(
                f"{who:18}{row['property']:16}{row['temperature_k']:5.0f}"
                f"{row['mae']:10.4g}{row['mae_over_mad_train_mean']:10.4f}"
            )


def draw(path: Path, true: dict, predicted: dict, rows, errors: list[dict]) -> None:
    """Draw predicted against integrated values, one panel a number."""
    # Name, unit and what it is in J.
    shown = {
        "heat_capacity": ("C_v", "J/(mol K)", 1),
        "internal_energy": ("U", "kJ/mol", 1000),
    }
    both = [
        np.stack([by[key][rows] / shown[key[0]][2] for key in true], axis=1)
        for by in (true, predicted)
    ]
    parity_plot(
        path,
        *both,
        names=[f"{shown[name][0]} at {kelvin:.0f} K" for name, kelvin in true],
        units=[shown[name][1] for name, _ in true],
        notes=[f"MAE/MAD {row['mae_over_mad_train_mean']:.3f}" for row in errors],
    )


if __name__ == "__main__":
    main()
