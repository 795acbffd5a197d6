"""The figure of heat capacities is read back: what is in it, not how it looks."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread
from svg import texts

from cloud_jax.studies.phonon.figures import heat_capacity_plot
from cloud_jax.studies.phonon.heat_capacity import Material

T = np.linspace(0, 600, 7)


def material(name, *labels, **others):
    value = T / 10
    frame = pd.DataFrame({"value": value, "lower": value, "upper": value}, T)
    measured = T[1:3], T[1:3] / 10
    return Material(name, 49.9, dict.fromkeys(labels, frame), measured, **others)


def test_a_panel_is_named_and_the_legend_stands_once(tmp_path):
    materials = [
        material("Al2O3", "ours", role="test"),
        material("MgO", "ours", "theirs", harmonic=pd.Series(T / 10, T)),
    ]
    heat_capacity_plot(tmp_path / "x.svg", materials)
    found = texts(tmp_path / "x.svg")
    assert {"Al$_{2}$O$_{3}$ (test)", "MgO", "C$_v$, ours", "C$_v$, theirs"} <= found
    assert {"C$_p$, measured", "C$_v$, DFT phonons", "Dulong-Petit, 3NR"} <= found
    assert (tmp_path / "x.svg").read_text().count("<!-- interval -->") == 1


@pytest.mark.parametrize(("n", "rows"), [(1, 1), (4, 1), (8, 2), (9, 3)])
def test_four_panels_stand_in_a_row_of_a_page(n, rows, tmp_path):
    heat_capacity_plot(tmp_path / "x.png", [material("MgO", "ours")] * n)
    height, width, _ = imread(tmp_path / "x.png").shape
    assert (height, width) == (round((1.8 * rows + 0.6) * 200), 7 * 200)
