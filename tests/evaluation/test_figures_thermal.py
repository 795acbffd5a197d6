"""Figures are read back: what is in them, not how they look."""

import numpy as np
import pytest
from matplotlib.image import imread
from svg import texts

from cloud_jax.evaluation.figures_thermal import Curve, Panel, thermal_figure

T = np.linspace(0, 1000, 11)
QUANTITY = "heat capacity", "J/(mol K)", "per mol of atoms"


def curve(label, temperature_k=T, **others):
    value = 25.0 * temperature_k / (100 + temperature_k)
    return Curve(label, value, 0.9 * value, 1.1 * value, **others)


def draw(path, curves, temperature_k=T):
    thermal_figure(path, [Panel(*QUANTITY, temperature_k, curves)])
    return texts(path) if path.suffix == ".svg" else imread(path).shape[:2]


def test_a_frame_has_a_legend_the_limit_and_measured_points(tmp_path):
    points = T[1:3], T[1:3] * 0.02
    quartz = curve("quartz", points=points, limit=24.9)
    found = draw(tmp_path / "x.svg", [quartz, curve("rutile")])
    assert {"heat capacity (J/(mol K))", "per mol of atoms", "temperature (K)"} <= found
    assert {"quartz", "rutile", "interval", "Dulong-Petit"} <= found
    assert "measured $C_p$" in found


def test_limits_of_several_formulas_are_told_apart(tmp_path):
    curves = [curve(f"c{n}", limit=24.9 * n, atoms=n) for n in (1, 2, 9)]
    found = draw(tmp_path / "x.svg", curves)
    assert {x for x in found if "Dulong" in x} == {"Dulong-Petit"}
    curves[1] = curves[1]._replace(value=2 * curves[0].value)
    found = draw(tmp_path / "x.svg", curves)
    assert {"Dulong-Petit, 1 atom", "Dulong-Petit, 2 atoms"} <= found


def test_what_no_curve_has_is_not_in_the_legend(tmp_path):
    bare = curve("bare")._replace(lower=T * np.nan, upper=T * np.nan)
    found = draw(tmp_path / "x.svg", [bare])
    assert not {"interval", "measured $C_p$", "Dulong-Petit"} & found


@pytest.mark.parametrize("n", [11, 30])
def test_small_multiples_name_every_crystal(n, tmp_path):
    found = draw(tmp_path / "x.svg", [curve(f"c{i}", limit=24.9) for i in range(n)])
    assert {*(f"c{i}" for i in range(n)), "Dulong-Petit", "interval"} <= found


@pytest.mark.parametrize("n", [11, 14, 15, 30])
def test_the_lowest_frame_of_every_column_has_temperatures(n, tmp_path):
    draw(tmp_path / "x.svg", [curve(f"c{i}") for i in range(n)])
    assert (tmp_path / "x.svg").read_text().count("<!-- 1000 -->") == 5


@pytest.mark.parametrize("temperature_k", [T, T[3:4]])
def test_of_many_crystals_some_are_named_in_the_order_of_their_values(
    temperature_k, tmp_path
):
    curves = [curve(f"c{i}", temperature_k) for i in range(1500)]
    curves = [c._replace(value=c.value + i) for i, c in enumerate(curves)]
    found = draw(tmp_path / "x.svg", curves, temperature_k)
    assert "one crystal in 17 is named; 1,000 of 1,500 crystals, by rank" in found
    assert "c1499" in found
    assert len({x for x in found if x.startswith("c1")}) < 60


def test_a_heat_map_is_per_mol_of_atoms(tmp_path):
    curves = [curve(f"c{i}", atoms=2.0) for i in range(31)]
    panel = Panel("entropy", "J/(mol K)", "per mol of formula units", T, curves)
    thermal_figure(tmp_path / "x.svg", [panel])
    found = texts(tmp_path / "x.svg")
    assert {"entropy (J/(mol K))", "per mol of atoms", "c0", "c30"} <= found


def test_one_temperature_is_a_ranking_with_the_measured_point(tmp_path):
    at = T[3:4]
    one = curve("quartz", at, points=(at, at * 0.06), limit=24.9)
    found = draw(tmp_path / "x.svg", [one, curve("rutile", at)], at)
    assert {"quartz", "rutile", "Dulong-Petit", "measured $C_p$"} <= found
    assert "per mol of atoms, 300 K" in found
    assert "temperature (K)" not in found


@pytest.mark.parametrize("n", [1, 10, 30, 31, 60, 500])
def test_a_figure_is_no_larger_than_a_page(n, tmp_path):
    height, width = draw(tmp_path / "x.png", [curve(f"c{i}") for i in range(n)])
    assert height <= 9.6 * 200
    assert width in (3.4 * 200, 7 * 200)


def test_properties_stand_side_by_side(tmp_path):
    panels = [Panel(name, *QUANTITY[1:], T, [curve("x")]) for name in ("a", "b", "c")]
    thermal_figure(tmp_path / "x.png", panels)
    assert imread(tmp_path / "x.png").shape[1] == 2 * 3.4 * 200


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match="xyz"):
        draw(tmp_path / "s.xyz", [curve("x")])
