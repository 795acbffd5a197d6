"""Figures are read back: what is in them, not how they look."""

import numpy as np
import pytest
from matplotlib.image import imread

from cloud_jax.evaluation.figures import Curve, Panel, curves, parity_plot

T = np.linspace(0, 1000, 11)


def texts(path):
    """The texts of an SVG, which matplotlib notes beside their outlines."""
    lines = path.read_text().splitlines()
    return {line.strip()[5:-4] for line in lines if line.strip().startswith("<!-- ")}


def test_a_parity_plot_has_a_panel_a_target_with_units_and_notes(tmp_path):
    target = np.array([[1.0, 100], [2, 300]])
    parity_plot(
        tmp_path / "parity.svg",
        target,
        target * 1.1,
        names=("cv", "_u$"),
        units=("J/(mol K)", ""),
        notes=("MAE 0.15", "MAE 20"),
    )
    expected = {
        "cv, target (J/(mol K))",
        "cv, predicted (J/(mol K))",
        "MAE 0.15",
        "MAE 20",
    }
    assert expected <= texts(tmp_path / "parity.svg")
    assert [path.name for path in tmp_path.iterdir()] == ["parity.svg"]


def test_curves_have_bands_points_and_a_limit(tmp_path):
    quartz = Curve("quartz", T, T * 0.02, T * 0.01, T * 0.03, (T[:3], T[:3] * 0.02))
    single = Curve("a very long path of folders to/this/gallium_n.cif", T[3:4], [7])
    panel = Panel(
        "heat capacity", "J/(mol K)", [quartz, single], ("3NR", 25.0), "300 K"
    )
    curves(tmp_path / "cv.svg", [panel])
    expected = {"heat capacity (J/(mol K))", "temperature (K)", "3NR", "300 K"}
    expected |= {"quartz", "quartz, measured", "...ers to/this/gallium_n.cif"}
    assert expected <= texts(tmp_path / "cv.svg")


def test_many_curves_have_no_legend(tmp_path):
    panel = Panel("entropy", "J/(mol K)", [Curve(f"c{i}", T, T * i) for i in range(30)])
    curves(tmp_path / "s.svg", [panel])
    assert "30 crystals" in texts(tmp_path / "s.svg")
    assert "c1" not in texts(tmp_path / "s.svg")


def test_the_suffix_says_the_format(tmp_path):
    panels = [Panel("entropy", "J/(mol K)", [Curve("x", T, T)])] * 3
    curves(tmp_path / "s.png", panels)
    height, width, _ = imread(tmp_path / "s.png").shape
    assert (height, width) == (2 * 640, 2 * 680)  # two rows of two, 200 dots an inch
    with pytest.raises(ValueError, match="xyz"):
        curves(tmp_path / "s.xyz", panels)
