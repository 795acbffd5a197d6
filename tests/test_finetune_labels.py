"""Labels that are missing, and labels with a large offset, through the real command."""

import csv
import json

import numpy as np
import pytest
from crystal_table import CONFIG, crystals, debye_temperature, write_table

import cloud_jax
from cloud_jax import finetune, predict
from cloud_jax.models.folder import load_model

pytestmark = pytest.mark.usefixtures("compile_quickly")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.py").write_text(CONFIG.replace("bert1", "1x32"))
    return tmp_path


@pytest.fixture
def command(place):
    return lambda *arguments: finetune.main(["--config", "tiny.py", *arguments])


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write_thermal(path):
    """Write C_v at 100 and 300 K and S at 300 K, most of the last missing.

    Returns the rows, of which the last two have no label.
    """
    from cloud_jax.physics import debye

    def at(kelvin, of, missing):
        return lambda i, record: (
            ""
            if i > 39 or missing(i)
            else float(of(debye_temperature(record), kelvin, float(record.n_atoms)))
        )

    return write_table(
        path,
        42,
        cv100=at(100.0, debye.heat_capacity, lambda i: i % 3 == 1),
        cv300=at(300.0, debye.heat_capacity, lambda i: i % 3 == 2),
        s300=at(300.0, debye.entropy, lambda i: i % 5 == 0 or i > 20),
    )


THERMAL = (
    "--config.data.table=thermal.csv",
    "--config.data.n_atoms_column=n_atoms",
    "--config.targets.columns=('cv100', 'cv300', 's300')",
    "--config.targets.properties=('heat_capacity', 'heat_capacity', 'entropy')",
    "--config.targets.units=('J/(mol K)', 'J/(mol K)', 'J/(mol K)')",
    "--config.targets.bases=('cell', 'cell', 'cell')",
    "--config.targets.temperatures_k=(100.0, 300.0, 300.0)",
    "--config.folds.validation_fraction=0.25",
    "--config.optimizer.epochs=2",
)


@pytest.mark.parametrize("law", ["debye", ""])
def test_missing_labels_of_several_temperatures_cost_the_label_alone(
    command, place, capsys, law
):
    rows = write_thermal(place / "thermal.csv")
    name = f"thermal {law}"
    assert command(f"--workdir={name}", f"--config.head.law={law}", *THERMAL) == 0
    printed = capsys.readouterr().out
    assert "rows with a label: cv100 27, cv300 27, s300 16" in printed
    assert f"predict --checkpoint 'thermal {law}' FILE..." in printed
    results = json.loads((place / name / "results.json").read_text())
    assert (results["rows_used"], results["rows_rejected"]) == (40, 2)
    assert results["labels"] == {"cv100": 27, "cv300": 27, "s300": 16}
    assert [row["code"] for row in read(place / name / "rejects.csv")] == [
        "missing_target",
        "missing_target",
    ]
    (fold,) = results["folds"]
    assert fold["labels"]["test"] == {"cv100": 6, "cv300": 5, "s300": 0}
    assert [fold["ensemble"][target]["n"] for target in results["labels"]] == [6, 5, 0]
    assert fold["ensemble"]["s300"]["mae"] is None
    assert results["ensemble"]["s300"]["mae"] == {"mean": None, "std": None}
    assert results["ensemble"]["cv100"]["mae"]["mean"] > 0

    table = {row["id"]: row for row in rows}
    predictions = read(place / name / "predictions.csv")
    assert len(predictions) == 8 * 3
    for row in predictions:
        label = table[row["id"]][row["target"]]
        assert row["true"] == (label and f"{label:.9g}")
        assert np.isfinite(float(row["predicted"]))

    model = load_model(place / name)
    calibrated = model.description["calibration"]["targets"]
    held_out = fold["labels"]["validation"]  # of the first member; the second has more
    for target, entry in calibrated.items():
        assert held_out[target] <= entry["n"] <= results["labels"][target]
    structures = [structure for _, structure in crystals(40)[:3]]
    frame = cloud_jax.load(place / name).predict(structures)
    found = set(zip(frame.property, frame.temperature_k, strict=True))
    assert {("heat_capacity", 100.0), ("entropy", 300.0)} <= found
    assert np.isfinite(frame.value).all()


def test_an_offset_of_the_labels_changes_nothing_but_the_offset(command, place):
    """Also where float32 could not hold it; the model folder gives it back."""
    found = {}
    for offset in (0.0, 1e9):
        name = f"offset_{offset:g}"
        write_table(
            place / f"{name}.csv",
            y=lambda _, record, offset=offset: 0.1 * debye_temperature(record) + offset,
        )
        arguments = (
            f"--config.data.table={name}.csv",
            "--config.optimizer.epochs=2",
            "--config.members=1",
            "--config.folds.validation_fraction=0.2",
        )
        assert command(f"--workdir={name}", *arguments) == 0
        rows = read(place / name / "predictions.csv")
        results = json.loads((place / name / "results.json").read_text())
        (place / "one.json").write_text(json.dumps(crystals(40)[0][1]))
        asked = (f"--checkpoint={name}", "--output=one.csv", "one.json")
        assert predict.main([*asked, "--quiet"]) == 0
        (text,) = read(place / "one.csv")
        frame = cloud_jax.load(place / name).predict([crystals(40)[0][1]])
        found[offset] = (
            [float(row["true"]) - offset for row in rows],
            [float(row["predicted"]) - offset for row in rows],
            [frame.value[0] - offset, frame.upper[0] - frame.value[0]],
            [float(text["value"]) - offset, float(text["upper"]) - offset],
            [results["ensemble"]["y"]["mae"]["mean"]],
        )
    for small, large in zip(*found.values(), strict=True):
        np.testing.assert_allclose(large, small, rtol=1e-3)
