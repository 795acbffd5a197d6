"""Debye temperatures of moduli, against textbook values, and the files they are in."""

import numpy as np
import pytest
from benchmark_files import POSCAR, packed, put, write_csv

from cloud_jax.datasets.debye_temperature import (
    AGL,
    BINARIES,
    TENSORS,
    Sound,
    elastic_debye_temperature,
    read_agl,
    read_binaries,
    read_tensors,
)
from cloud_jax.structures.cell import Cell
from cloud_jax.structures.source import SourceError


@pytest.mark.parametrize(
    ("edge", "species", "bulk", "shear", "theta"),
    [  # measured moduli, GPa (of Al at 4 K), and theta of the T^3 law, K (Kittel)
        (3.615, ["Cu"] * 4, 137, 47.3, 344),
        (4.0495, ["Al"] * 4, 79.4, 29.4, 428),
        (3.567, ["C"] * 8, 443, 535, 2230),
        (4.212, ["Mg", "O"] * 4, 163, 131, 946),
    ],
)
def test_theta_of_moduli_is_that_of_the_t3_law(edge, species, bulk, shear, theta):
    sites = np.arange(3 * len(species)).reshape(-1, 3) / (3 * len(species))
    cell = Cell(edge * np.eye(3), sites, tuple(species))
    found = elastic_debye_temperature(cell, bulk, shear)
    assert found == pytest.approx(theta, rel=0.03)


def test_moduli_of_no_stable_solid_are_left_out(tmp_path):
    """Poisson's ratio is -0.02 and 0.46 in the second and third; the last is soft."""
    structure = {"sites": [], "lattice": {}}
    names = ("mp_id", "structure", "bulk_modulus_vrh", "shear_modulus_vrh")
    pairs = [(100, 50), (100, 158), (100, 9), (4, 2), (-100, -50)]
    rows = [(f"mp-{i}", structure, *pair) for i, pair in enumerate(pairs)]
    content = packed([dict(zip(names, row, strict=True)) for row in rows])
    path = put(tmp_path, BINARIES.name, content)
    assert list(read_binaries(path)) == [
        Sound("elastic-mp-0", structure, bulk_gpa=100, shear_gpa=50)
    ]
    put(tmp_path, BINARIES.name, packed([{"mp_id": "mp-0"}]))
    with pytest.raises(SourceError, match=r"row 0: found .*expected mp_id, structure"):
        list(read_binaries(path))


def test_tensors_give_the_crystals_that_are_not_binaries(tmp_path):
    header = "idx,G_VRH,K_VRH,formula,material_id,poscar"
    rows = [
        (i, 50, 100, formula, f"mp-{i}", POSCAR)
        for i, formula in enumerate(["Cu", "CuO", "Nb4CoSi"])
    ]
    path = put(tmp_path, TENSORS.name, b"# ref\n" + write_csv(header, rows))
    found = list(read_tensors(path))
    assert [sound.id for sound in found] == ["elastic-mp-0", "elastic-mp-2"]
    assert found[0].cell().species == ("Cu",)


def test_agl_files_of_another_kind_say_so(tmp_path):
    path = put(tmp_path, "x.csv", write_csv(",cif,debye_temperature", [(7, "c", 300)]))
    assert list(read_agl(path)) == [Sound("agl-7", "c", agl_k=300.0)]
    put(tmp_path, "x.csv", write_csv("cif,debye_temperature", [("c", 300)]))
    with pytest.raises(SourceError, match=r"found columns .*'cif'.* expected AFLOW's"):
        list(read_agl(path))
    assert not any("test" in file.url for file in AGL)
