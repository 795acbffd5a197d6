"""The joined table of thermal labels: what each row has, and what it has not."""

import gzip

import numpy as np
import pytest
from benchmark_files import POSCAR, encoded, packed, put, take_any_hash, write_csv

from cloud_jax.datasets import phonon, thermal
from cloud_jax.datasets.corpus import read_sources
from cloud_jax.datasets.debye_temperature import AGL, BINARIES, TENSORS
from cloud_jax.datasets.phonon_density import spectrum
from cloud_jax.datasets.phonon_density import thermal as properties
from cloud_jax.finetuning.table import TableSpec, read_table
from cloud_jax.structures.source import SourceError

FREQUENCIES = [20.0 * i for i in range(51)]
PEAK = [1.0 if 180 <= x <= 220 else 0.0 for x in FREQUENCIES]
ATOMS = {
    "positions": [[0, 0, 0], [1.75, 1.75, 1.75]],
    "cell": (np.eye(3) * 3.5).tolist(),
    "pbc": [True] * 3,
}
CIF = """data_x
_cell_length_a 3.5
_cell_length_b 3.5
_cell_length_c 3.5
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
{} 0 0 0
Cl 0.5 0.5 0.5
"""


def published(part=0.0, at_cm=3000.0, factor=1.0) -> tuple[float, float]:
    """C_v and U of two atoms at 300 K, with some modes above the grid, some lost."""
    modes = spectrum(np.array(FREQUENCIES), np.array([PEAK]))
    high = modes._replace(frequency_cm=np.full(len(modes.frequency_cm), at_cm))
    pairs = [
        (found.heat_capacity.item(), found.internal_energy.item())
        for found in (properties(m, np.array([300.0])) for m in (modes, high))
    ]
    return tuple(
        2 * factor * ((1 - part) * x + part * y) for x, y in zip(*pairs, strict=True)
    )


LABELS = {  # id of a crystal with phonons, and its published labels
    "mp-1": published(),
    "mp-2": published(part=1 / 6),
    "mp-3": published(factor=5 / 6),
    "mp-4": published(factor=0.999),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of all files: mp-4 is a test row, mp-5 has no labels."""
    take_any_hash(monkeypatch)
    rows = [
        (f"mp-{z}", ATOMS | {"numbers": [z, 17]}, FREQUENCIES, PEAK)
        for z in range(1, 6)
    ]
    put(tmp_path, "data.csv", write_csv("mp_id,structure,phfreq,phdos", rows))
    for (column, side), file in phonon.LABELS.items():
        at = 0 if column == phonon.CV else 1
        ids = LABELS if side == "train" else ()
        rows = [(i, name, LABELS[name][at]) for i, name in enumerate(ids)]
        put(tmp_path, file.name, write_csv(",cif_id,property", rows))
    content = write_csv("cloud,cv", [("x", LABELS["mp-4"][0])])
    put(tmp_path, phonon.CLOUD_TEST.name, content)
    # Beryllium has the formula of the test row.
    for file, symbol, kelvin in zip(AGL, ("Be", "Na"), (900, 321.5), strict=True):
        rows = [(symbol, CIF.format(symbol), kelvin)]
        content = write_csv(",cif,debye_temperature", rows)
        put(tmp_path, file.name, gzip.compress(content))
    names = ("mp_id", "structure", "bulk_modulus_vrh", "shear_modulus_vrh")
    cell = ATOMS | {"numbers": [19, 17]}
    rows = [dict(zip(names, ("mp-9", cell, 100, 50), strict=True))]
    put(tmp_path, BINARIES.name, packed(rows))
    header = "idx,G_VRH,K_VRH,formula,material_id,poscar"
    content = write_csv(header, [(0, 47.3, 137, "Cu", "mp-30", POSCAR)])
    put(tmp_path, TENSORS.name, content)
    return tmp_path


def rows_of(folder, word="thermal") -> dict[str, dict]:
    """{id: row} with all columns."""
    source = read_sources([word], str(folder))[0]
    return {row["id"]: row for row in source.rows(source.columns)}


def test_a_row_says_which_density_it_is_and_has_labels_that_can_be_trusted(folder):
    rows = rows_of(folder, "thermal:phonons")
    verdicts = {name: row["density"] for name, row in rows.items()}
    assert verdicts == {
        "mp-1": "whole",
        "mp-2": "completed",
        "mp-3": "soft",
        "mp-4": "whole",
        "mp-5": "unchecked",
    }
    for name, row in rows.items():
        integrated = row["density"] in ("whole", "completed")
        for target in thermal.ThermalSource("thermal").targets[:19]:
            assert (row[target.column] is not None) == integrated, (name, target)
    assert float(rows["mp-3"][phonon.CV]) == LABELS["mp-3"][0]
    assert {row["source"] for row in rows.values()} == {"phonons"}


def test_integrals_are_those_of_the_published_labels_per_mol_of_atoms(folder):
    rows = rows_of(folder, "thermal:phonons")
    for name in ("mp-1", "mp-2"):
        row = rows[name]
        heat_capacity, internal_energy = LABELS[name]
        assert row["heat_capacity_300k"] == pytest.approx(heat_capacity / 2, rel=1e-6)
        energy = row["enthalpy_300k"] + row["zero_point_energy"]
        assert energy == pytest.approx(internal_energy / 2, rel=1e-6)
    # A mode in six is frozen at 100 K where it lies above the grid.
    for column in ("heat_capacity_100k", "entropy_100k", "enthalpy_100k"):
        ratio = rows["mp-2"][column] / rows["mp-1"][column]
        assert ratio == pytest.approx(5 / 6, rel=1e-6)


def test_debye_temperatures_have_the_fold_of_phonons_of_the_same_formula(folder):
    rows = rows_of(folder)
    assert [*rows][5:] == ["agl-Be", "agl-Na", "elastic-mp-9", "elastic-mp-30"]
    assert rows["mp-4"]["fold"] == rows["agl-Be"]["fold"] == "test"
    assert {rows[name]["fold"] for name in [*rows][6:]} == {"train"}
    assert rows["mp-5"].get("fold") is None
    assert rows["agl-Na"]["debye_temperature_agl"] == 321.5
    assert rows["agl-Na"]["debye_temperature_elastic"] is None
    assert rows["elastic-mp-30"]["debye_temperature_agl"] is None
    theta = rows["elastic-mp-30"]["debye_temperature_elastic"]
    assert theta == pytest.approx(344, rel=0.03)


def test_a_metal_has_the_theta_of_agl_for_c_v_and_a_salt_has_not(folder):
    alloy = CIF.replace("Cl", "K").format("Na")
    content = write_csv(",cif,debye_temperature", [("x", alloy, 90)])
    put(folder, AGL[1].name, gzip.compress(content))
    rows = rows_of(folder, "thermal:agl")
    assert rows["agl-x"]["debye_temperature_metal"] == 90
    assert rows["agl-Be"]["debye_temperature_agl"] == 900
    assert rows["agl-Be"]["debye_temperature_metal"] is None


def test_the_table_is_read_with_its_crystals(folder):
    spec = TableSpec(
        "thermal",
        id_column="id",
        targets=("heat_capacity_100k", "debye_temperature_agl"),
        structure_column="structure",
        split_column="fold",
        data_dir=folder,
    )
    table = read_table(spec, processes=1)
    assert table.ids == ["mp-1", "mp-2", "mp-4", "agl-Be", "agl-Na"]
    assert np.isnan(table.targets).tolist() == [[False, True]] * 3 + [[True, False]] * 2
    endings = [sentence.rpartition("| ")[2] for sentence in table.sentences[3:]]
    assert endings == ["Be 1 Cl 1", "Na 1 Cl 1"]
    assert encoded(folder, "thermal") == 9


def test_the_crystals_alone_need_no_labels(folder):
    for file in phonon.LABELS.values():
        (folder / file.name).unlink()
    source = read_sources(["thermal"], str(folder))[0]
    assert len(list(source.rows(("id", "structure")))) == 9
    with pytest.raises(
        SourceError, match=r"found no file cv_training\.csv in .*github"
    ):
        list(source.rows(("id", "fold")))


def test_parts_are_read_by_name(folder):
    assert [*rows_of(folder, "thermal:agl")] == ["agl-Be", "agl-Na"]
    with pytest.raises(SourceError, match="thermal:x: expected some of phonons, agl"):
        read_sources(["thermal:x"])
    for word in ("thermal:agl+agl", "thermal:+", "thermal:agl+"):
        with pytest.raises(SourceError, match=r"thermal:.*\+.*: expected .* each once"):
            read_sources([word])


def test_tables_of_other_parts_have_other_hashes(folder):
    """A run knows its table by them; some parts need the same files."""
    words = ("", ":phonons", ":agl", ":agl+phonons", ":phonons+agl", ":elastic")
    sources = [read_sources([f"thermal{word}"], str(folder))[0] for word in words]
    assert len({source.table_sha256(("id", "fold")) for source in sources}) == 6
