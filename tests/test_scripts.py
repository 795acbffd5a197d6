"""Each script runs to its end on something small: numbers are not looked at."""

import csv
import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Element, Lattice, Structure

ROOT = Path(__file__).resolve().parents[1]
SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def run(name, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.{name}", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def last_json(out):
    return json.loads(out.splitlines()[-1])


@pytest.fixture
def cifs(tmp_path):
    (tmp_path / "cifs").mkdir()
    SALT.to(filename=str(tmp_path / "cifs" / "salt.cif"))
    return tmp_path / "cifs"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Rock salts as CIF, of several chunks; the last is no crystal."""
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


def test_bench_batches():
    out = run("bench_batches", "--crystals", 3000, "--rows", 16, "--row-length", 64)
    assert last_json(out)["fill"] > 0.9


def test_bench_pretrain():
    small = ("--config=configs/bert.py:1", "--config.data.batch_crystals=16")
    out = run("bench_pretrain", *small, "--rounds=1", "--steps=1")
    assert last_json(out)["crystals_per_second"] > 0


def test_bench_encode(cifs):
    assert last_json(run("bench_encode", cifs, "--rounds=1"))["files"] == 1


def test_check_paper_dialect(cifs):
    scope = "1 6 a O D D a D O D b O O O c O O O d O O O e O O O 0 | 4a 4b | Na 0.5 "
    rows = "file,space_group,n_atoms_primitive,scope\nsalt.cif,225,2," + scope
    expected = cifs.parent / "expected.csv"
    expected.write_text(rows + "Cl 0.5\n")
    assert "'string equal': 1" in run("check_paper_dialect", cifs.parent)
    expected.write_text(rows + "Cl 0.4\n")
    assert "'differs in composition': 1" in run("check_paper_dialect", cifs.parent)


def test_plot_learning_curve(tmp_path):
    event = {"loss": 2.0, "loss_symmetry": 1.0, "loss_wyckoff": 3.0}
    event["loss_composition"] = 2.5
    lines = [
        json.dumps({"epoch": epoch, "split": split, **event})
        for epoch in (1, 2)
        for split in ("train", "validation")
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    run("plot_learning_curve", tmp_path / "curve.png", tmp_path)
    assert (tmp_path / "curve.png").stat().st_size > 10_000


def test_make_thermal_table(tmp_path):
    names = "mp_id,scope_paper,n_atoms,cv_j_per_mol_cell_k,u_j_per_mol_cell"
    labels = f"{names},split_cloud,split_gong\nmp-1,x,1,20,3000,train,test\n"
    (tmp_path / "labels.csv").write_text(labels)
    cell = "[[3, 0, 0], [0, 3, 0], [0, 0, 3]]"
    atoms = f"{{'numbers': [3], 'positions': [[0, 0, 0]], 'cell': {cell}}}"
    phonons = f'mp_id,structure,phfreq,phdos\nmp-1,"{atoms}","[0, 20]","[0, 1]"\n'
    (tmp_path / "phonons.csv").write_text(phonons)
    files = tmp_path / "labels.csv", tmp_path / "phonons.csv"
    run("make_thermal_table", *files, "--output", tmp_path)
    with (tmp_path / "thermal_cv_u.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert (row["id"], row["split"], row["split_gong"]) == ("mp-1", "train", "test")
    assert '"Li"' in row["structure"]
    assert np.load(tmp_path / "thermal_dos.npz")["dos"].shape == (1, 2)


def test_bench_debye():
    out = run("bench_debye", "--pairs", 1000, "--rounds", 1)
    assert last_json(out)["least_pairs_per_second"] > 0


def test_bench_preprocess(table):
    out = run("bench_preprocess", table, "--limit=20", "--every=10", "--workers=1")
    search, process, command = map(json.loads, out.splitlines())
    assert search["crystals"] == process["records"] == 20
    assert command["crystals"] == 265


def test_compare_symmetry(table, tmp_path):
    pytest.importorskip("moyopy")
    options = ("--output", tmp_path, "--limit=5", "--processes=1")
    run("compare_symmetry", table, *options)
    found = json.loads((tmp_path / "summary.json").read_text())
    assert (found["crystals"], found["classes"]) == (5, {"equal": 5})
    assert (tmp_path / "differences.csv").read_text().startswith("id,class")


def test_check_preprocess_resume(table):
    kills = ("--kills=1", "--worker-kills=1", "--seed=1")
    out = run("check_preprocess_resume", table, *kills, "--workers=1")
    assert "of 3 chunks done" in out
    assert "differing: none" in out


def test_check_beam(table):
    pytest.importorskip("apache_beam")
    out = run("check_beam", table, "--limit=150", "--deduplicate=none")
    assert "differing: none" in out
    assert [json.loads(line)["engine"] for line in out.splitlines()[:2]] == [
        "local",
        "beam",
    ]


def test_check_scaling():
    assert last_json(run("check_scaling", "--datasets", 1))["datasets"] == 1


def test_bench_scale():
    line = last_json(run("bench_scale", "--records", 3000))
    assert line["kept"] > 0
    assert line["shards"] == 2


def test_bench_archive(table):
    line = last_json(run("bench_archive", table, "--limit=20", "--page-limit=7"))
    assert line["structures"] == 20


def test_check_matbench(tmp_path):
    from cloud_jax.datasets import matbench

    splits = {}
    for task in matbench.TASKS:
        source = matbench.MatbenchSource.from_word(task, str(tmp_path))
        tested = splits[source.name] = {}
        for row, fold in enumerate(source.folds()):
            tested.setdefault(fold, []).append(row)
    (tmp_path / "folds.json").write_text(json.dumps({"splits": splits}))
    out = run("check_matbench", tmp_path / "folds.json", "--data-dir", tmp_path)
    assert out.count("folds official") == len(matbench.TASKS)


def test_shuffle_npz(tmp_path):
    n_sites = np.array([2, 0, 1, 3])
    numbers = np.repeat(np.arange(4), n_sites)
    arrays = {"n_sites": n_sites, "Z": numbers, "frac": numbers[:, None].repeat(3, 1)}
    arrays |= {"lattice": np.zeros((4, 3, 3)), "material_id": np.array(list("abcd"))}
    np.savez(tmp_path / "in.npz", **arrays)
    run("shuffle_npz", tmp_path / "in.npz", tmp_path / "out.npz", "--seed=0")
    out = dict(np.load(tmp_path / "out.npz"))
    order = ["abcd".index(name) for name in out["material_id"]]
    assert order != sorted(order)
    np.testing.assert_array_equal(out["n_sites"], n_sites[order])
    np.testing.assert_array_equal(out["Z"], np.repeat(order, n_sites[order]))
    np.testing.assert_array_equal(out["frac"][:, 0], out["Z"])


def test_check_damaged(cifs, tmp_path):
    out = run("check_damaged", cifs, "--output", tmp_path / "out", "--crystals=1")
    assert last_json(out)["kinds"] > 50


def test_make_benchmark_tables(tmp_path):
    folder = tmp_path / "cdvae_labels"
    folder.mkdir()
    cif = SALT.to(fmt="cif")
    for part, tc in (("train", -1.5), ("val", -2.5), ("test", -0.5)):
        rows = pd.DataFrame({"material_id": [f"x-{part}"], "prop": tc, "cif": cif})
        rows.to_csv(folder / f"supercon_{part}.csv.gz", index=False)
    tables = tmp_path / "tables"
    only = ("--only", "unconvbench_supercon")
    out = run("make_benchmark_tables", tmp_path, tables, *only)
    assert out.startswith("unconvbench_supercon: stand-in: 3 of the 1,058")
    made = pd.read_csv(tables / "unconvbench_supercon.csv.gz")
    assert made["Tc"].tolist() == [1.5, 2.5, 0.5]
    assert sorted(made["fold"]) == ["fold_0", "fold_1", "fold_2"]
    assert made["structure"].tolist() == [cif] * 3
