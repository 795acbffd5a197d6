"""C_v, U and phonons: labels joined, and curves with the limits of physics."""

import csv

import numpy as np
import pytest
from benchmark_files import encoded, put, take_any_hash, write_csv

from cloud_jax.datasets import phonon
from cloud_jax.datasets.corpus import read_sources
from cloud_jax.finetuning.rows import TableError, open_table
from cloud_jax.finetuning.table import TableSpec, read_table
from cloud_jax.structures.source import SourceError

FREQUENCIES = [20.0 * i for i in range(51)]
LABELS = {"mp-1": (49.25, 15165.5), "mp-2": (38.125, 19319.75), "mp-3": (60.0, 2e4)}


@pytest.fixture
def phonon_data(tmp_path, monkeypatch):
    """Four crystals with phonons, three of them with labels."""
    take_any_hash(monkeypatch)
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
        ("mp-4", None, None, None, None),
    ]
    assert encoded(phonon_data, "phonon") == 4


def test_a_crystal_without_labels_shifts_no_other(phonon_data):
    """Labels and structures are read one after the other and meet by row number."""
    with (phonon_data / "data.csv").open() as file:
        header, first, *rest = csv.reader(file)
    other = first[1].replace("[3, 3]", "[11, 17]")
    rows = [("mp-0", other, *first[2:]), first, *rest]
    put(phonon_data, "data.csv", write_csv(",".join(header), rows))
    spec = TableSpec(
        "phonon",
        id_column="id",
        targets=(phonon.CV,),
        structure_column="structure",
        split_column="fold",
        data_dir=phonon_data,
    )
    table = read_table(spec, processes=1)
    assert table.ids == ["mp-1", "mp-2", "mp-3"]
    assert {sentence.rpartition("| ")[2] for sentence in table.sentences} == {"Li 1"}
    assert [reject.code for reject in table.rejects] == ["missing_target"] * 2


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
    with pytest.raises(SourceError, match=r"line 2: found 3 fields, expected 4"):
        source.curves([300.0])
    rows = [("mp-1", "{'numbers'", FREQUENCIES, FREQUENCIES)]
    put(phonon_data, "data.csv", write_csv("mp_id,structure,phfreq,phdos", rows))
    with pytest.raises(SourceError, match=r"data\.csv: mp-1: found \"{'numbers'"):
        source.curves([300.0])
    put(phonon_data, "data.csv", b"a,b\n1,2\n")
    with pytest.raises(SourceError, match="expected mp_id"):
        list(source.items())
