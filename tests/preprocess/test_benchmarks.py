"""Public data sets: official ids and folds, and the real loaders on small files.

The small files have the published formats and crystals that pymatgen ships.
"""

import bz2
import csv
import gzip
import hashlib
import io
import json
import subprocess
import sys
import threading
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from crystals import items, manifest, records, run

from cloud_jax.data.folds import folds_from_column, folds_from_k
from cloud_jax.preprocess.labelled import read_table
from cloud_jax.preprocess.options import Options
from cloud_jax.preprocess.pipeline import Record, process
from cloud_jax.preprocess.rows import TableError, open_table
from cloud_jax.preprocess.sources import (
    discovery,
    download,
    matbench,
    phonon,
    unconvbench,
)
from cloud_jax.preprocess.sources.corpus import read_sources
from cloud_jax.preprocess.sources.source import SourceError

# SHA-256 of the name of the fold that tests each row, a line a row, as published in
# matbench_v0.1_validation.json (scripts/check_matbench.py compares with the file).
OFFICIAL_FOLDS = {
    "jdft2d": "dd4c1aabde1ec95908da949bb7222d46012902fbd4afdcb7c17e7c2a4e945c3f",
    "phonons": "f1e36461e4a1dd6f1f48562eea8712baccfc08d39db927dcdfaba38ee4c2ded0",
    "dielectric": "a7b55c3242d97572514376ce6fa6e66429602f47d43f53f0798f3e8ea82cc8b4",
    "log_gvrh": "40473b31b622b41759e4061486e301ecb949b4be2364016ad5cd64bc53639be1",
    "log_kvrh": "40473b31b622b41759e4061486e301ecb949b4be2364016ad5cd64bc53639be1",
    "perovskites": "6246c2ade139bfbd75c6d8e003bf5404eb2bb9bf6d2d559128e94dd4b194f633",
    "mp_gap": "fb1a8e8366e01d3c7ab388379c6c53ae63696dfb5de0efcee203d7b0482a7185",
    "mp_e_form": "fafd8c8ffc50274f44ed2a652d8afc83b57e1b591a075e55c968b72157513a2a",
}
OFFICIAL_IDS = {  # first and last
    "jdft2d": ("mb-jdft2d-001", "mb-jdft2d-636"),
    "phonons": ("mb-phonons-0001", "mb-phonons-1265"),
    "dielectric": ("mb-dielectric-0001", "mb-dielectric-4764"),
    "log_gvrh": ("mb-log-gvrh-00001", "mb-log-gvrh-10987"),
    "log_kvrh": ("mb-log-kvrh-00001", "mb-log-kvrh-10987"),
    "perovskites": ("mb-perovskites-00001", "mb-perovskites-18928"),
    "mp_gap": ("mb-mp-gap-000001", "mb-mp-gap-106113"),
    "mp_e_form": ("mb-mp-e-form-000001", "mb-mp-e-form-132752"),
}


@cache
def crystals() -> list[dict]:
    """Ten of pymatgen's AFLOW prototypes, as pymatgen writes structures."""
    return [item.payload for item in items("embedded")[:10]]


def packed(content) -> bytes:
    return gzip.compress(json.dumps(content).encode(), mtime=0)


def split(target: str, structures=None) -> dict:
    """What MatBench and UnconvBench publish."""
    rows = [[s, i / 2] for i, s in enumerate(structures or crystals())]
    columns = ["structure", target]
    return {"index": list(range(len(rows))), "columns": columns, "data": rows}


def put(folder, name: str, content: bytes):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder / name


@pytest.fixture
def any_hash(monkeypatch):
    """Take small files for the published ones."""
    monkeypatch.setattr(download, "_digest_of", lambda path, file: file.checksum[1])


@pytest.fixture
def phonons(tmp_path, monkeypatch):
    """A data folder with a small matbench_phonons of ten rows."""
    content = packed(split("last phdos peak"))
    task = matbench.TASKS["phonons"]
    small = task._replace(rows=10, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(matbench.TASKS, "phonons", small)
    put(tmp_path / "mine", "matbench_phonons.json.gz", content)
    return tmp_path


@pytest.mark.parametrize("task", matbench.TASKS)
def test_matbench_folds_and_ids_are_the_official_ones(task):
    folds = matbench.official_folds(task)
    digest = hashlib.sha256("\n".join(folds).encode()).hexdigest()
    assert digest == OFFICIAL_FOLDS[task]
    ids = matbench.official_ids(task)
    assert (ids[0], ids[-1]) == OFFICIAL_IDS[task]
    assert len(set(ids)) == len(folds) == matbench.TASKS[task].rows


def test_the_script_that_checks_them_tells_a_difference(tmp_path):
    published = {}
    for task in matbench.TASKS:
        folds = np.array(matbench.official_folds(task))
        tests = {fold: np.flatnonzero(folds == fold).tolist() for fold in set(folds)}
        published[f"matbench_{task}"] = tests
    one = published["matbench_mp_gap"]
    one["fold_0"][0], one["fold_1"][0] = one["fold_1"][0], one["fold_0"][0]
    path = put(tmp_path, "folds.json.gz", packed(published))
    done = subprocess.run(
        [sys.executable, "-m", "scripts.check_matbench", path],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    found = [line.split()[:3] for line in done.stdout.splitlines()]
    assert found == [
        [task, "folds", "DIFFER" if task == "mp_gap" else "official"]
        for task in matbench.TASKS
    ]


def test_the_fold_column_makes_the_folds_of_matbench():
    found = folds_from_column(matbench.official_folds("phonons"))
    official = folds_from_k(1265, 5, 18012019)
    for one, other in zip(found, official, strict=True):
        assert one.name == other.name
        assert np.array_equal(one.test, other.test)
        assert np.array_equal(one.train, other.train)


def test_unconvbench_ids_are_those_of_its_code():
    ids = unconvbench.official_ids("supercon")
    assert (ids[0], ids[-1]) == (
        "unconvbench_supercon-0001",
        "unconvbench_supercon-1058",
    )
    sizes = {name: task.rows for name, task in unconvbench.TASKS.items()}
    assert sizes == {  # Table 2 of the paper
        "2d_e_exf": 4527,
        "2d_e_tot": 3520,
        "2d_gap": 3520,
        "qmof": 5106,
        "supercon": 1058,
        "defected": 530,
    }


def test_a_word_is_a_labelled_table(phonons):
    table = read_table(
        "matbench:phonons",
        id_column="id",
        targets=("last phdos peak",),
        structure_column="structure",
        split_column="fold",
        data_dir=phonons,
        processes=1,
        keep_in=phonons / "kept.json",
    )
    assert table.ids == [f"mb-phonons-{i:02d}" for i in range(1, 11)]
    assert table.targets[:, 0].tolist() == [i / 2 for i in range(10)]
    folds = folds_from_column(table.split)
    assert [fold.name for fold in folds] == [f"fold_{i}" for i in range(5)]
    for fold, official in zip(folds, folds_from_k(10, 5, 18012019), strict=True):
        assert np.array_equal(fold.test, official.test)
    expected = [process(item, "s", Options()) for item in items("embedded")[:10]]
    assert table.sentences == [record.canonical for record in expected]
    assert not table.rejects
    # The same file by its path: no folds, and ids of its index.
    path = phonons / "mine" / "matbench_phonons.json.gz"
    rows = list(open_table(path).rows(["index", "last phdos peak"]))
    assert rows[3] == (4, {"index": 3, "last phdos peak": 1.5})


def test_a_word_is_a_source_of_the_command(phonons, tmp_path):
    words = ("matbench:phonons", "--data-dir", phonons)
    assert run(tmp_path / "out", *words) == 0
    assert {r["id"].partition("/")[0] for r in records(tmp_path / "out")} == {
        "matbench_phonons"
    }
    (source,) = manifest(tmp_path / "out")["sources"]
    assert source["licence"] == "CC-BY-4.0"
    assert "10.1038/sdata.2018.65" in source["citation"]


class Files(SimpleHTTPRequestHandler):
    """Serve a folder and say nothing."""

    def log_message(self, *arguments):
        pass


def test_a_labelled_table_that_is_not_here_is_downloaded(
    phonons, tmp_path, monkeypatch
):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = partial(Files, directory=phonons / "mine")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        monkeypatch.setattr(
            matbench, "_URL", f"http://127.0.0.1:{server.server_port}/{{}}"
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        folder = tmp_path / "empty"
        rows = list(open_table("matbench:phonons", folder).rows(["id"]))
        server.shutdown()
        thread.join()
    assert len(rows) == 10
    assert (folder / "matbench" / "matbench_phonons.json.gz").is_file()


def test_the_listing_says_what_is_here(phonons):
    words = {}
    for kind in (
        matbench.MatbenchSource,
        discovery.DiscoverySource,
        unconvbench.UnconvbenchSource,
        phonon.PhononSource,
    ):
        words |= {listing.word: listing for listing in kind.listings(str(phonons))}
    assert len(words) == 8 + 2 + 6 + 1
    assert words["matbench:phonons"].here.endswith("mine/matbench_phonons.json.gz")
    assert not words["matbench:mp_gap"].here
    assert all(x.what and x.size and x.licence and x.citation for x in words.values())
    for word in words:
        source = read_sources([word])[0]
        assert source.licence == words[word].licence
        assert {target.column for target in source.targets} < set(source.columns)
    assert read_sources(["phonon"])[0].targets[1].unit == "J/mol"


def test_a_damaged_or_missing_file_is_named(phonons):
    path = phonons / "mine" / "matbench_phonons.json.gz"
    path.write_bytes(path.read_bytes()[:-10])
    source = read_sources(["matbench:phonons"], str(phonons))[0]
    with pytest.raises(
        SourceError, match=r"phonons\.json\.gz: found SHA256 .*remove it"
    ):
        list(source.items())
    with pytest.raises(TableError, match="found SHA256"):
        list(open_table("matbench:phonons", phonons).rows(["id"]))
    source = read_sources(["matbench:mp_gap"], str(phonons))[0]
    with pytest.raises(SourceError, match=r"found no file matbench_mp_gap\.json\.gz"):
        list(source.items())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (split("last phdos peak", crystals()[:9]), "found 9 rows, expected 10"),
        (split("last phdos peak", crystals() * 2), "found 20 rows, expected 10"),
        (split("e_form"), "expected last phdos peak too: it is another task's file"),
    ],
)
def test_a_file_of_another_task_is_refused(phonons, monkeypatch, content, message):
    path = put(phonons / "mine", "matbench_phonons.json.gz", packed(content))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    task = matbench.TASKS["phonons"]._replace(sha256=digest)
    monkeypatch.setitem(matbench.TASKS, "phonons", task)
    with pytest.raises(TableError, match=message):
        list(open_table("matbench:phonons", phonons).rows(["id", "last phdos peak"]))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("matbench:phonon", "matbench:phonon: expected one of jdft2d"),
        ("matbench", "expected one of jdft2d"),
        ("unconvbench:mof", "expected one of 2d_e_exf"),
        ("discovery:test", "discovery:test: expected mp, wbm or"),
        ("discovery", "expected mp, wbm or"),
        ("phonon:cv", "expected phonon alone"),
    ],
)
def test_a_word_of_nothing_is_refused(word, message):
    with pytest.raises(SourceError, match=message):
        read_sources([word])
    with pytest.raises(TableError, match=message):
        open_table(word)


def test_a_column_of_another_data_set_is_refused(phonons):
    with pytest.raises(
        TableError, match="found columns id, structure, last phdos peak"
    ):
        list(open_table("matbench:phonons", phonons).rows(["id", "e_form"]))


def test_unconvbench_files_are_read_plain_and_compressed(tmp_path, monkeypatch):
    task = unconvbench.TASKS["supercon"]._replace(rows=10)
    monkeypatch.setitem(unconvbench.TASKS, "supercon", task)
    content = json.dumps(split("Tc")).encode()
    put(tmp_path, "ub_unconvbench_supercon.json.gz", gzip.compress(content))
    table = open_table("unconvbench:supercon", tmp_path)
    packed_rows = list(table.rows(["id", "Tc", "fold"]))
    put(tmp_path, "ub_unconvbench_supercon.json", content)
    assert list(table.rows(["id", "Tc", "fold"])) == packed_rows
    assert packed_rows[2][1]["id"] == "unconvbench_supercon-03"
    folds = folds_from_column([row["fold"] for _, row in packed_rows])
    for fold, official in zip(folds, folds_from_k(10, 5, 42), strict=True):
        assert np.array_equal(fold.test, official.test)
    assert encoded(tmp_path, "unconvbench:supercon") == 10


def encoded(folder, word: str) -> int:
    """How many of a source's crystals become records."""
    source = read_sources([word], str(folder))[0]
    results = [process(item, "s", Options()) for item in source.items()]
    assert all(isinstance(result, Record) for result in results), results
    return len(results)


def write_csv(header: str, rows) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header.split(","), *rows])
    return text.getvalue().encode()


def wbm_lines(structures) -> bytes:
    rows = [
        {"material_id": f"wbm-1-{i}", "formula_from_cse": "X", "initial_structure": s}
        for i, s in enumerate(structures, 1)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


@pytest.fixture
def discovery_data(tmp_path, any_hash):
    """Training and test set of MatBench Discovery, three crystals each."""
    entries = {
        "material_id": {str(i): f"mp-{i}" for i in range(3)},
        "entry": {
            str(i): {"entry_id": f"mp-{i}-GGA", "energy": -1.0, "structure": s}
            for i, s in enumerate(crystals()[:3])
        },
    }
    summary = write_csv(
        "material_id,formula,n_sites,e_form_per_atom_mp2020_corrected,"
        "e_above_hull_mp2020_corrected_ppd_mp,unique_prototype",
        [("wbm-1-2", "X", 4, -0.2, 0.02, False), ("wbm-1-1", "X", 4, -0.1, 0.01, True)],
    )
    energies = write_csv(
        "material_id,formula,formation_energy_per_atom,energy_above_hull",
        [(f"mp-{i}", "X", -i, i / 10) for i in range(3)],
    )
    folder = tmp_path / "discovery"
    put(folder, discovery.MP_ENTRIES.name, packed(entries))
    put(folder, discovery.MP_ENERGIES.name, gzip.compress(energies))
    put(folder, discovery.WBM_INITIAL.name, gzip.compress(wbm_lines(crystals()[3:6])))
    put(folder, discovery.WBM_SUMMARY.name, gzip.compress(summary))
    return tmp_path


def test_discovery_trains_on_one_set_and_tests_on_the_other(discovery_data):
    table = open_table("discovery:mp+wbm", discovery_data)
    columns = ["id", "e_form_per_atom", "e_above_hull", "unique_prototype", "fold"]
    assert [tuple(row.values()) for _, row in table.rows(columns)] == [
        ("mp-0", "0", "0.0", None, "train"),
        ("mp-1", "-1", "0.1", None, "train"),
        ("mp-2", "-2", "0.2", None, "train"),
        ("wbm-1-1", "-0.1", "0.01", "True", "test"),
        ("wbm-1-2", "-0.2", "0.02", "False", "test"),
        ("wbm-1-3", None, None, None, "test"),  # not in the summary
    ]
    assert encoded(discovery_data, "discovery:mp") == 3
    assert encoded(discovery_data, "discovery:wbm") == 3
    both = read_sources(["discovery:mp+wbm"], str(discovery_data))[0]
    assert [item.id for item in both.items()] == [
        *("mp-0", "mp-1", "mp-2"),
        *("wbm-1-1", "wbm-1-2", "wbm-1-3"),
    ]


def test_discovery_crystals_need_no_energies(discovery_data):
    for file in (discovery.MP_ENERGIES, discovery.WBM_SUMMARY):
        (discovery_data / "discovery" / file.name).unlink()
    source = read_sources(["discovery:mp+wbm"], str(discovery_data))[0]
    source.fetch()  # asks for nothing more
    assert len(list(source.items())) == 6
    with pytest.raises(SourceError, match=r"found no file .*mp-energies\.csv\.gz"):
        list(source.rows(["e_form_per_atom"]))


def test_discovery_reads_the_test_set_in_its_other_forms(discovery_data):
    folder = discovery_data / "discovery"
    (folder / discovery.WBM_INITIAL.name).unlink()
    old = {
        "material_id": {str(i): f"wbm-1-{i + 1}" for i in range(3)},
        "formula_from_cse": {str(i): "X" for i in range(3)},
        "initial_structure": {str(i): s for i, s in enumerate(crystals()[3:6])},
    }
    content = bz2.compress(json.dumps(old).encode())
    path = put(folder, discovery.WBM_INITIAL_OLD.name, content)
    assert encoded(discovery_data, "discovery:wbm") == 3
    path.unlink()
    np.savez(
        folder / discovery.WBM_ARRAYS.name,
        material_id=np.array(["wbm-1-1", "wbm-1-2"]),
        n_sites=np.array([2, 1]),
        Z=np.array([11, 17, 3]),
        frac=np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0, 0]]),
        lattice=np.stack([np.eye(3) * 3.5] * 2),
        e_form_per_atom_mp2020_corrected=np.array([-0.5, 0.25]),
    )
    (folder / discovery.WBM_SUMMARY.name).unlink()
    table = open_table("discovery:wbm", discovery_data)
    found = [tuple(row.values()) for _, row in table.rows(["id", "e_form_per_atom"])]
    assert found == [("wbm-1-1", -0.5), ("wbm-1-2", 0.25)]
    assert encoded(discovery_data, "discovery:wbm") == 2
    with pytest.raises(SourceError, match=r"found no file .*wbm-summary\.csv\.gz"):
        list(table.source.rows(["e_above_hull"]))


def test_a_bad_line_of_the_test_set_costs_itself_alone(discovery_data):
    lines = wbm_lines(crystals()[3:6]).split(b"\n")
    content = gzip.compress(b"\n".join([lines[0], b'{"material_id": 1}', lines[2]]))
    put(discovery_data / "discovery", discovery.WBM_INITIAL.name, content)
    source = read_sources(["discovery:wbm"], str(discovery_data))[0]
    results = [process(item, "s", Options()) for item in source.items()]
    codes = [getattr(result, "code", "") for result in results]
    assert codes == ["", "bad_row", ""]
    assert "expected material_id and initial_structure" in results[1].message


FREQUENCIES = [20.0 * i for i in range(51)]
LABELS = {"mp-1": (49.25, 15165.5), "mp-2": (38.125, 19319.75), "mp-3": (60.0, 2e4)}


@pytest.fixture
def phonon_data(tmp_path, any_hash):
    """Four crystals with phonons, three of them with labels."""
    atoms = {
        "numbers": [3, 3],
        "positions": [[0, 0, 0], [1.75, 1.75, 1.75]],
        "cell": (np.eye(3) * 3.5).tolist(),
        "pbc": [True] * 3,
    }
    density = [1.0 if 180 <= x <= 220 else 0.0 for x in FREQUENCIES]
    rows = [(f"mp-{i}", atoms, FREQUENCIES, density) for i in range(1, 5)]
    put(tmp_path, "data.csv", write_csv("mp_id,structure,phfreq,phdos", rows))
    for (column, side), file in phonon.LABELS.items():
        ids = ["mp-3"] if side == "test" else ["mp-1", "mp-2"]
        at = 0 if column == phonon.CV else 1
        rows = [(i, name, LABELS[name][at]) for i, name in enumerate(ids)]
        put(tmp_path, file.name, write_csv(",cif_id,property", rows))
    # The value of mp-2 with another last digit, as the two publications have them.
    rows = [("1 | 4a | Hf 1", "38.12500000000001", "2.0")]
    put(tmp_path, phonon.CLOUD_TEST.name, write_csv("cloud,cv,n_atoms", rows))
    return tmp_path


def test_phonon_labels_structures_and_splits_are_joined(phonon_data):
    columns = ["id", phonon.CV, phonon.U, "fold", "split_gong"]
    table = open_table("phonon", phonon_data)
    assert [tuple(row.values()) for _, row in table.rows(columns)] == [
        ("mp-1", "49.25", "15165.5", "train", "train"),
        ("mp-2", "38.125", "19319.75", "test", "train"),
        ("mp-3", "60.0", "20000.0", "train", "test"),
    ]
    assert encoded(phonon_data, "phonon") == 4


def test_phonon_labels_that_do_not_join_are_an_error(phonon_data):
    put(phonon_data, "cloud_cv_test.csv", write_csv("cloud,cv", [("x", 1.5)]))
    with pytest.raises(TableError, match="1 values of C_v are those of 0 labels"):
        list(open_table("phonon", phonon_data).rows(["id", "fold"]))
    put(phonon_data, "cv_test.csv", write_csv(",cif_id,property", [(0, "mp-9", 1)]))
    with pytest.raises(TableError, match="no structure of 1 labelled crystals, mp-9"):
        list(open_table("phonon", phonon_data).rows(["id", phonon.CV]))


def test_phonon_curves_have_the_limits_of_statistical_mechanics(phonon_data):
    source = read_sources(["phonon"], str(phonon_data))[0]
    curves = source.curves([1.0, 300.0, 1e5])
    three_n_r = 6 * 8.314462618
    assert curves.ids == ["mp-1", "mp-2", "mp-3", "mp-4"]
    assert curves.n_atoms.tolist() == [2, 2, 2, 2]
    assert np.allclose(curves.heat_capacity[:, 0], 0, atol=1e-12)
    assert np.allclose(curves.heat_capacity[:, 2], three_n_r, rtol=1e-5)
    assert np.allclose(curves.internal_energy[:, 2], three_n_r * 1e5, rtol=1e-5)
    # At 1 K the energy of zero point alone: N_A h c / 2 a mode, by 3 N modes about
    # 200 cm^-1 (the density is even about it). N_A h c = 11.9626566 J cm/mol.
    assert np.allclose(
        curves.internal_energy[:, 0], 6 * 200 * 11.9626566 / 2, rtol=1e-6
    )
    # dU/dT is C_v.
    near = source.curves([299.9, 300.1]).internal_energy
    slope = (near[:, 1] - near[:, 0]) / 0.2
    assert np.allclose(slope, curves.heat_capacity[:, 1], rtol=1e-6)


def test_phonon_files_of_another_kind_say_so(phonon_data):
    source = read_sources(["phonon"], str(phonon_data))[0]
    put(phonon_data, "data.csv", b"mp_id,structure,phfreq,phdos\nmp-1,{'numbers,x\n")
    with pytest.raises(SourceError, match=r"row 1: found 3 fields, expected 4"):
        source.curves([300.0])
    rows = [("mp-1", "{'numbers'", FREQUENCIES, FREQUENCIES)]
    put(phonon_data, "data.csv", write_csv("mp_id,structure,phfreq,phdos", rows))
    with pytest.raises(SourceError, match=r"data\.csv: mp-1: found \"{'numbers'"):
        source.curves([300.0])
    put(phonon_data, "data.csv", b"a,b\n1,2\n")
    with pytest.raises(SourceError, match="expected mp_id"):
        list(source.items())
