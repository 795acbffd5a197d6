"""The model in the package: whole, small, described, and right about quartz."""

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

import cloud_jax

WEIGHTS = Path(cloud_jax.__file__).parent / "weights"
QUARTZ = Structure.from_spacegroup(
    "P3_221",
    Lattice.hexagonal(4.913, 5.405),
    ["Si", "O"],
    [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7857]],
)


def test_quartz_is_near_its_measured_heat_capacity():
    frame = cloud_jax.load().predict(QUARTZ, temperature_k=298.15, basis="formula")
    row = frame[frame.property == "heat_capacity"].iloc[0]
    # 44.59 J/(mol K), CODATA Key Values for Thermodynamics (1989); C_p, which is
    # within 1 % of C_v here.
    assert row.value == pytest.approx(44.59, rel=0.05)
    assert row.lower < 44.59 < row.upper
    assert row.notes == ""


def test_weights_are_small_and_their_card_is_complete():
    size = sum(p.stat().st_size for p in WEIGHTS.rglob("*") if p.is_file())
    assert size < 15e6
    card = (WEIGHTS / "MODEL_CARD.md").read_text()
    for word in ("SIZE", "QUALITY", "COVERAGE", "LONGEST", "TODO"):
        assert word not in card
