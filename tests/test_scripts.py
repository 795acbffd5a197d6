"""Each script runs to its end on a small input; its numbers are not checked."""

import csv
import json
import math
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pandas as pd
import pytest
from benchmark_files import put, take_any_hash, write_csv
from pymatgen.core import Element, Lattice, Structure
from synthetic_dataset import write_dataset

from cloud_jax.datasets import phonon
from cloud_jax.evaluation.measured import measured_heat_capacities

ROOT = Path(__file__).resolve().parents[1]
SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def run(name, *arguments, code=0, **env):
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.{name}", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} | env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def last_json(out):
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """264 rock salts as CIF, several chunks of them, and a last row without atoms."""
    path = tmp_path_factory.mktemp("salts") / "salts.csv"
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "cif"))
        metals = [Element.from_Z(z).symbol for z in range(20, 31)]
        lengths = (4.0, 4.4, 4.8, 5.2, 5.6, 6.0)
        for metal, other, a in product(metals, ("F", "Cl", "Br", "O"), lengths):
            salt = SALT.copy()
            salt.replace_species({"Na": metal, "Cl": other})
            salt.lattice = Lattice.cubic(a)
            rows.writerow((f"{metal}{other}{a}", salt.to(fmt="cif")))
        rows.writerow(("none", "data_x"))
    return f"table:{path}"


def test_bench_pretrain():
    small = ("--config=configs/bert.py:1", "--config.data.batch_crystals=16")
    out = run("bench_pretrain", *small, "--rounds=1", "--steps=1")
    assert last_json(out)["crystals_per_second"] > 0


def test_bench_pretrain_of_batches():
    out = run("bench_pretrain", "--batches", 3000, "--rounds=1")
    assert last_json(out)["fill"] > 0.9


def test_bench_accelerator(tmp_path):
    small = {"data.path": write_dataset(tmp_path / "data"), "data.batch_crystals": 8}
    small |= {"data.row_length": 32, "model.preset": "1x16"}
    settings = (f"--config.{key}={value}" for key, value in small.items())
    # One device: of a row shared by eight the kernel would not take the parts.
    options = ("--only=fused_norm", "--rounds=0")
    out = run("bench_accelerator", *options, *settings, XLA_FLAGS="")
    _, reference, fused = map(json.loads, out.splitlines())
    assert reference["exact"]
    assert fused["exact"]
    assert 0 < fused["gradient_error_float32"] < 1e-5  # the kernel did run


def test_bench_preprocess(table):
    out = run("bench_preprocess", table, "--limit=20", "--every=10", "--workers=1")
    search, process, command = map(json.loads, out.splitlines())
    assert search["crystals"] == process["records"] == 20
    assert command["crystals"] == 265


def test_bench_scale():
    line = last_json(run("bench_scale", "--records", 3000))
    assert line["kept"] > 0
    assert line["shards"] == 2


def test_check_sentences_with_the_references(tmp_path):
    (tmp_path / "cifs").mkdir()
    SALT.to(filename=str(tmp_path / "cifs" / "salt.cif"))
    scope = "1 6 a O D D a D O D b O O O c O O O d O O O e O O O 0 | 4a 4b | Na 0.5 "
    rows = "file,space_group,n_atoms_primitive,scope\nsalt.cif,225,2," + scope
    expected = tmp_path / "expected.csv"
    expected.write_text(rows + "Cl 0.5\n")
    assert "'string equal': 1" in run("check_sentences", "paper", tmp_path)
    expected.write_text(rows + "Cl 0.4\n")
    out = run("check_sentences", "paper", tmp_path)
    assert "'differs in composition': 1" in out


def test_check_sentences_between_searches(table):
    pytest.importorskip("moyopy")
    out = run("check_sentences", "symmetry", table, "--limit=5")
    assert "'crystals': 5" in out
    assert "'same canonical sentence': 5" in out


def test_check_sentences_between_descriptions(table):
    out = run("check_sentences", "canonical", table, "--every=4")
    assert "'changed': 0" in out
    n_crystals = int(out.partition("'crystals': ")[2].partition(",")[0])
    assert n_crystals > 2


def test_check_resume_of_preprocessing(table):
    kills = ("--kills=1", "--worker-kills=1", "--seed=1")
    out = run("check_resume", "preprocess", table, *kills, "--workers=1")
    assert "of 3 chunks done" in out
    assert "differing: none" in out


@pytest.mark.parametrize("name", ["thermal", "encoder"])
def test_make_weights_keeps_the_models_of_the_package(name, tmp_path):
    shipped = ROOT / "cloud_jax" / "weights" / name
    what = "model" if name == "thermal" else "encoder"
    run("make_weights", what, shipped, tmp_path)
    for file in ("weights.safetensors", "vocabulary.json"):
        assert (tmp_path / file).read_bytes() == (shipped / file).read_bytes()
    made, ours = ((x / "model.json").read_text() for x in (tmp_path, shipped))
    assert json.loads(made).items() >= json.loads(ours).items()


def test_make_weights_writes_volumes(tmp_path):
    rows = {
        "id": ["a", "b", "c", "d"],
        "canonical": ["s", "t", "u", "v"],
        "volume_per_atom": [10.0, 20.0, 1e3, 30.0],
        "split": ["train", "validation", "train", "train"],
        "n_tokens": [20, 20, 20, 65],
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "records.parquet")
    run("make_weights", "volumes", tmp_path, tmp_path / "volume.csv")
    made = pd.read_csv(tmp_path / "volume.csv").set_index("id")
    assert made["split"].to_dict() == {"a": "train", "b": "test"}
    assert made.loc["b", "log_volume_per_atom"] == pytest.approx(math.log(20))


def test_check_thermal(tmp_path, monkeypatch, capsys):
    from scripts import check_thermal

    take_any_hash(monkeypatch)
    cell = SALT.get_primitive_structure()
    atoms = {"numbers": [11, 17], "positions": cell.cart_coords.tolist()}
    atoms["cell"] = cell.lattice.matrix.tolist()
    frequencies, density = [0.0, 100.0, 200.0, 300.0], [0.0, 1.0, 1.0, 0.0]
    names = ["mp-1", "mp-2", "mp-3"]
    rows = [(name, atoms, frequencies, density) for name in names]
    put(tmp_path, "data.csv", write_csv("mp_id,structure,phfreq,phdos", rows))
    source = phonon.PhononSource(name="phonon", data_dir=str(tmp_path))
    curves = source.curves((300.0,))
    for (column, side), file in phonon.LABELS.items():
        name = "heat_capacity" if column == phonon.CV else "internal_energy"
        ((label,), *_) = getattr(curves, name).tolist()
        labels = (label, 1.01 * label, 1.015 * label)
        rows = zip(names, labels, strict=True) if side == "train" else []
        put(tmp_path, file.name, write_csv("cif_id,property", rows))
    tested = curves.heat_capacity[0].tolist()
    put(tmp_path, phonon.CLOUD_TEST.name, write_csv("cv", [tested]))
    model = ROOT / "cloud_jax" / "weights" / "thermal"
    words = [model, "--data-dir", tmp_path, "--plot", tmp_path / "cp.png"]
    monkeypatch.setattr("sys.argv", ["check_thermal", *map(str, words)])
    check_thermal.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    found = {name: value for line in lines for name, value in line.items()}
    for own in found["published"].values():
        assert own["n"] == 1
        assert own["mae_per_atom"] == pytest.approx(own["mae"] / 2)
        assert [*own["inside_the_interval"]] == ["all", "halides"]
    assert found["published"]["heat_capacity"]["mae"] < 5  # of 49 J/(mol K)
    whole = [one for one in found["temperatures"] if one["density"] == "whole"]
    assert len(whole) == 3 * 4
    assert all(one["n"] == 1 for one in whole)
    warm = next(o for o in whole if o["temperature_k"] == 300)  # C_v comes first
    assert warm["median_relative_error"] < 0.1
    assert found["floor"]["test_rows"] == {"whole": 1}
    exact = found["floor"]["heat_capacity of the density, whole"]
    assert exact["mae"] == pytest.approx(0, abs=1e-6)
    assert found["measured"]["MgO"]["cp_measured"] == [7.802, 26.681, 37.106, 37.244]
    assert (tmp_path / "cp.png").exists()


def test_check_cases_tells_right_from_wrong(tmp_path):
    crystals = tmp_path / "crystals"
    crystals.mkdir()
    SALT.to(str(crystals / "salt.cif"))
    (crystals / "broken.cif").write_text("data_broken\n")
    table = tmp_path / "table.toml"
    table.write_text("""
        [crystals]
        "salt.cif" = ["^166: ", "^225: Cl 4[ab], Na 4[ab]; 2 atoms; flags -"]
        "broken.cif" = ["^reject "]
        [[runs]]
        name = "right"
        command = "echo one; exit 3"
        says = ["^one$"]
        never = ["two"]
        exit = 3
        """)
    found = run("check_cases", tmp_path, "--table", table)
    assert found == "ok salt.cif\nok broken.cif\nok right\n0 cases failed\n"
    for old, new in (("^225", "^221"), ("exit 3", "exit 4"), ("echo one", "echo two")):
        table.write_text(table.read_text().replace(old, new))
    found = run("check_cases", tmp_path, "--table", table, code=1)
    assert "not said: ^one$; said: two; exit code 4, expected 3" in found
    assert "2 cases failed" in found


def test_textbook_values_are_those_of_solids():
    from scripts.check_textbook import TABULATED_K, group_of, read_table

    structures, table = read_table()
    assert len(table) == 104
    for name, structure in structures.items():
        if group_of(structure) == "compounds":
            assert structure.composition.reduced_formula == name
    # S is the integral of C / T, H that of C, and C at most C_p at the end.
    enthalpy = table["enthalpy"].fillna(0) / TABULATED_K
    assert (enthalpy < table["entropy"]).all()
    assert (enthalpy < table["heat_capacity"]).all()
    per_atom = [
        cp / structures[name].composition.reduced_composition.num_atoms
        for name, cp in table["heat_capacity"].items()
    ]
    assert 6 < min(per_atom) < max(per_atom) < 33  # diamond to rubidium, J/(mol K)
    # The package's table of C_p is another compilation of the same measurements.
    both = measured_heat_capacities().keys() & set(table.index)
    assert len(both) == 19
    for name in both:
        measured = measured_heat_capacities()[name]
        (at_298,) = measured.cp[measured.temperature_k == TABULATED_K]
        assert at_298 == pytest.approx(table["heat_capacity"][name], rel=0.025), name


def test_check_textbook(tmp_path, monkeypatch, capsys):
    from scripts import check_textbook

    content = check_textbook.TABLE.read_text()
    head, solids = content.split("[solids]\n")
    kept = [row for row in solids.splitlines() if row.split()[0] in ("NaCl", "Cu")]
    small = tmp_path / "small.toml"
    small.write_text(head + "[solids]\n" + "\n".join(kept))
    monkeypatch.setattr(check_textbook, "TABLE", small)
    model = ROOT / "cloud_jax" / "weights" / "thermal"
    output = tmp_path / "out.json"
    words = ["check_textbook", str(model), f"--output={output}"]
    monkeypatch.setattr("sys.argv", words)
    check_textbook.main()
    found = json.loads(output.read_text())
    assert found["solids"]["NaCl"]["group"] == "compounds"
    assert found["solids"]["NaCl"]["entropy"] == 72.15
    assert abs(found["solids"]["NaCl"]["heat_capacity_error"]) < 0.1
    assert found["medians"]["metals"]["entropy"]["n"] == 1
    assert found["medians"]["all"]["enthalpy"]["n"] == 2
    assert "metals" in capsys.readouterr().out
