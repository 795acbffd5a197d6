"""MatBench Discovery and UnconvBench: the real loaders on small files."""

import bz2
import gzip
import json

import numpy as np
import pytest
from benchmark_files import (
    crystals,
    encoded,
    packed,
    put,
    split,
    take_any_hash,
    write_csv,
)

from cloud_jax.datasets import discovery, unconvbench
from cloud_jax.datasets.corpus import read_sources
from cloud_jax.finetuning.folds import folds_from_column, folds_from_k
from cloud_jax.finetuning.rows import open_table
from cloud_jax.scope.options import Options
from cloud_jax.scope.pipeline import process
from cloud_jax.structures.source import SourceError


def test_unconvbench_ids_are_those_of_its_code():
    ids = unconvbench.UnconvbenchSource.from_word("supercon", "data").ids()
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


def wbm_lines(structures) -> bytes:
    rows = [
        {"material_id": f"wbm-1-{i}", "formula_from_cse": "X", "initial_structure": s}
        for i, s in enumerate(structures, 1)
    ]
    return "\n".join(json.dumps(row) for row in rows).encode()


@pytest.fixture
def discovery_data(tmp_path, monkeypatch):
    """Training and test set of MatBench Discovery, three crystals each."""
    take_any_hash(monkeypatch)
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
