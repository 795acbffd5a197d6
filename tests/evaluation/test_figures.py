"""Figures are read back: what is in them, not how they look."""

import numpy as np
import pytest
from matplotlib.image import imread

from cloud_jax.evaluation.figures import Curve, Panel, curves, parity_plot
from cloud_jax.evaluation.figures_dataset import _PERIODIC_TABLE, dataset_page
from cloud_jax.structures.species import ELEMENTS

T = np.linspace(0, 1000, 11)


def texts(path):
    """The texts of an SVG, which matplotlib notes beside their outlines."""
    lines = path.read_text().splitlines()
    return {line.strip()[5:-4] for line in lines if line.strip().startswith("<!-- ")}


def test_a_parity_plot_has_a_panel_a_target_with_units_and_notes(tmp_path):
    target = np.array([[1.0, 100], [2, 300]])
    target = np.column_stack([target, [np.nan, 5], [np.nan] * 2])
    parity_plot(
        tmp_path / "parity.svg",
        target,
        np.nan_to_num(target) * 1.1,
        names=("cv", "_u$", "few", "none"),
        units=("J/(mol K)", "", "", ""),
        notes=("MAE 0.15", "MAE 20", "MAE 0.5", ""),
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


def of_lengths(*counts):
    """The part of a report that tells how many have 20, 21 ... tokens or atoms."""
    quantiles = dict.fromkeys(("min", "median", "mean", "percentile_95"), 20)
    values = list(range(20, 20 + len(counts)))
    return {**quantiles, "max": values[-1], "values": values, "counts": [*counts]}


def of_source(name, **numbers):
    fates = ("n_read", "n_kept", "n_reserved", "n_duplicates", "n_rejected")
    return dict.fromkeys(fates, 0) | {"name": name, "merged_into": {}} | numbers


@pytest.fixture
def report():
    """Of one source that had nothing to reject, as ready strings are."""
    lengths = of_lengths(4, 0, 1)
    return {
        "dialect": "paper",
        "records": 5,
        "splits": {
            "train": {"records": 5, "lengths": lengths},
            "validation": {"records": 0, "lengths": {"values": [], "counts": []}},
        },
        "sources": [of_source("mine", n_read=5, n_kept=5)],
        "reasons": [],
        "crystal_systems": {"triclinic": 0, "cubic": 0, "not known": 5},
        "space_groups": [],
        "tokens_a_crystal": lengths,
        "primitive_cell_atoms": {"values": [], "counts": []},
        "vocabulary": {
            "occurrences": {"element:O": 5, "matrix:n": 2},
            "roles": {"elements": {"used": 1, "total": 103}},
        },
    }


def test_the_page_of_a_small_dataset_says_what_is_not_known(report, tmp_path):
    dataset_page(tmp_path / "page.svg", report)
    found = texts(tmp_path / "page.svg")
    assert "5 crystals of 5 read, paper dialect" in found
    assert {"mine", "kept", "nothing was rejected", "not known", "100.0"} <= found
    assert {"train, 5", "1 of 103 elements", "1 of 103", "Lr"} <= found
    assert not {"rejected", "validation, 0", "crystals"} & found
    assert "not known of ready strings" in found


def test_the_page_of_many_sources_adds_up_the_smallest(report, tmp_path):
    report["sources"] = [
        of_source(
            f"s{i}", n_read=100 + i, n_kept=50, n_duplicates=50 + i,
            merged_into={"s0": 30, f"s{i}": 20},
        )
        for i in range(20)
    ]  # fmt: skip
    report["reasons"] = [{"code": f"code_{i}", "count": 10**7 >> i} for i in range(14)]
    report["primitive_cell_atoms"] = of_lengths(1, 3)
    report["space_groups"] = [
        {"number": 2, "symbol": "P-1", "records": 4},
        {"number": 225, "symbol": "Fm-3m", "records": 10**6},
        {"number": 221, "symbol": "Pm-3m", "records": 7},
    ]
    dataset_page(tmp_path / "page.svg", report)
    found = texts(tmp_path / "page.svg")
    assert {"s19", "s9", "9 others", f"{sum(range(100, 109)):,}"} <= found
    assert "s8" not in found
    assert {"duplicate in its source", "duplicate of another's"} <= found
    assert {"code 0", "10,000,000", "3 others", "3 of the 230 space groups"} <= found
    assert {r"$P\bar{1}$", r"$Fm\bar{3}m$"} <= found
    assert r"$Pm\bar{3}m$" not in found


def test_every_element_of_the_vocabulary_has_its_place_on_the_page():
    symbols = " ".join(_PERIODIC_TABLE).split()
    assert sorted(s for s in symbols if s != ".") == sorted(ELEMENTS)
