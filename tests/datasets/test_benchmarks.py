"""Public data sets by a word; MatBench with its official ids and folds."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from benchmark_files import crystals, packed, put, split
from crystals import items, manifest, records, run

from cloud_jax.datasets import discovery, matbench, phonon, thermal, unconvbench
from cloud_jax.datasets.corpus import read_sources
from cloud_jax.finetuning.folds import folds_from_column, folds_from_k
from cloud_jax.finetuning.rows import TableError, open_table
from cloud_jax.finetuning.table import TableSpec, read_table
from cloud_jax.scope.options import Options
from cloud_jax.scope.pipeline import process
from cloud_jax.structures.source import SourceError

# SHA-256 of the name of the fold that tests each row, one per line, as published in
# matbench_v0.1_validation.json.
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


@pytest.fixture
def phonons(tmp_path, monkeypatch):
    """A data folder with a small matbench_phonons of ten rows."""
    content = packed(split("last phdos peak"))
    task = matbench.TASKS["phonons"]
    small = task._replace(rows=10, sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(matbench.TASKS, "phonons", small)
    put(tmp_path / "mine", "matbench_phonons.json.gz", content)
    return tmp_path


def official(task):
    return matbench.MatbenchSource.from_word(task, "data")


@pytest.mark.parametrize("task", matbench.TASKS)
def test_matbench_folds_and_ids_are_the_official_ones(task):
    source = official(task)
    folds = source.folds()
    digest = hashlib.sha256("\n".join(folds).encode()).hexdigest()
    assert digest == OFFICIAL_FOLDS[task]
    ids = source.ids()
    assert (ids[0], ids[-1]) == OFFICIAL_IDS[task]
    assert len(set(ids)) == len(folds) == matbench.TASKS[task].rows


def test_the_fold_column_makes_the_folds_of_matbench():
    found = folds_from_column(official("phonons").folds())
    others = folds_from_k(1265, 5, 18012019)
    for one, other in zip(found, others, strict=True):
        assert one.name == other.name
        assert np.array_equal(one.test, other.test)
        assert np.array_equal(one.train, other.train)


def test_a_word_is_a_labelled_table(phonons):
    spec = TableSpec(
        "matbench:phonons",
        id_column="id",
        targets=("last phdos peak",),
        structure_column="structure",
        split_column="fold",
        data_dir=phonons,
        cache=phonons / "kept.json",
    )
    table = read_table(spec, processes=1)
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
        thermal.ThermalSource,
    ):
        words |= {listing.word: listing for listing in kind.listings(str(phonons))}
    assert len(words) == 8 + 2 + 6 + 1 + 1
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
        (
            split("e_form"),
            "expected last phdos peak too: this is the file of another task",
        ),
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
        (
            "matbench:phonon",
            r"phonon: did you mean matbench:phonons\? expected one of jdft2d",
        ),
        ("matbench", "expected one of jdft2d"),
        ("unconvbench:mof", "expected one of 2d_e_exf"),
        ("discovery:test", r"discovery:test: expected mp \(training rows\), wbm"),
        ("discovery", r"expected mp \(training rows\), wbm"),
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
