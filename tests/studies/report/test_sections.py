import copy
import itertools
import json
import math
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path

import pytest
import report_folders

from cloud_jax.config import finetuning
from cloud_jax.studies.report import benchmarks, grids
from cloud_jax.studies.report.gather import gather
from cloud_jax.studies.report.paths import as_typed, shorten, shorten_all
from cloud_jax.studies.report.records import Fold, Spread, decode
from cloud_jax.studies.report.runs import differences
from cloud_jax.studies.report.sections import sections

DEFAULTS = {"finetune": finetuning().to_dict()}


def summary(runs, title):
    """Return a row of the summary as {column: entry}."""
    found = benchmarks.by_benchmark(runs)
    grid = benchmarks.summary(found)
    row = next(row for row in grid.rows if row[0].text == title)
    return dict(zip(grid.head, row, strict=True))


def shown(folder):
    runs, problems = gather([folder])
    return {s.anchor: s for s in sections(runs, problems, DEFAULTS)}


def texts(grid):
    return [[entry.text for entry in row] for row in grid.rows]


def test_runs_are_found_below_folders_and_named_relative_to_the_common_one(tmp_path):
    report_folders.finetune(tmp_path / "a" / "phonons")
    report_folders.finetune(tmp_path / "b" / "phonons")
    report_folders.pretrain(tmp_path / "b" / "bert")
    runs, problems = gather([tmp_path / "a", tmp_path / "b"])
    assert [(run.name, run.kind) for run in runs] == [
        ("a/phonons", "finetune"),
        ("b/bert", "pretrain"),
        ("b/phonons", "finetune"),
    ]
    assert not problems
    again, _ = gather([tmp_path, tmp_path / "b"])  # overlapping folders
    assert len(again) == 3


def test_of_folders_within_a_run_only_those_with_a_kind_are_runs(tmp_path):
    run = report_folders.finetune(tmp_path / "wbm", "discovery")
    report_folders.discovery(run / "discovery")
    report_folders.pretrain(run / "a cell of a grid")
    runs, problems = gather([tmp_path])
    assert [run.name for run in runs] == ["wbm", "wbm/discovery"]
    assert not problems


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "empty or damaged"),
        ('{"kind": "finetune", "ens', "empty or damaged"),
        ("[1]", "found a list, expected an object"),
        ('{"kind": "poem"}', "is of kind 'poem'"),
        ('{"score": 1}', "does not say its kind"),
        ('{"kind": "finetune", "folds": []}', "has no ensemble"),
    ],
)
def test_unreadable_results_are_listed_with_the_reason(tmp_path, content, reason):
    report_folders.pretrain(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "results.json").write_text(content)
    runs, problems = gather([tmp_path])
    assert [run.name for run in runs] == ["good"]
    assert [problem.name for problem in problems] == ["bad"]
    assert reason in problems[0].reason
    rows = texts(shown(tmp_path)["problems"].grids[0])
    assert rows == [["bad", problems[0].reason]]


def test_unfinished_runs_are_listed_with_their_progress(tmp_path):
    (tmp_path / "run" / "members" / "m" / "checkpoints" / "120").mkdir(parents=True)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "config.json").write_text("{}")
    (tmp_path / "grid" / "cell" / "checkpoints").mkdir(parents=True)
    (tmp_path / "grid" / "points.csv").write_text("parameters\n1\n2\n")
    (tmp_path / "nothing").mkdir()
    runs, problems = gather([tmp_path, tmp_path / "nothing"])
    assert not runs
    assert dict(problems) == {
        "run": "unfinished: no results.json, last checkpoint at step 120",
        "begun": "unfinished: no results.json, no checkpoint",
        "grid": "unfinished: no results.json, 2 cells of a grid",
        "grid/cell": "unfinished: no results.json, no checkpoint",
        "nothing": "holds no run: no results.json in it or below",
    }
    with pytest.raises(OSError, match="gone: there is no such folder"):
        gather([tmp_path / "gone"])


def test_only_png_files_within_the_folder_are_figures(tmp_path):
    run = report_folders.finetune(tmp_path / "run")
    (tmp_path / "secret.png").write_bytes(report_folders.png())
    (run / "text.png").write_text("<svg onload='x'>")
    names = ("parity.png", "../secret.png", "text.png", "gone.png")
    figures = [{"file": name, "caption": name} for name in names]
    results = json.loads((run / "results.json").read_text())
    (run / "results.json").write_text(json.dumps(results | {"figures": figures}))
    (found,), problems = gather([run])
    assert [figure.caption for figure in found.figures] == ["parity.png"]
    assert [p.reason for p in problems] == [
        "figure ../secret.png: it is outside the folder",
        "figure gone.png: there is no such file or folder",
        "figure text.png: not a PNG file",
    ]


def test_a_row_of_the_summary_holds_ours_and_the_papers(tmp_path):
    report_folders.finetune(tmp_path / "a")
    ours = {"checkpoint": "encoder", "members": 2, "note": "half the epochs"}
    report_folders.finetune(tmp_path / "b", maes=[20.0, 22.0, 21.0, 23.0, 24.0], **ours)
    runs, _ = gather([tmp_path])
    row = summary(runs, "MatBench phonons")
    assert row["error"].text == "MAE, cm⁻¹"
    assert row["ours, from scratch"][:3] == ("32.00 (1.41)", "", "")
    assert row["ours, pretrained"][:3] == ("22.00 (1.41)", "single 23.00", "best")
    assert row["paper's CLOUD"][:3] == ("40.6856 (2.6168)", "CLOUD", "")
    assert row["best coordinate-free peer"].detail == "MatInFormer"
    assert row["best of the paper's table"][:3] == ("28.8874 (3.2840)", "coNGN", "")
    measured = row["how ours was measured"]
    assert measured.text == (
        "strict protocol, 5 of 5 folds, 1,265 of 1,265 rows tested, 2 rejected, "
        "canonical dialect"
    )
    assert measured.detail == "half the epochs."


def test_a_unit_other_than_the_papers_is_shown(tmp_path):
    report_folders.finetune(tmp_path / "a", "matbench_mp_gap")
    runs, _ = gather([tmp_path])
    assert summary(runs, "MatBench mp_gap")["ours, from scratch"].detail == "in cm⁻¹"


def test_own_runs_come_first_and_tasks_without_one_are_a_line(tmp_path):
    report_folders.pretrain(tmp_path / "a")
    report_folders.finetune(tmp_path / "b")
    found = shown(tmp_path)
    assert [*found] == [
        "summary", "comparison", "runs", "matbench", "pretraining", "absent",
    ]  # fmt: skip
    first, second = texts(found["summary"].grids[0])
    assert first[:3] == ["a", "masked tokens", "loss 0.2500"]
    assert second[:4] == [
        "b",
        "last phdos peak",
        "32.00 (1.41) cm⁻¹",
        "40.6856 (2.6168)",
    ]
    assert [row[0] for row in texts(found["comparison"].grids[0])] == [
        "MatBench phonons"
    ]
    (line,) = found["absent"].paragraphs
    assert "MatBench jdft2d" in line
    assert "UnconvBench supercon" in line
    assert "MatBench phonons" not in line
    assert not found["absent"].grids  # its tables are folded


def test_a_run_of_a_table_of_ones_own_has_no_columns_of_the_paper(tmp_path):
    report_folders.finetune(tmp_path / "a", "")
    found = shown(tmp_path)
    assert [*found] == ["summary", "runs", "absent"]
    assert "paper's CLOUD" not in found["summary"].grids[0].head
    (row,) = found["summary"].grids[0].rows
    assert row[2][:3] == ("32.00 (1.41) cm⁻¹", "MAE/MAD 16.0", "")


def test_of_one_fold_the_rows_are_a_fact_and_several_targets_a_range(tmp_path):
    run = report_folders.finetune(tmp_path / "a", "", maes=[1.0])
    results = json.loads((run / "results.json").read_text())
    results["targets"].append({"name": "second"})
    results["ensemble"]["second"] = report_folders.over([3.0])
    (run / "results.json").write_text(json.dumps(results))
    found = shown(tmp_path)
    (row,) = found["summary"].grids[0].rows
    assert row[2][:2] == ("MAE/MAD 0.500 to 1.50", "2 targets")
    facts, means = found["runs"].parts[0].grids
    assert ["rows: train, validation, test", "911, 101, 253"] in [
        [name, text.partition(";")[0]] for name, text in texts(facts)
    ]
    assert [row[0] for row in texts(means)] == ["last phdos peak", "second"]


def test_paths_of_the_host_are_shortened(tmp_path):
    run = report_folders.finetune(tmp_path / "runs" / "a", table="/home/eve/my t.csv")
    file = run / "environment.json"
    environment = json.loads(file.read_text())
    encoder = tmp_path / "runs" / "bert" / "model"
    environment["command"] = [
        "/home/eve/src/cloud_jax/finetune.py", "--config=configs/a.py",
        "--config.data.table=/home/eve/my t.csv",
        f"--config.model.checkpoint={encoder}", "--config.folds.only=('fold_0',)",
    ]  # fmt: skip
    environment["log"] = {"/home/eve/x.csv": 1, "/home/bob/x.csv": 2}
    file.write_text(json.dumps(environment))
    (found,), _ = gather([tmp_path / "runs"])
    assert found.results.table == ".../my t.csv"
    assert found.environment["log"] == {".../x.csv": 1, ".../x.csv (2)": 2}
    assert found.environment["command"] == (
        "cloud-jax finetune --config=configs/a.py --config.data.table='.../my t.csv' "
        "--config.model.checkpoint=bert/model --config.folds.only=\"('fold_0',)\""
    )


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("eV/atom", "eV/atom"),
        ("1/2 J/(mol K)/atom", "1/2 J/(mol K)/atom"),
        ("https://doi.org/10.1/x", "https://doi.org/10.1/x"),
        ("configs/a.py", "configs/a.py"),
        ("/r/lib/cloud_jax/weights/encoder", "cloud_jax/weights/encoder"),
        ("../a/b.csv", "../a/b.csv"),
        ("/r/runs/a/x.csv", "a/x.csv"),
        ("/r/other/x.csv: not a table", ".../x.csv: not a table"),
        ("two: /a/b c, /d/e.csv", "two: .../b c, .../e.csv"),
        (r"C:\Users\eve\x.csv", ".../x.csv"),
    ],
)
def test_only_absolute_paths_are_shortened(text, short):
    assert shorten(text, Path("/r/runs")) == short
    assert shorten_all([{"k": text}, 3, None], Path("/r/runs")) == [
        {"k": short}, 3, None,
    ]  # fmt: skip


def test_runs_on_other_rows_are_not_ranked(tmp_path):
    report_folders.finetune(tmp_path / "a", maes=[1.0])
    runs, _ = gather([tmp_path])
    row = summary(runs, "MatBench phonons")
    assert row["ours, from scratch"][:3] == ("1.000", "", "other rows")
    assert row["best of the paper's table"].mark == "best"
    assert "1 of 5 folds, 253 of 1,265 rows tested" in row["how ours was measured"].text
    report_folders.finetune(tmp_path / "a", maes=[1.0], rows_used=1265)
    row = summary(gather([tmp_path])[0], "MatBench phonons")
    assert row["ours, from scratch"].mark == "1 of 5 folds"


@pytest.mark.parametrize(
    ("used", "rejected", "tested", "mark"),
    [
        (154_719 + 256_962, 1, 256_962, "best"),
        (154_718 + 256_963, 0, 256_963, "best"),
        (27_248 + 256_962, 1, 256_962, "other training rows"),
        (154_719 + 256_000, 1, 256_000, "other rows"),
        (154_719 + 200_000, 56_963, 200_000, "other rows"),
    ],
)
def test_rows_of_a_separate_training_set_are_compared(
    tmp_path, used, rejected, tested, mark
):
    rows = {"rows_used": used, "rows_rejected": rejected, "n_test": tested}
    unit = {"targets": [{"name": "last phdos peak", "unit": "eV/atom"}]}
    report_folders.finetune(tmp_path / "a", "discovery", maes=[0.01], **rows, **unit)
    runs, _ = gather([tmp_path])
    row = summary(runs, "MatBench Discovery")
    assert row["ours, from scratch"].mark == mark
    learned = f"learned from {used - tested:,} of 154,719"
    assert learned in row["how ours was measured"].text
    assert (f"{rejected:,} rejected" in row["how ours was measured"].text) == bool(
        rejected
    )


def test_the_run_shown_is_chosen_by_validation_error_not_test_error(tmp_path):
    good, bad = [10.0] * 5, [50.0] * 5
    report_folders.finetune(tmp_path / "lucky", maes=good, validation=0.3)
    report_folders.finetune(tmp_path / "chosen", maes=bad, validation=0.1)
    report_folders.finetune(tmp_path / "one fold", maes=[5.0], validation=0.01)
    paper = {"maes": good, "validation": 0.01, "protocol": "paper"}
    report_folders.finetune(tmp_path / "leaky", **paper)
    runs, _ = gather([tmp_path])
    assert summary(runs, "MatBench phonons")["ours, from scratch"].text == "50.00"
    (table,) = shown(tmp_path)["comparison"].folded
    assert [row[0].text for row in table.rows] == [
        "chosen", "lucky", "one fold", "leaky",
    ]  # fmt: skip
    assert [row[4].mark for row in table.rows] == ["chosen", "", "", ""]


def test_a_run_of_two_thermal_targets_counts_for_both(tmp_path):
    run = report_folders.finetune(tmp_path / "a", "thermal", maes=[2.0, 4.0])
    results = json.loads((run / "results.json").read_text())
    names = {"cv": "heat_capacity", "u": "internal_energy"}
    results["targets"] = [{"name": k, "property": v} for k, v in names.items()]
    found = results["ensemble"].pop("last phdos peak")
    results["ensemble"] = {"cv": found, "u": {}}
    (run / "results.json").write_text(json.dumps(results))
    runs, _ = gather([tmp_path])
    assert summary(runs, "Thermal C_v, 300 K")["ours, from scratch"].text == "1.500"
    assert summary(runs, "Thermal U, 300 K")["ours, from scratch"].text == "no number"


def test_a_run_without_the_keys_of_later_versions_is_shown(tmp_path):
    run = report_folders.finetune(tmp_path / "a")
    new = "kind", "benchmark", "note", "table", "targets", "members_a_fold", "figures"
    results = json.loads((run / "results.json").read_text())
    old = {key: value for key, value in results.items() if key not in new}
    (run / "results.json").write_text(json.dumps(old))
    for name in ("config", "environment", "timing"):
        (run / f"{name}.json").unlink()
    (section,) = shown(tmp_path)["runs"].parts
    assert section.title == "Fine-tuning: a"
    assert len(section.figures) == 1
    assert len(section.grids[2].rows) == 5


def test_the_section_of_a_run_shows_settings_and_environment(tmp_path):
    report_folders.finetune(tmp_path / "a", note="a note")
    (section,) = shown(tmp_path)["runs"].parts
    assert section.paragraphs == ["a note"]
    facts = dict(texts(section.grids[0]))
    assert facts["training time"] == "5 min 34 s"
    assert facts["devices"] == "2 x cpu"
    assert facts["starts from"] == "scratch"
    folds = texts(section.grids[2])
    assert folds[0] == [
        "fold_0", "911", "101", "253", "0",
        "30.00", "60.00", "0.5000", "15.00", "7.500",
    ]  # fmt: skip
    folded = {
        grid.caption: dict(row[:2] for row in texts(grid)) for grid in section.folded
    }
    settings = texts(section.folded[0])
    assert settings == [["optimizer.learning_rate", "0.0001", "0.0007"]]
    environment = folded["Command and environment"]
    assert environment["command"] == "cloud-jax finetune --config configs/a.py"
    assert environment["commit"] == "0123abcd"
    assert folded["SHA-256 of inputs"] == report_folders.HASHES


@pytest.mark.parametrize(
    ("program", "typed"),
    [
        ("/env/bin/cloud-jax", "cloud-jax"),
        ("/src/cloud_jax/__main__.py", "cloud-jax"),
        ("/src/cloud_jax/import_hf.py", "cloud-jax import-hf"),
        ("scripts/launch.py", "scripts/launch.py"),
    ],
)
def test_a_command_is_shown_as_it_is_typed(program, typed):
    assert as_typed([program, "--x=a b"]) == f"{typed} --x='a b'"


def test_values_of_another_type_read_as_empty():
    found = decode(Fold, {"fold": 7, "n_test": "x", "n_train": math.nan, "members": {}})
    assert (found.fold, found.n_test, found.n_train) == ("", None, math.inf)
    assert (found.n_validation, found.members, found.ensemble) == (None, [], {})
    assert decode(Spread, {"mean": True, "std": 10**400}) == Spread(None, math.inf)


def paths(value, path=()):
    """Yield the path of every value below a JSON value."""
    inner = value.items() if isinstance(value, dict) else ()
    inner = enumerate(value) if isinstance(value, list) else inner
    for key, item in inner:
        yield (*path, key)
        yield from paths(item, (*path, key))


@pytest.mark.parametrize(
    "make", ["finetune", "pretrain", "discovery", "phonon", "attention", "scaling"]
)
def test_values_of_another_type_do_not_stop_the_report(tmp_path, make):
    getattr(report_folders, make)(tmp_path / "a")
    (run,), _ = gather([tmp_path])
    odd = itertools.cycle([None, "x", [7], {"a": 1}, math.nan, True, 10**400])
    for path in paths(run.raw):
        results = copy.deepcopy(run.raw)
        place = reduce(getitem, path[:-1], results)
        place[path[-1]] = next(odd)
        parts = sections([replace(run, raw=results)], [], DEFAULTS)
        assert "run-1" in [part.anchor for section in parts for part in section.parts]


def test_nan_is_shown_as_not_finite(tmp_path):
    report_folders.finetune(
        tmp_path / "a",
        members=2,
        single={"last phdos peak": {"mae": {"mean": math.nan}}},
    )
    (section,) = shown(tmp_path)["runs"].parts
    assert section.grids[1].rows[1][1].text == "not finite"


def test_changed_and_unknown_settings_are_listed():
    default = {"a": {"b": (1, 2), "c": 1.0}, "d": "", "workdir": "x"}
    actual = {"a": {"b": [1, 2], "c": 2.0}, "d": "", "e": True, "workdir": "y"}
    assert differences(default, actual) == [
        ("a.c", "1", "2"),
        ("e", "-", "yes"),
    ]


def test_tables_of_the_paper_have_rows_of_ours(tmp_path):
    report_folders.finetune(tmp_path / "a", checkpoint="encoder")
    (grid,) = shown(tmp_path)["matbench"].grids
    assert [row[0].text for row in grid.rows[-2:]] == ["CLOUD", "ours, pretrained"]
    assert [entry.text for entry in grid.rows[-1][1:4]] == ["-", "32.00", "-"]
    best = [row[2].text for row in grid.rows if row[2].mark == "best"]
    assert best == ["28.8874"]


def test_discovery_rows_follow_the_papers(tmp_path):
    report_folders.discovery(tmp_path / "a")
    section = shown(tmp_path)["discovery"]
    scores, thresholds = section.grids
    assert texts(scores)[-1][:3] == ["ours: full test set", "0.5000", "2.250"]
    assert "published hull; 256,963 crystals" in scores.rows[-1][0].detail
    assert texts(thresholds)[-1] == [
        "0.05", "ours: a", "0.5000", "2.250", "0.3750", "0.7500", "0.6250", "0.8750",
    ]  # fmt: skip
    assert section.paragraphs == [
        "a: no unique prototypes: the file has no such column"
    ]


def test_phonon_errors_follow_table_1(tmp_path):
    report_folders.phonon(tmp_path / "a")
    section = shown(tmp_path)["thermal"]
    table, ours, systems, volumes, temperatures, measured = section.grids
    ratio = "0.06250 (0.00250)"
    how = "strict protocol, folds: 5, 1,512 test rows"
    assert texts(ours) == [["debye", "C_v", ratio, ratio, how]]
    assert table.caption.startswith("Table 1.")
    assert systems.rows[0][1][:2] == ("1.250", "30 rows")
    assert texts(volumes) == [["10.0 to 52.5", "1.250"], ["52.5 to 900", "-"]]
    assert texts(temperatures) == [
        ["debye, heat_capacity", "heat capacity, 100 K", "0.06250", "0.06250"]
    ]
    assert texts(measured) == [["MgO", "debye", "test", "2.750", "1 of 2"]]
    assert section.paragraphs == ["a: violin.png: no column"]
    assert [figure.caption for figure in section.parts[0].figures] == [
        "errors by volume"
    ]


def test_attention_rows_follow_the_papers(tmp_path):
    report_folders.attention(tmp_path / "a")
    section = shown(tmp_path)["attention"]
    (grid,) = section.grids
    assert section.paragraphs == [
        "a, special counted: do space-group tokens come first more often than their "
        "share of the tokens, 0.625, gives by chance? Verdict: holds."
    ]
    ours = [row for row in grid.rows if row[1].text == "a"]
    assert [row[0].text for row in ours] == ["p1, k = 2", "p2, k = 2"]
    assert [entry.text for entry in ours[0][2:]] == [
        "0.7500", "0.5000", "0.2500", "0.00010",
    ]  # fmt: skip
    assert ours[0][2].detail == "(0.7000, 0.8000)"
    assert ours[0][1].detail == "layer 1, special counted"
    theirs = [entry.text for entry in grid.rows[0][1:4]]
    assert theirs == ["paper's CLOUD", "0.93", "0.5"]


def test_the_fitted_scaling_law_follows_the_papers(tmp_path):
    report_folders.scaling(tmp_path / "a")
    section = shown(tmp_path)["scaling"]
    law, optima = section.grids
    theirs, ours = law.rows
    assert [entry.text for entry in theirs[1:6]] == [
        "90.7464", "21.9854", "0.2296", "0.4339", "0.3518",
    ]  # fmt: skip
    assert ours[3][:2] == ("2.500", "(2.250, 2.750)")
    assert texts(optima) == [["a", "1.50e+12", "200,000", "1,250,000", "1.500"]]
    assert optima.rows[0][2].detail == "(100,000, 300,000)"
    assert section.paragraphs == ["a: E is not told apart from 0"]


def test_pretraining_is_followed_by_its_baselines(tmp_path):
    report_folders.pretrain(tmp_path / "a")
    (grid,) = shown(tmp_path)["pretraining"].grids
    assert [row[0].text for row in grid.rows] == [
        "a", "unigram, same masks", "bigram, same masks",
    ]  # fmt: skip
    assert grid.rows[0][2][:2] == ("0.2500", "90.0 % right")
    assert grid.rows[0][-1].text == "1 min 15 s"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1631.1996, "1,631"), (0.0689123, "0.06891"), (-0.0201, "-0.02010"), (0.0, "0"),
        (31.998, "32.00"), (3, "3"), (12000, "12,000"), (1.5e-9, "1.500e-09"),
        (math.inf, "not finite"), (None, ""),
    ],
)  # fmt: skip
def test_numbers_have_four_significant_digits(value, text):
    assert grids.format_number(value) == text


def test_a_deviation_has_as_many_decimals_as_its_mean():
    assert grids.measured(Spread(40.6856, 2.6168)) == "40.69 (2.62)"
    assert grids.measured(Spread(1631.2, 271.4)) == "1,631 (271)"
    assert grids.measured(Spread(None, 1.0)) == ""
