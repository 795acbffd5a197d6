"""Runs on C_v and U compared by the real command, on real crystals made small."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from crystal_table import CONFIG, PHYSICS, crystals, debye_temperature, write_table
from pymatgen.core import Structure
from scipy.constants import gas_constant, value

import cloud_jax
from cloud_jax import finetune
from cloud_jax.datasets import download
from cloud_jax.datasets.phonon import CV, LABELS, PhononSource
from cloud_jax.studies.phonon import command as phonon
from cloud_jax.studies.phonon.finished_runs import read_runs, role
from cloud_jax.studies.phonon.heat_capacity import measured_points
from cloud_jax.studies.phonon.known_crystals import (
    KNOWN,
    formula_atoms,
    known_structure,
)

ROOT = Path(__file__).resolve().parents[3]
N = 30
FREQUENCIES = [2.0 * i for i in range(501)]  # cm^-1


def atoms(structure):
    """As the published file has them."""
    numbers = [site.specie.Z for site in structure]
    cell, positions = structure.lattice.matrix, structure.cart_coords
    return {"numbers": numbers, "positions": positions.tolist(), "cell": cell.tolist()}


def debye_density(theta):
    """Of the Debye law, whose C_v and U then are those of the labels."""
    edge = theta / (100 * value("second radiation constant"))
    return [(x / edge) ** 2 if x <= edge else 0.0 for x in FREQUENCIES]


def write_published(folder, table):
    """Phonons and labels of all crystals that are given as primitive cells.

    MgO has phonons, but no label.
    """
    rows = []
    for i, (record, payload) in enumerate(crystals(N)):
        structure = Structure.from_dict(payload)
        if len(structure) == record.n_atoms:
            rows.append((f"x-{i}", structure, debye_temperature(record)))
    labels = {row["id"]: row for row in table}
    for (column, side), file in LABELS.items():
        chosen = [labels[name] for name, *_ in rows] if side == "train" else []
        with (folder / file.name).open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("cif_id", "property"))
            for row in chosen:
                value = row["cv"] if column == CV else 1000 * row["u"]
                writer.writerow((row["id"], value))
    magnesia = known_structure("MgO").get_primitive_structure()
    rows.append(("mp-1265", magnesia, 760.0))
    with (folder / "data.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("mp_id", "structure", "phfreq", "phdos"))
        for name, structure, theta in rows:
            density = debye_density(theta)
            writer.writerow((name, atoms(structure), FREQUENCIES, density))


def write_regression(folder, law_run):
    """A finished run without a law, as a regression head would leave it."""
    folder.mkdir(parents=True)
    results = json.loads((law_run / "results.json").read_text())
    results |= {"law": None, "targets": results["targets"][:1], "checkpoint": "x"}
    (folder / "results.json").write_text(json.dumps(results))
    with (law_run / "predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["target"] == "cv"]
    with (folder / "predictions.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"predicted": 50.0} for row in rows)


def add_crystals(path):
    """Space groups and volumes, which a table of ready sentences does not give."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        for row in rows:
            record, _ = crystals(N)[int(row["id"].removeprefix("x-"))]
            volume = record.n_atoms * record.volume_per_atom
            known = {"space_group": record.space_group, "volume_a3": volume}
            writer.writerow(row | known)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A finished run on C_v and U, one of regression, and densities."""
    folder = tmp_path_factory.mktemp("phonon")
    table = write_table(folder / "table.csv", N)
    (folder / "tiny.py").write_text(CONFIG)
    before = Path.cwd()
    os.chdir(folder)
    jax.config.update("jax_disable_most_optimizations", True)  # less to compile
    try:
        command = ["--config=tiny.py", "--workdir=law", *PHYSICS]
        assert finetune.main([*command, "--config.optimizer.epochs=1"]) == 0
    finally:
        os.chdir(before)
    add_crystals(folder / "law" / "predictions.csv")
    write_regression(folder / "plain", folder / "law")
    (folder / "data").mkdir()
    write_published(folder / "data", table)
    yield folder
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def command(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setattr(download, "_digest_of", lambda path, file: file.checksum[1])
    return lambda *arguments: phonon.main([*arguments])


def read(folder):
    return json.loads((folder / "results.json").read_text())


@pytest.fixture
def compared(command, place, capsys):
    """What the command writes of both runs with all there is."""
    if not (place / "out" / "results.json").exists():
        assert command("law", "plain", "--output=out") == 0
        assert capsys.readouterr().err == ""
    return read(place / "out")


def test_table_1_has_our_rows_beside_the_papers(compared, place):
    rows = compared["table_1"]["ours"]
    assert [(row["label"], row["column"], row["law"]) for row in rows] == [
        ("Debye, scratch", "thermal_cv", "debye"),
        ("Debye, scratch", "thermal_u", "debye"),
        ("regression, pretrained", "thermal_cv", None),
    ]
    results = read(place / "law")
    for row, target in zip(rows, ("cv", "u", "cv"), strict=True):
        assert (row["protocol"], row["folds"], row["members_a_fold"]) == (
            "strict",
            1,
            2,
        )
        for name, found in row["single"].items():
            assert found == results["single"][target][name]
        assert row["ensemble"]["mae"] == results["ensemble"][target]["mae"]
    cell = compared["table_1"]["paper"]["CLOUD-DEBYE, fine-tuned"]["thermal_cv"]
    assert (cell["value"], cell["deviation"]) == (0.057, 0.001)
    assert compared["kind"] == "phonon"
    assert compared["missing"] == []


def test_figures_are_there_with_captions_and_hashes(compared, place):
    names = [figure["file"] for figure in compared["figures"]]
    assert names == ["violin.png", "volume.png", "symmetry.png", "heat_capacity.png"]
    for figure in compared["figures"]:
        assert (place / "out" / figure["file"]).stat().st_size > 10_000
        assert "(Figure " in figure["caption"]
    files = {"law/results.json", "law/predictions.csv", "plain/results.json"}
    files |= {"plain/predictions.csv", "data.csv"}
    files |= {file.name for file in LABELS.values()}
    assert compared["hashes"].keys() == files


def test_errors_are_those_of_the_predictions(compared, place):
    with (place / "plain" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    errors = [abs(float(row["true"]) - 50) for row in rows]
    found = compared["errors"]["heat_capacity"]["regression, pretrained"]
    assert found["n"] == len(rows) == 6
    assert found["absolute_error"]["mean"] == pytest.approx(np.mean(errors), rel=1e-12)
    assert sum(own["n"] for own in found["volume_bins"]) == 6
    assert sum(own["n"] for own in found["crystal_systems"].values()) == 6
    groups = {str(row["space_group"]) for row in rows}
    assert found["space_groups"].keys() == groups
    assert compared["errors"]["internal_energy"].keys() == {"Debye, scratch"}


def test_heat_capacities_are_compared_up_to_300_k(compared, place):
    found = compared["heat_capacities"]["Debye, scratch"]
    assert found.keys() == KNOWN.keys()
    assert found["MgO"]["temperature_k"] == [100.0, 200.0, 298.15, 300.0]
    assert found["GaN"]["temperature_k"] == [298.15]
    frame = cloud_jax.load(place / "law").predict(
        [known_structure("GaN")], temperature_k=298.15, basis="formula"
    )
    (row,) = frame[frame.property == "heat_capacity"].itertuples()
    deviation = row.value / 35.819 - 1
    assert found["GaN"]["mean_signed_relative_deviation"] == pytest.approx(deviation)
    # x-7 is the AFLOW prototype of the orthorhombic perovskite, which is CaTiO3.
    assert compared["phonons_of"] == {"MgO": "mp-1265", "CaTiO3": "x-7"}
    assert found["MgO"]["role"] == found["GaN"]["role"] == "not in the table"


def test_a_crystal_was_tested_or_learned_from(command, place):
    (run, _) = read_runs([place / "law"])
    labelled = {f"x-{i}" for i in range(N)}
    assert role(run, "x-5", labelled) == "test"
    assert role(run, "x-7", labelled) == "learned from"
    assert role(run, None, labelled) == role(run, "x-99", labelled)
    assert role(run, None, labelled) == "not in the table"
    assert role(run, "x-7", {"x-7"}) == role(run, "x-7", set()) == ""  # another table
    both = run._replace(results=run.results | {"folds": [{}, {}]})
    assert role(both, "x-5", labelled) == "learned from"


def test_other_temperatures_are_measured_where_a_density_gives_the_label(compared):
    for name in ("heat_capacity", "internal_energy"):  # the label of U is in kJ
        found = compared["other_temperatures"][f"Debye, scratch, {name}"]
        assert found["measured_on"] == found["test_rows"] == 6
        assert [row["temperature_k"] for row in found["model"]] == [100, 300, 600] * 2
        for row in found["debye_law_at_best"]:  # the densities are the law's own
            assert row["mae_over_mad_test_mean"] < 2e-3
        assert all(row["mae"] > 0 for row in found["model"])


def test_the_mean_of_mad_is_that_of_labelled_rows_that_were_not_tested(compared):
    curves = PhononSource(name="phonon", data_dir="data").curves([600.0])
    tested = np.isin(curves.ids, [f"x-{i}" for i in range(0, N, 5)])
    values = curves.heat_capacity[:, 0]
    mean = values[~tested & (np.array(curves.ids) != "mp-1265")].mean()
    (found,) = (
        row
        for row in compared["other_temperatures"]["Debye, scratch, heat_capacity"][
            "model"
        ]
        if (row["property"], row["temperature_k"]) == ("heat_capacity", 600)
    )
    mad = found["mae"] / found["mae_over_mad_train_mean"]
    assert mad == pytest.approx(np.abs(values[tested] - mean).mean(), rel=1e-9)


def test_what_is_missing_is_told_and_the_rest_is_made(command, place, capsys):
    options = ("--data-dir=nowhere", "--output=less")
    assert command("law", *options) == 0
    err = capsys.readouterr().err
    assert "found no file data.csv in nowhere" in err
    assert "github.com/ninarina12/phononDoS_tutorial" in err
    found = read(place / "less")
    assert len(found["missing"]) == 1
    assert "other_temperatures" not in found
    assert [figure["file"] for figure in found["figures"]][-1] == "heat_capacity.png"


def test_regression_has_no_curves_and_an_older_run_no_volumes(command, place, capsys):
    older = place / "older"
    write_regression(older, place / "law")
    with (older / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    with (older / "predictions.csv").open("w", newline="") as file:
        columns = [name for name in rows[0] if name not in ("space_group", "volume_a3")]
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    assert command("older", "--output=plainest") == 0
    err = capsys.readouterr().err
    assert (
        "volume.png: heat capacity: too few volumes are known for bins: columns" in err
    )
    assert "symmetry.png: heat capacity: no space group is known" in err
    assert "heat_capacity.png: no run has a law (config.head.law)" in err
    found = read(place / "plainest")
    assert [figure["file"] for figure in found["figures"]] == ["violin.png"]


def test_of_several_temperatures_that_of_the_published_labels_counts(command, place):
    (cv,) = read(place / "plain")["targets"]
    others = {"temperature_k": 50.0}, {"basis": "atom"}
    targets = [*(cv | {"name": f"{other}"} | other for other in others), cv]
    (run,) = read_runs([place / edited(place, "warm", targets=targets)])
    assert (run.property, run.target) == ("heat_capacity", "cv")


def test_runs_of_one_kind_are_told_apart_by_their_paths(command, place):
    paths = [place / "a" / "cv", place / "b" / "cv"]
    for path in paths:
        write_regression(path, place / "law")
    assert command("a/cv", "b/cv", "--output=pair") == 0
    labels = [row["label"] for row in read(place / "pair")["table_1"]["ours"]]
    assert labels == [
        "regression, pretrained (a/cv)",
        "regression, pretrained (b/cv)",
    ]
    assert [*read(place / "pair")["errors"]["heat_capacity"]] == labels


def test_an_interrupt_writes_no_results(command, place, monkeypatch, capsys):
    def interrupt(folders):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloud_jax.studies.phonon.run.read_runs", interrupt)
    assert command("plain", "--output=stopped") == 130
    assert capsys.readouterr().err == "stopped: nothing was kept\n"
    assert not (place / "stopped").exists()


def edited(place, name, **fields):
    """A copy of the regression run with another results.json."""
    write_regression(place / name, place / "law")
    results = read(place / name) | fields
    (place / name / "results.json").write_text(json.dumps(results))
    return name


def test_what_cannot_be_compared_is_refused(command, place, capsys):
    target = {"name": "gap", "property": ""}
    (place / "folder").mkdir()
    for arguments, message in {
        ("folder",): "folder: found no results.json, expected the folder of a finished",
        ("plain", "./plain"): "plain: found twice among the runs: give it once",
        (edited(place, "bare", single={}),): "'cv'",
        (edited(place, "foreign", kind="scaling"),): "kind scaling",
        (edited(place, "old", targets=None),): "that of an older version: run it again",
        (edited(place, "gap", targets=[target]),): "found gap (no property); expected",
        ("law", "--output=law"): "(kind finetune), expected results of phonon",
    }.items():
        output = (
            () if any("--output" in word for word in arguments) else ("--output=x",)
        )
        assert command(*arguments, *output) == 1
        assert message in capsys.readouterr().err


def test_known_crystals_have_their_formula_and_limit():
    for name, crystal in KNOWN.items():
        assert known_structure(name).composition.reduced_formula == name
        assert 1000 < crystal.melting_k < 3200
        assert measured_points()[name][0].max() < crystal.melting_k
    assert 3 * formula_atoms("Al2O3") * gas_constant == pytest.approx(124.717, abs=1e-3)


def test_help_is_quick():
    code = (
        "import sys, cloud_jax.studies.phonon.command as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'jax', 'numpy', 'pymatgen', 'pandas'} & set(sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    assert "--data-dir" in found.stdout
