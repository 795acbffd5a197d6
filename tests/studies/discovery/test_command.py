"""`cloud-jax study discovery` on small files of the real formats."""

import csv
import gzip
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from cloud_jax.datasets import download
from cloud_jax.datasets.discovery import WBM_SUMMARY
from cloud_jax.studies.discovery.command import main

ROOT = Path(__file__).resolve().parents[3]
IDS = [f"wbm-1-{i}" for i in range(1, 13)]
ENERGY = [-1.0, -0.5, -2.0, 0.25, -1.5, -0.25, -3.0, -0.75, 0.5, -1.25, -2.5, 0.0]
HULL = [-0.25, -0.125, 0.0, 0.25, 0.5, 0.125, -0.5, 0.0, 0.75, 0.25, 0.5, 1.0]
# Of 5 stable crystals 3 are found; of 7 unstable ones 2 are called stable, and one has
# no prediction.
ERROR = [0.0, 0.0, 0.0, 0.25, 0.25, -0.25, 1.0, 0.5, 0.0, -0.5, 0.25, None]
PREDICTED = [
    None if error is None else energy + error
    for energy, error in zip(ENERGY, ERROR, strict=True)
]
UNIQUE = [i % 4 != 3 for i in range(12)]
SUMMARY = (
    "material_id,formula,e_form_per_atom_wbm,e_form_per_atom_mp2020_corrected,"
    "e_above_hull_wbm,e_above_hull_mp2020_corrected_ppd_mp,unique_prototype"
)
RUN = "fold,id,target,unit,true,predicted,spread,space_group,volume_a3"


def text_of(header, rows):
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header.split(","), *rows])
    return text.getvalue()


def write(path, header, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text_of(header, rows))
    return path


@pytest.fixture
def run(tmp_path):
    """A finished fine-tuning run."""
    rows = [
        ("test", name, "e_form_per_atom", "eV/atom", true, found, "", 225, 40.0)
        for name, true, found in zip(IDS, ENERGY, PREDICTED, strict=True)
        if found is not None
    ]
    folder = tmp_path / "runs" / "mine"
    write(folder / "predictions.csv", RUN, rows)
    results = {"kind": "finetune", "note": "A part of MP.", "members_a_fold": 3}
    results |= {"parameters_of_a_member": 1234, "table": "discovery:mp+wbm"}
    (folder / "results.json").write_text(json.dumps(results))
    return folder


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with WBM's summary, in its format."""
    monkeypatch.setattr(download, "_digest_of", lambda path, file: file.checksum[1])
    rows = [
        (name, "AB", 9.0, energy, 9.0, hull, unique)
        for name, energy, hull, unique in zip(IDS, ENERGY, HULL, UNIQUE, strict=True)
    ]
    folder = tmp_path / "data" / "discovery"
    folder.mkdir(parents=True)
    content = gzip.compress(text_of(SUMMARY, rows).encode())
    (folder / WBM_SUMMARY.name).write_bytes(content)
    return folder.parent


@pytest.fixture
def arrays(tmp_path):
    """A data folder with WBM's arrays and without the hull."""
    folder = tmp_path / "arrays"
    folder.mkdir()
    energy = np.array(ENERGY, dtype=np.float32)
    np.savez(
        folder / "wbm_initial_structures.npz",
        material_id=np.array(IDS),
        e_form_per_atom_mp2020_corrected=energy,
    )
    return folder


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take most of the time."""
    monkeypatch.setattr(
        "cloud_jax.studies.discovery.figures.draw_figures", lambda *_: []
    )


def command(*words):
    return main([str(word) for word in words])


def read(folder):
    return json.loads((folder / "results.json").read_text())


def submission(folder):
    (path,) = (folder / "submission").glob("models/*/*.yml")
    return yaml.safe_load(path.read_text()), path


def test_a_run_against_the_published_hull(run, data, capsys):
    assert command(run, "--data-dir", data) == 0
    found = read(run / "discovery")
    assert (found["kind"], found["benchmark"]) == ("discovery", "discovery")
    full = found["stability"]["full"]
    cells = ("tp", "fp", "tn", "fn", "missing")
    assert [full[x] for x in cells] == [3, 2, 5, 2, 1]
    assert full["daf"] == pytest.approx(3 / 5 / (5 / 12), rel=1e-12)
    assert set(found["stability"]) == {"full", "unique_prototypes", "most_stable_10k"}
    unique = found["stability"]["unique_prototypes"]
    assert [unique[x] for x in cells] == [3, 2, 3, 1, 0]
    assert found["formation_energy"]["n"] == 11
    assert found["formation_energy"]["mae"] == pytest.approx(3 / 11, rel=1e-12)
    assert [point["threshold_ev"] for point in found["thresholds"]] == [-0.05, 0, 0.05]
    assert found["absent"] == []
    assert found["note"] == "A part of MP."
    for figure in found["figures"]:
        content = (run / "discovery" / figure["file"]).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert figure["caption"]
    assert len(found["figures"]) == 4
    out = capsys.readouterr().out
    assert re.search(r"full test set +0\.600 +1\.440 +0\.600", out)
    assert re.search(r"the paper's CLOUD \(S4\) +0\.474 +2\.043 +0\.340", out)


@pytest.mark.usefixtures("undrawn")
def test_the_submission_is_in_the_leaderboards_format(run, data, tmp_path, capsys):
    mine = {"authors": [{"name": "A", "email": "a@b.c"}], "model_key": "mine-1.0"}
    (tmp_path / "me.yml").write_text(
        yaml.safe_dump(mine | {"doi": "https://doi.org/x"})
    )
    command(run, "--data-dir", data, "--metadata", tmp_path / "me.yml")
    fields, path = submission(run / "discovery")
    assert path.parts[-3:] == ("models", "mine_1_0", "mine-1.0.yml")
    assert fields["targets"] == "E"
    assert fields["training_sets"] == ["MP 2022"]
    assert (fields["model_params"], fields["n_estimators"]) == (1234, 3)
    metrics = fields["metrics"]["discovery"]
    assert set(metrics) == {"pred_file", "full_test_set", "unique_prototypes"}
    assert metrics["full_test_set"] == {
        "F1": 0.6, "DAF": 1.44, "Precision": 0.6, "Recall": 0.6, "Accuracy": 0.667,
        "TP": 3, "FP": 2, "TN": 5, "FN": 2, "MAE": 0.273, "RMSE": 0.399,
        "R2": metrics["full_test_set"]["R2"], "missing_preds": 1,
    }  # fmt: skip
    counts = ("TP", "FP", "TN", "FN", "missing_preds")
    assert {type(metrics["full_test_set"][x]) for x in counts} == {int}
    name = metrics["pred_file"]["name"]
    assert re.fullmatch(
        r"models/mine_1_0/mine-1\.0/\d{4}-\d\d-\d\d-discovery\.csv\.gz", name
    )
    table = path.parents[2] / name
    lines = gzip.decompress(table.read_bytes()).decode().splitlines()
    assert lines[:2] == ["material_id,e_form_per_atom", "wbm-1-1,-1.000000"]
    assert len(lines) == 12
    assert read(run / "discovery")["submission"]["to_fill_in"] == []
    assert "null so far: repo, paper, pr_url, checkpoint_url" in capsys.readouterr().out


@pytest.mark.usefixtures("undrawn")
def test_an_older_submission_is_replaced(run, data):
    command(run, "--data-dir", data)
    _, path = submission(run / "discovery")
    (new,) = path.parent.rglob("*-discovery.csv.gz")
    content = new.read_bytes()
    new.rename(new.with_name("2020-01-01-discovery.csv.gz"))
    command(run, "--data-dir", data)
    (again,) = path.parent.rglob("*-discovery.csv.gz")
    assert again == new
    assert again.read_bytes() == content


def test_without_the_hull_it_says_which_file_it_wants(run, tmp_path, capsys):
    assert command(run, "--data-dir", tmp_path) == 0
    found = read(run / "discovery")
    assert "stability" not in found
    assert found["formation_energy"]["mae"] == pytest.approx(3 / 11, rel=1e-12)
    (sentence,) = found["absent"]
    for part in ("F1", WBM_SUMMARY.name, WBM_SUMMARY.page, str(tmp_path), "--summary"):
        assert part in sentence
    assert sentence in capsys.readouterr().out
    fields, path = submission(run / "discovery")
    assert set(fields["metrics"]["discovery"]) == {"pred_file"}
    assert path.read_text().startswith("# to fill in: authors")
    assert [figure["file"] for figure in found["figures"]] == ["parity.png"]


@pytest.mark.usefixtures("undrawn")
def test_a_table_of_hull_distances_and_its_note(run, tmp_path, capsys):
    table = write(
        tmp_path / "hull.csv", "material_id,e_above_hull", zip(IDS, HULL, strict=True)
    )
    table.write_text("# Approximate:\n# do not trust.\n" + table.read_text())
    assert command(run, "--data-dir", tmp_path, "--summary", table) == 0
    found = read(run / "discovery")
    assert found["note"] == "A part of MP. Approximate: do not trust."
    assert found["reference"]["hull_is_published"] is False
    # The run has no label of the crystal without prediction, so nothing is lost of it.
    cells = ("tp", "fp", "tn", "fn")
    assert [found["stability"]["full"][x] for x in cells] == [3, 2, 4, 2]
    sentences = " ".join(found["absent"])
    assert "unique_prototype, which hull.csv lacks" in sentences
    assert WBM_SUMMARY.page in sentences
    assert "true energy is not known, though their hull is: 1" in sentences
    assert "do not trust" in capsys.readouterr().out
    fields, _ = submission(run / "discovery")
    assert set(fields["metrics"]["discovery"]) == {"pred_file"}


@pytest.mark.usefixtures("undrawn")
def test_a_table_of_predictions_with_the_arrays(arrays, tmp_path):
    rows = [(name, 0, found) for name, found in zip(IDS, PREDICTED, strict=True)]
    table = write(tmp_path / "x.csv", "material_id,energy,e_form_per_atom_x", rows)
    words = ("--data-dir", arrays, "--output", tmp_path / "out")
    hull = [(*row, "yes") for row in zip(IDS, HULL, strict=True)]
    mine = write(tmp_path / "hull.csv", "material_id,e_above_hull,else", hull)
    assert command(table, *words, "--summary", mine) == 0
    found = read(tmp_path / "out")
    assert found["column"] == "e_form_per_atom_x"
    assert found["formation_energy"]["missing"] == 1
    assert found["stability"]["full"]["tn"] == 5
    assert command(table, *words, "--target", "energy") == 0
    assert read(tmp_path / "out")["formation_energy"]["n"] == 12


@pytest.mark.usefixtures("undrawn")
def test_what_a_run_rejected_is_missing(run, arrays):
    assert command(run, "--data-dir", arrays) == 0
    energy = read(run / "discovery")["formation_energy"]
    assert (energy["n"], energy["missing"]) == (11, 1)


@pytest.mark.usefixtures("undrawn")
def test_crystals_beyond_a_users_table_are_counted(run, tmp_path):
    rows = zip(IDS[:9], HULL[:9], ENERGY[:9], strict=True)
    header = "material_id,e_above_hull,e_form_per_atom"
    table = write(tmp_path / "hull.csv", header, rows)
    assert command(run, "--data-dir", tmp_path, "--summary", table) == 0
    found = read(run / "discovery")
    assert found["predictions_without_reference"] == 2
    assert found["formation_energy"]["n"] == 9


@pytest.mark.usefixtures("undrawn")
def test_outliers_are_missing_on_the_leaderboard_only(run, data):
    path = run / "predictions.csv"
    path.write_text(path.read_text().replace(",-1.0,-1.0,", ",-1.0,-9.0,"))
    assert command(run, "--data-dir", data) == 0
    found = read(run / "discovery")
    assert found["outliers"] == 1
    assert found["formation_energy"]["missing"] == 1
    assert found["stability"]["full"]["missing"] == 2
    assert found["stability"]["full"]["fn"] == 3


def spoil(path, old, new, count=-1):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


REFUSED = {
    "unit": (("eV/atom", "meV/atom"), "found the unit meV/atom, expected eV/atom"),
    "target": (("e_form_per_atom", "gap"), "found the targets gap; expected e_form"),
    "twins": (("wbm-1-2,", "wbm-1-1,"), "1 ids occur more than once, wbm-1-1"),
    "unknown_ids": (("wbm-1-2,", "wbm-2-2,"), "1 of 11 predictions are of crystals"),
    "numbers": ((",-2.0,-2.0,", ",-2.0,low,"), "wbm-1-3: found 'low'"),
    "infinite": ((",-2.0,-2.0,", ",-2.0,inf,"), "wbm-1-3: found 'inf'"),
    "columns": (("predicted", "guess"), "found columns fold, id"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_predictions_that_cannot_be_judged(case, run, data, capsys):
    change, message = REFUSED[case]
    spoil(run / "predictions.csv", *change)
    assert command(run, "--data-dir", data) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.startswith("error: ")
    assert not (run / "discovery" / "results.json").exists()


def test_references_that_cannot_be_used(run, tmp_path, capsys):
    def refused(header, *rows):
        table = write(tmp_path / "h.csv", header, rows)
        assert command(run, "--data-dir", tmp_path, "--summary", table) == 1
        return capsys.readouterr().err

    assert "expected material_id and e_above_hull" in refused("material_id,hull", "ab")
    header = "material_id,e_above_hull,unique_prototype"
    twice = ("wbm-1-1", 0, True)
    assert "1 ids occur more than once" in refused(header, twice, twice)
    assert "expected True or False" in refused(header, ("wbm-1-1", 0, "perhaps"))
    assert "h.csv: column e_above_hull" in refused(header, ("wbm-1-1", "x", True))
    unknown_ids = refused(header + ",e_form_per_atom", ("wbm-9-9", 0, True, -1))
    assert "11 of 11 predictions are of crystals" in unknown_ids
    (tmp_path / "h.csv").write_text("")
    assert command(run, "--summary", tmp_path / "h.csv") == 1
    assert "h.csv: is empty" in capsys.readouterr().err
    assert command(run, "--summary", tmp_path / "none.csv") == 1
    assert "none.csv" in capsys.readouterr().err


def test_what_is_no_finished_run(run, arrays, tmp_path, capsys):
    (run / "results.json").unlink()
    assert command(run, "--data-dir", arrays) == 1
    assert "found no results.json, expected the folder of a finished run" in (
        capsys.readouterr().err
    )
    (run / "results.json").write_text("[1]")
    assert command(run, "--data-dir", arrays) == 1
    assert "results.json: found a list" in capsys.readouterr().err
    (run / "predictions.csv").unlink()
    assert command(run, "--data-dir", arrays) == 1
    assert "holds no predictions.csv" in capsys.readouterr().err
    table = write(tmp_path / "x.csv", "material_id,a,b", [("wbm-1-1", 1, 2)])
    words = ("--data-dir", arrays, "--output", tmp_path / "out")
    assert command(table, *words) == 1
    assert "name it with --target" in capsys.readouterr().err
    table = write(tmp_path / "x.csv", "material_id,a", [("wbm-1-1", 1)])
    assert command(table, "--data-dir", tmp_path / "runs", *words[2:]) == 1
    assert WBM_SUMMARY.page in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        command(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("licence: MIT", "found the field licence, which the leaderboard's schema"),
        ("model_key: My Model", "found model_key 'My Model'"),
        ("authors: Jane", "authors: found 'Jane', expected people such as"),
        ("authors: [Jane Doe]", "authors: found ['Jane Doe'], expected people"),
        ("lifecycle: 3", "lifecycle: found 3, expected text"),
        ("model_params: many", "model_params: found 'many', expected a number"),
        ("license: MIT", "license: found 'MIT', expected fields"),
        ("model_name:", "model_name: found None, expected text"),
        ("[", "not valid YAML"),
        ("3", "expected fields"),
    ],
)
def test_metadata_that_the_leaderboard_would_refuse(
    text, message, run, data, tmp_path, capsys
):
    (tmp_path / "me.yml").write_text(text)
    words = ("--data-dir", data, "--metadata", tmp_path / "me.yml")
    assert command(run, *words) == 1
    assert message in capsys.readouterr().err
    assert not (run / "discovery").exists()


def test_the_results_of_another_run_are_kept(run, data, capsys):
    old = (run / "results.json").read_bytes()
    assert command(run, "--data-dir", data, "--output", run) == 1
    assert "kind finetune), expected results of discovery" in capsys.readouterr().err
    assert (run / "results.json").read_bytes() == old
    assert not (run / "parity.png").exists()


def test_damaged_references_are_named(run, arrays, tmp_path, capsys):
    summary = tmp_path / "hull.csv.gz"
    summary.write_bytes(b"material_id,e_above_hull")
    assert command(run, "--data-dir", tmp_path, "--summary", summary) == 1
    assert "hull.csv.gz: not a CSV, or damaged" in capsys.readouterr().err
    (path,) = arrays.glob("*.npz")
    path.write_bytes(path.read_bytes()[:-40])
    assert command(run, "--data-dir", arrays) == 1
    assert f"{path.name}: " in capsys.readouterr().err


def test_stopped_by_the_user(run, data, monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("cloud_jax.studies.discovery.figures.draw_figures", stop)
    assert command(run, "--data-dir", data) == 130
    assert capsys.readouterr().err == "stopped: nothing was kept\n"
    assert not (run / "discovery" / "results.json").exists()


def test_as_a_process(run, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "cloud_jax.discovery", run, "--data-dir", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "MAE 0.2727" in done.stdout
    code = "import sys, cloud_jax.studies.discovery.command; print(*sys.modules)"
    loaded = subprocess.check_output(
        [sys.executable, "-c", code], cwd=ROOT, text=True
    ).split()
    assert not {"jax", "numpy", "pandas", "matplotlib"} & {*loaded}
