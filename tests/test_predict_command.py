import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from functools import reduce
from operator import getitem
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from property_model import write_model
from svg import texts

from cloud_jax.inference import inputs
from cloud_jax.inference.predictor import load
from cloud_jax.physics.laws import PROPERTIES
from cloud_jax.predict import main

ROOT = Path(__file__).resolve().parents[1]
PAIRS = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br", "I")]
CIF = """data_{0}{1}
_symmetry_space_group_name_H-M 'F m -3 m'
_cell_length_a 5.6
_cell_length_b 5.6
_cell_length_c 5.6
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
 _atom_site_type_symbol
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 {0} 0 0 0
 {1} 0.5 0.5 0.5
"""
POSCAR = "x\n1\n4 0 0\n0 4 0\n0 0 4\n{0} {1}\n1 1\ndirect\n0 0 0\n.5 .5 .5\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(write_model(tmp_path_factory.mktemp("models") / "m"))


@pytest.fixture
def cifs(tmp_path):
    """Sixteen crystals and two broken files."""
    folder = tmp_path / "cifs"
    folder.mkdir()
    for i, pair in enumerate(PAIRS):
        (folder / f"{i:02d}.cif").write_text(CIF.format(*pair))
    (folder / "03b.cif").write_text("data_cut\n_cell_length_a 5")
    (folder / "07b.cif").write_bytes(b"\x80\0\1")
    return folder


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def predict(model, *words):
    return main(["--checkpoint", model, *map(str, words)])


def test_a_folder_in_order_with_its_rejects_beside(model, cifs, tmp_path, capsys):
    out, of_another_run = tmp_path / "x.csv", tmp_path / "rejects.csv"
    of_another_run.write_text("id\n")
    assert predict(model, cifs, "--temperature", "300", "--output", out) == 0
    rows = read(out)
    ids = list(dict.fromkeys(row["id"] for row in rows))
    good = [str(p) for p in sorted(cifs.iterdir()) if not p.stem.endswith("b")]
    assert ids == good
    assert len(rows) == 16 * len(PROPERTIES)
    # The zero-point energy has no temperature, the Debye temperature no basis.
    assert {row["temperature_k"] for row in rows} == {"300", ""}
    rejects = {Path(r["id"]).name: r["code"] for r in read(tmp_path / "x.rejects.csv")}
    assert rejects == {"03b.cif": "no_atoms", "07b.cif": "binary"}
    assert "warning: 2 of 18 rejected" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "cifs",
        "rejects.csv",
        "x.csv",
        "x.rejects.csv",
    ]
    assert of_another_run.read_text() == "id\n"

    assert predict(model, good[0], good[0], "--output", out) == 0
    assert len(read(out)) == len(PROPERTIES), "a file named twice is predicted once"
    assert read(tmp_path / "x.rejects.csv") == [], "no rejects of the run before"


def test_patterns_archives_and_names_with_commas(model, cifs, tmp_path):
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        archive.add(cifs / "00.cif", "deep/00.cif")
    odd = tmp_path / 'a, "b".cif'
    odd.write_bytes((cifs / "00.cif").read_bytes())
    out = tmp_path / "x.csv"
    (cifs / "POSCAR_b").write_text(POSCAR.format("Cs", "Cl"))
    (cifs / "POSCAR_a").write_text(POSCAR.format("Ni", "Al"))
    words = [cifs / "POSCAR*", tmp_path / "all.tar.gz", odd, tmp_path / "gone.cif"]
    assert predict(model, *words, "--output", out) == 0
    ids = list(dict.fromkeys(row["id"] for row in read(out)))
    vasp = [str(cifs / "POSCAR_a"), str(cifs / "POSCAR_b")]
    assert ids == [*vasp, str(tmp_path / "all.tar.gz/deep/00.cif"), str(odd)]
    (reject,) = read(tmp_path / "x.rejects.csv")
    assert (reject["id"], reject["code"]) == (str(tmp_path / "gone.cif"), "not_found")


def test_files_that_are_not_read_are_named(model, cifs, tmp_path, capsys):
    (cifs / "notes.txt").write_text("made in May")
    (cifs / "far").symlink_to(cifs)
    words = [cifs, "--output", tmp_path / "x.csv"]
    assert predict(model, *words) == 0
    line = f"skipped 1 file that is not a structure file: {cifs / 'notes.txt'}\n"
    assert line in capsys.readouterr().err
    assert predict(model, *words, "--quiet") == 0
    assert "skipped" not in capsys.readouterr().err


def test_rows_go_to_standard_output_without_a_file(model, cifs, capfd):
    assert predict(model, cifs / "00.cif", "--basis", "atom") == 0
    rows = list(csv.DictReader(capfd.readouterr().out.splitlines()))
    assert {row["basis"] for row in rows} == {"atom", ""}


def test_files_hold_the_same_numbers_with_five_significant_digits(
    model, cifs, tmp_path
):
    long, wide, lines = (tmp_path / name for name in ("x.csv", "w.csv", "x.jsonl"))
    words = [cifs / "00.cif", cifs / "01.cif", "--temperature", "0,4,300", "--output"]
    assert predict(model, *words, long) == 0
    assert predict(model, *words, lines) == 0
    assert predict(model, *words, wide, "--wide") == 0
    rows = read(long)
    frame = load(model).predict(words[:2], temperature_k=[0, 4, 300], ids=["0", "1"])
    objects = [json.loads(line) for line in lines.read_text().splitlines()]
    listed = [one for crystal in objects for one in crystal["properties"]]
    for name in ("value", "spread", "lower", "upper"):
        five_digits = [float(f"{value:.5g}") for value in frame[name]]
        assert [row[name] for row in rows] == [f"{value:.15g}" for value in five_digits]
        assert [number for one in listed for number in one[name]] == five_digits
    capacities = [row["value"] for row in rows if row["property"] == "heat_capacity"]
    table = read(wide)
    assert [row["heat_capacity_j_per_mol_k"] for row in table] == capacities
    assert [row["temperature_k"] for row in table] == ["0", "4", "300"] * 2
    assert {row["formula"] for row in table} == {"LiF", "LiCl"}


def test_plot_and_vectors(model, cifs, tmp_path):
    plot, vectors = tmp_path / "cv.png", tmp_path / "x.parquet"
    words = ["--temperature", "0:100:50", "--plot", plot, "--embed", vectors]
    assert predict(model, cifs, *words) == 0
    assert plot.stat().st_size > 10_000
    table = pq.read_table(vectors)
    assert table.column_names == [
        "id", "sentence", "space_group", "notes", "embedding",
    ]  # fmt: skip
    assert (len(table), len(table["embedding"][0])) == (16, 16)
    assert len(read(tmp_path / "x.rejects.csv")) == 2


def test_the_figure_has_formula_space_group_and_measured_points(model, cifs, tmp_path):
    plot = tmp_path / "cv.svg"
    words = [cifs / "05.cif", cifs / "06.cif", "--plot", plot, "--temperature"]
    assert predict(model, *words, "0:300:100") == 0
    found = texts(plot)
    assert {r"NaCl ($Fm\bar{3}m$)", r"NaBr ($Fm\bar{3}m$)"} <= found
    assert {"measured $C_p$", "per mol of formula units"} <= found
    assert predict(model, *words, "300", "--plot-property", "entropy, helmholtz") == 0
    assert "per mol of formula units, 300 K" in texts(plot)
    assert "measured $C_p$" not in texts(plot)


def test_a_property_that_the_model_lacks_is_not_drawn(model, cifs, tmp_path, capsys):
    words = ["--plot", tmp_path / "x.png", "--plot-property", "entropy,hardness"]
    assert predict(model, cifs, *words) == 2
    error = capsys.readouterr().err
    assert "--plot-property: found hardness; this model has heat_capacity, " in error


def test_nothing_predicted_is_a_failure(model, cifs, tmp_path, capsys):
    assert predict(model, cifs / "03b.cif", "--output", tmp_path / "x.csv") == 1
    assert "predicted 0 of 1" in capsys.readouterr().err
    assert len(read(tmp_path / "x.rejects.csv")) == 1
    assert read(tmp_path / "x.csv") == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--temperature", "9:1:1"], "smaller temperature first"),
        (["--temperature", "-5"], "at least 0 K"),
        (["--output", "x.cif"], "expected a file name ending in .csv"),
        (["--output", "nowhere/x.csv"], "no folder nowhere"),
        (["--plot-property", "entropy"], "--plot-property: needs --plot"),
        (["--plot-property", "entropy,"], "expected names with a comma between them"),
        (["--plot-property", ""], "expected names with a comma between them"),
        (["--wide", "--json"], "--wide: JSON has no wide form"),
        (["--wide", "--output", "x.jsonl"], "--wide: JSON has no wide form"),
    ],
)
def test_wrong_arguments_end_with_usage(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["a.cif", *words])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--output", "predictions.csv"],
        ["--embed", "x.parquet"],
        ["--plot", "parity.png", "--temperature", "0:9:3"],
    ],
)
def test_nothing_is_written_among_the_results_of_a_training_run(
    words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("results.json").touch()
    with pytest.raises(SystemExit) as stop:
        main(["a.cif", *words])
    assert stop.value.code == 2
    assert "work directory of a training run" in capsys.readouterr().err


def test_a_folder_without_a_model_is_named(tmp_path, capsys):
    assert predict(str(tmp_path), "a.cif") == 1
    assert "is not a model folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("symprec",), "lacks the field symprec"),
        (("head", "outputs"), "lacks the field head.outputs"),
        (("targets", 0, "basis"), "lacks the field targets.0.basis"),
        (("kind",), "field kind: found None"),
        (("head", "law"), "field head.law: law 'mine:LAW' is neither one of debye"),
    ],
)
def test_an_unusable_model_json_is_named(model, cifs, tmp_path, capsys, place, message):
    folder = shutil.copytree(model, tmp_path / "m")
    description = json.loads((folder / "model.json").read_text())
    part = reduce(getitem, place[:-1], description)
    if place[-1] == "law":
        part["law"] = "mine:LAW"
    else:
        del part[place[-1]]
    (folder / "model.json").write_text(json.dumps(description))
    assert predict(str(folder), cifs / "00.cif") in (1, 2)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error


def test_both_searches_of_the_symmetry_give_the_same_rows(model, cifs, capfd):
    words = [cifs / "00.cif", cifs / "05.cif", "--temperature", "300"]
    assert predict(model, *words) == 0
    found = capfd.readouterr().out
    assert predict(model, *words, "--symmetry", "moyopy") == 0
    assert capfd.readouterr().out == found


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), None])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_full_disk_or_a_signal_leaves_the_old_file(
    model, cifs, tmp_path, monkeypatch, capsys, error, number
):
    def fail(*_):
        if error:
            raise error
        os.kill(os.getpid(), number)

    out = tmp_path / "x.csv"
    out.write_text("old")
    monkeypatch.setattr("cloud_jax.inference.run.CsvWriter.write", fail)
    status = predict(model, cifs / "00.cif", "--output", out)
    assert status == (1 if error else 130)
    assert out.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifs", "x.csv"]
    if error:
        assert f"error: {out}: the disk is full" in capsys.readouterr().err


def test_a_file_that_hangs_and_one_that_kills_its_process(
    model, cifs, tmp_path, monkeypatch
):
    """A sitecustomize that the workers import stands for a bug in a C library."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import os, time, gemmi\n"
        "real = gemmi.cif.read_string\n"
        "def read(text):\n"
        "    if '_hang' in text: time.sleep(60)\n"
        "    if '_die' in text: os._exit(9)\n"
        "    return real(text)\n"
        "gemmi.cif.read_string = read\n"
    )
    for name in ("hang", "die"):
        (cifs / f"05_{name}.cif").write_text(f"data_x\n_{name} 1\n")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    monkeypatch.setenv("PYTHONPATH", path)
    monkeypatch.setattr(inputs, "POOL_FROM", 4)
    monkeypatch.setattr(inputs, "TIME_LIMIT_S", 1.0)
    out = tmp_path / "x.csv"
    assert predict(model, cifs, "--temperature", "300", "--output", out) == 0
    assert len(read(out)) == 16 * len(PROPERTIES)
    rejects = {Path(r["id"]).name: r["code"] for r in read(tmp_path / "x.rejects.csv")}
    assert rejects["05_hang.cif"] == "timeout"
    assert rejects["05_die.cif"] == "crashed"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from cloud_jax.predict import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'jax', 'flax', 'pymatgen', 'pandas', 'pyarrow', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_benchmark_runs(model, cifs, monkeypatch, capsys):
    from scripts.bench_predict import main as benchmark

    words = ["bench_predict", str(cifs), "--checkpoint", model, "--rounds", "1"]
    monkeypatch.setattr(sys, "argv", words)
    benchmark()
    *_, found, rate = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["predicted"], found["rejected"]) == (16, 2)
    assert rate["structures_per_second"] > 0
