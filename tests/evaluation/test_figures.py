"""Figures are read back: what is in them, not how they look."""

import numpy as np
import pytest
from svg import texts

from cloud_jax.evaluation.figures import crystal_label, parity_plot
from cloud_jax.evaluation.figures_dataset import _PERIODIC_TABLE, dataset_page
from cloud_jax.structures.species import ELEMENTS


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


@pytest.mark.parametrize(
    ("formula", "symbol", "label"),
    [
        ([("Al", 2), ("O", 3)], "R-3c", r"Al$_{2}$O$_{3}$ ($R\bar{3}c$)"),
        ([("Ti", 1), ("O", 2)], "P4_2/mnm", "TiO$_{2}$ ($P4_2/mnm$)"),
        ([("Ge", 1), ("Te", 12)], "P1", "GeTe$_{12}$ ($P1$)"),
    ],
)
def test_a_crystal_is_labelled_by_formula_and_symbol(formula, symbol, label):
    assert crystal_label(formula, symbol) == label


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
