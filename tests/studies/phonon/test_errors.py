"""Errors of test rows: bins of volume, crystal systems, figures, wrong files."""

import numpy as np
import pytest
from matplotlib.image import imread
from svg import texts

from cloud_jax.scope.crystal_systems import LAST_GROUP, crystal_system
from cloud_jax.studies.phonon.errors import (
    Errors,
    by_space_group,
    by_system,
    by_volume,
    read_errors,
    summary,
    volume_edges,
)
from cloud_jax.studies.phonon.figures_errors import (
    ErrorPanel,
    symmetry_plot,
    violin_plot,
    volume_plot,
)

HEADER = "fold,id,target,unit,true,predicted,spread,space_group,volume_a3\n"


def run(label="ours", n=100, seed=0, **fields):
    generator = np.random.default_rng(seed)
    true = generator.uniform(10, 100, n)
    found = Errors(
        label,
        "J/(mol K)",
        [f"mp-{i}" for i in range(n)],
        true,
        true + generator.normal(0, 3, n),
        generator.integers(1, 231, n),
        np.exp(generator.normal(4, 1, n)),
    )
    return found._replace(**fields)


def test_predictions_are_read_with_what_they_know_of_the_crystals(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(
        HEADER + "split,1,cv,J/(mol K),20,21.5,0.1,225,40.5\n"
        "split,1,u,J/mol,3000,2900,nan,225,40.5\n"
        "split,nan,cv,J/(mol K),30,29,0.1,,\n"
    )
    found = read_errors(path, "ours")
    assert list(found) == ["cv", "u"]
    assert found["cv"].ids == ["1", "nan"]
    assert found["cv"].error.tolist() == [-1.5, 1.0]
    assert found["cv"].space_group.tolist() == [225, 0]
    np.testing.assert_array_equal(found["cv"].volume_a3, [40.5, np.nan])
    assert found["u"].unit == "J/mol"


def test_rows_without_a_label_have_no_error(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text(HEADER + "s,a,y,,,1,0,1,1\ns,b,y,,3,4,0,1,1\ns,a,z,,,1,0,1,1\n")
    found = read_errors(path, "ours")
    assert found.keys() == {"y"}
    assert (found["y"].ids, found["y"].error.tolist()) == (["b"], [-1])


def test_predictions_of_an_older_run_have_no_space_groups(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("fold,id,target,unit,true,predicted,spread\nsplit,a,y,,1,2,nan\n")
    (found,) = read_errors(path, "ours").values()
    assert (found.unit, found.space_group.tolist()) == ("", [0])
    assert np.isnan(found.volume_a3).all()
    assert volume_edges([found]) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,true\na,1\n", "found columns id, true; expected target, unit, predicted"),
        (HEADER + "s,a,y,,1,nan,0,1,1\n", "column predicted: not all are finite"),
        (HEADER + "s,a,y,,x,1,0,1,1\n", "column true: not all are finite numbers"),
        ("", "predictions.csv: found no table"),
    ],
)
def test_a_file_that_is_no_predictions_says_what_is_wrong(tmp_path, text, message):
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_errors(tmp_path / "predictions.csv", "ours")


def test_bins_of_volume_hold_equally_many_and_all():
    one = run()
    edges = volume_edges([one])
    bins = by_volume(one, edges)
    assert sorted(map(len, bins)) == [16, 16, 17, 17, 17, 17]
    assert (edges[0], edges[-1]) == (one.volume_a3.min(), one.volume_a3.max())
    for i, own in enumerate(bins):
        inside = one.volume_a3 >= edges[i]
        inside &= (one.volume_a3 < edges[i + 1]) | (i == 5)
        assert np.array_equal(own, np.abs(one.error[inside]))


def test_bins_are_those_of_all_crystals_that_any_run_tested():
    one = run(volume_a3=np.arange(1.0, 101.0))
    half = Errors("half", one.unit, one.ids[:50], *(x[:50] for x in one[3:]))
    assert volume_edges([half, one, one]) == volume_edges([one])
    assert list(map(len, by_volume(half, volume_edges([one])))) == [17, 17, 16, 0, 0, 0]


def test_an_unknown_volume_is_in_no_bin():
    one = run(n=13)
    one.volume_a3[3] = np.nan
    assert list(map(len, by_volume(one, volume_edges([one])))) == [2] * 6


def test_systems_are_those_of_the_space_groups():
    # The first and last group of each system, International Tables A.
    ends = [(1, 2), (3, 15), (16, 74), (75, 142), (143, 167), (168, 194), (195, 230)]
    for name, (first, last) in zip(LAST_GROUP, ends, strict=True):
        assert crystal_system(first) == crystal_system(last) == name
    groups = np.array([0, 1, 2, 225, 225])
    one = run(n=5, space_group=groups, true=np.zeros(5), predicted=np.arange(5.0))
    found = {name: own.tolist() for name, own in by_system(one).items() if len(own)}
    assert found == {"triclinic": [1, 2], "cubic": [3, 4]}
    found = {number: own.tolist() for number, own in by_space_group(one).items()}
    assert found == {1: [1], 2: [2], 225: [3, 4]}


def test_a_summary_is_counted_by_hand():
    one = run(
        n=12, true=np.zeros(12), predicted=np.arange(12.0) - 11,
        volume_a3=np.arange(12.0) + 1, space_group=np.full(12, 194),
    )  # fmt: skip
    found = summary(one, volume_edges([one]))
    sizes = {"mean": 5.5, "median": 5.5, "percentile_95": 10.45, "max": 11.0}
    assert found["absolute_error"] == pytest.approx(sizes, rel=1e-12)
    assert [row["id"] for row in found["largest"]] == [f"mp-{i}" for i in range(5)]
    assert found["largest"][0]["target_minus_predicted"] == 11.0
    first = {"n": 2, "mean_absolute_error": 10.5, "median_absolute_error": 10.5}
    assert found["volume_bins"][0] == {"from_a3": 1.0, "to_a3": 3.0, **first}
    expected = {"n": 12, "mean_absolute_error": 5.5, "median_absolute_error": 5.5}
    assert found["crystal_systems"] == {"hexagonal": expected}
    assert found["space_groups"] == {"194": expected}
    assert summary(one, [])["volume_bins"] == []


def test_figures_name_runs_units_and_the_largest_errors(tmp_path):
    one, other = run(), run("theirs", n=60, seed=1, space_group=np.full(60, 2))
    one.predicted[7] = one.true[7] + 50
    other.predicted[9] = other.true[9] - 40
    panel = ErrorPanel("heat capacity", [one, other])
    for plot in (violin_plot, volume_plot, symmetry_plot):
        plot(tmp_path / f"{plot.__name__}.svg", [panel])
    violin = texts(tmp_path / "violin_plot.svg")
    assert {"heat capacity, target - predicted (J/(mol K))", "mp-7", "mp-9"} <= violin
    assert f"ours: MAE {np.abs(one.error).mean():,.4g}" in violin
    volume = texts(tmp_path / "volume_plot.svg")
    assert {"heat capacity, absolute error (J/(mol K))", "ours", "theirs"} <= volume
    edges = volume_edges([one, other])
    assert {f"{edge:.0f}" for edge in edges} <= volume
    symmetry = texts(tmp_path / "symmetry_plot.svg")
    assert "heat capacity, mean absolute error (J/(mol K))" in symmetry
    errors = by_system(one)["cubic"]
    assert {f"cubic ({len(errors)})", f"{errors.mean():.3g}"} <= symmetry
    assert "triclinic (60)" in symmetry
    in_thousands = one._replace(true=1000 * one.true, predicted=1000 * one.predicted)
    symmetry_plot(tmp_path / "s.svg", [ErrorPanel("energy", [in_thousands])])
    assert f"{1000 * errors.mean():,.0f}" in texts(tmp_path / "s.svg")


def test_a_figure_has_a_panel_a_target_at_the_width_of_a_column(tmp_path):
    same = run(n=7)
    same = same._replace(label="$exact$", predicted=same.true, unit="")
    violin_plot(tmp_path / "v.png", [ErrorPanel("y", [same]), ErrorPanel("z", [run()])])
    height, width, _ = imread(tmp_path / "v.png").shape
    assert (height, width) == (640, 2 * 680)
    violin_plot(tmp_path / "v.svg", [ErrorPanel("y", [same])])
    assert {"y, target - predicted", "$exact$: MAE 0"} <= texts(tmp_path / "v.svg")


def test_figures_of_what_is_not_known_are_refused(tmp_path):
    blank = run(n=9, volume_a3=np.full(9, np.nan), space_group=np.zeros(9, int))
    with pytest.raises(ValueError, match="heat: too few volumes are known"):
        volume_plot(tmp_path / "x.png", [ErrorPanel("heat", [blank])])
    with pytest.raises(ValueError, match="heat: no space group is known"):
        symmetry_plot(tmp_path / "x.png", [ErrorPanel("heat", [blank])])
    assert not list(tmp_path.iterdir())
