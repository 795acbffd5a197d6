"""MatBench's results file, as matbench 0.6 writes, reads and refuses it."""

import gzip
import json
from datetime import datetime

import numpy as np
import pytest

from cloud_jax.datasets.matbench import MatbenchSource
from cloud_jax.evaluation.leaderboard_file import (
    LeaderboardError,
    check_matbench,
    content_hash,
    merge_matbench,
    regression_scores,
    write_matbench,
)
from cloud_jax.studies import leaderboard


def official_of(task):
    source, folds = MatbenchSource.from_word(task, ""), {}
    for name, fold in zip(source.ids(), source.folds(), strict=True):
        folds.setdefault(fold, []).append(name)
    return folds


PHONONS, JDFT2D = official_of("phonons"), official_of("jdft2d")


def made_up(official, seed=0):
    """Targets and predictions of all rows."""
    generator = np.random.default_rng(seed)
    true, predictions = {}, {}
    for fold, ids in official.items():
        true |= zip(ids, generator.uniform(100, 900, len(ids)), strict=True)
        errors = generator.normal(0, 50, len(ids))
        predictions[fold] = {
            name: true[name] + error for name, error in zip(ids, errors, strict=True)
        }
    return predictions, true


@pytest.fixture
def phonons(tmp_path):
    path = tmp_path / "phonons.json.gz"
    write_matbench(
        path,
        "matbench_phonons",
        *made_up(PHONONS),
        PHONONS,
        parameters={"fold_0": {"members": 4}},
        metadata={"method": "ours", "a": [2, 1]},
    )
    return path


def read(path):
    return json.loads(gzip.decompress(path.read_bytes()))


def write(path, content):
    """With the hash that the content has."""
    content.pop("hash", None)
    content["hash"] = content_hash(content)
    path.write_bytes(gzip.compress(json.dumps(content).encode()))
    return path


def test_a_file_has_the_keys_of_matbench_in_its_order(phonons):
    content = read(phonons)
    assert list(content) == [
        "@module", "@class", "version", "tasks", "user_metadata", "benchmark_name",
        "datestamp", "hash",
    ]  # fmt: skip
    assert content["@module"] == "matbench.bench"
    assert content["@class"] == "MatbenchBenchmark"
    assert (content["version"], content["benchmark_name"]) == ("0.6", "matbench_v0.1")
    assert list(content["user_metadata"].items()) == [("a", [2, 1]), ("method", "ours")]
    datetime.strptime(content["datestamp"], "%Y.%m.%d %H:%M.%S")
    (task,) = content["tasks"].values()
    assert list(task) == [
        "@class", "@module", "benchmark_name", "dataset_name", "results"
    ]  # fmt: skip
    assert (task["@module"], task["@class"]) == ("matbench.task", "MatbenchTask")
    assert task["dataset_name"] == "matbench_phonons"
    assert list(task["results"]) == [f"fold_{i}" for i in range(5)]
    for fold in task["results"].values():
        assert list(fold) == ["data", "parameters", "scores", "uncertainty"]
        assert list(fold["scores"]) == ["mae", "mape", "max_error", "rmse"]
        assert fold["uncertainty"] is None
    assert task["results"]["fold_0"]["parameters"] == {"members": 4}
    assert task["results"]["fold_1"]["parameters"] == {}
    assert list(task["results"]["fold_0"]["data"])[:3] == [
        "mb-phonons-0002", "mb-phonons-0003", "mb-phonons-0007"
    ]  # fmt: skip


def test_what_is_written_is_what_was_predicted_and_scored(phonons):
    content = check_matbench(phonons, {"matbench_phonons": PHONONS})
    predictions, true = made_up(PHONONS)
    results = content["tasks"]["matbench_phonons"]["results"]
    for fold, part in results.items():
        assert part["data"] == predictions[fold]
        errors = np.array([predictions[fold][i] - true[i] for i in PHONONS[fold]])
        assert part["scores"]["mae"] == pytest.approx(np.abs(errors).mean(), rel=1e-12)


def test_scores_are_those_of_matbench_by_hand():
    found = regression_scores([1.0, 2.5, -3.0, 0.5], [0.0, 2.0, -4.0, 1e-6])
    assert found["mae"] == pytest.approx((1 + 0.5 + 1 + 0.499999) / 4, rel=1e-12)
    squares = 1 + 0.25 + 1 + 0.499999**2
    assert found["rmse"] == pytest.approx((squares / 4) ** 0.5, rel=1e-12)
    assert found["mape"] == pytest.approx((0.25 + 0.25) / 2, rel=1e-12)  # of two rows
    assert found["max_error"] == 1.0


def test_the_hash_is_that_of_matbench():
    tasks = {"b": {"x": 1.5, "a": None}, "a": [{"z": 1, "y": 2}]}
    content = {"version": "0.6", "tasks": tasks, "user_metadata": {"é": "ü"}}
    # What matbench.util.hash_dictionary of matbench 0.6 gives.
    assert content_hash(content) == (
        "ca9976f934ccfc212c04de0d6b4ad30184733ba6c9f2527e52feeb13eb4a3b92"
    )


def test_a_part_of_a_task_is_refused_with_what_is_missing(tmp_path):
    predictions, true = made_up(PHONONS)
    del predictions["fold_1"]
    del predictions["fold_0"]["mb-phonons-0003"]
    predictions["fold_0"]["mb-phonons-0001"] = 1.0  # fold_4 tests it
    predictions["fold_2"] |= dict.fromkeys(PHONONS["fold_2"][:5], float("nan"))
    predictions["split"] = {}
    path = tmp_path / "results.json.gz"
    with pytest.raises(LeaderboardError) as found:
        write_matbench(path, "matbench_phonons", predictions, true, PHONONS)
    head, *parts = str(found.value).split(": ", 2)[2].split("; ")
    assert head == "not folds of the task: split"
    nan = ", ".join(PHONONS["fold_2"][:3])
    assert parts == [
        "fold_0: 1 of 253 official test rows have no prediction (mb-phonons-0003)",
        "fold_0: 1 predictions are not of official test rows (mb-phonons-0001)",
        "fold_1: no predictions",
        f"fold_2: 5 predictions are not finite numbers ({nan}, ...)",
    ]
    assert not list(tmp_path.iterdir())


def broken(content, kind):
    task = content["tasks"]["matbench_phonons"]
    fold = task["results"]["fold_0"]
    if kind == "keys":
        del content["version"]
        content["extra"] = 1
    elif kind == "types":
        fold["data"]["mb-phonons-0002"] = 1
        fold["scores"]["mae"] = None
    elif kind == "values":
        content["benchmark_name"] = "matbench_v0.2"
        task["results"] = []
    elif kind == "name":
        task["dataset_name"] = "matbench_jdft2d"
    elif kind == "rows":
        del fold["data"]["mb-phonons-0002"]
    return content


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("keys", "the file: missing key 'version'; the file: unexpected key 'extra'"),
        ("types", "data.mb-phonons-0002: found int 1, expected float; tasks.*mae"),
        ("values", "found 'matbench_v0.2', not 'matbench_v0.1'; .*found list, expect"),
        ("name", "tasks.matbench_phonons.dataset_name: found matbench_jdft2d"),
        ("rows", r"1 of 253 official test rows have no prediction \(mb-phonons-0002\)"),
    ],
)
def test_each_field_is_checked(phonons, kind, message):
    write(phonons, broken(read(phonons), kind))
    with pytest.raises(LeaderboardError, match=message):
        check_matbench(phonons, {"matbench_phonons": PHONONS})


def test_a_changed_or_foreign_file_is_refused(phonons, tmp_path):
    content = read(phonons)
    content["user_metadata"]["method"] = "theirs"
    plain = tmp_path / "results.json"
    plain.write_text(json.dumps(content))
    with pytest.raises(LeaderboardError, match="changed after it was written"):
        check_matbench(plain)
    (tmp_path / "no.json.gz").write_text("{}")
    with pytest.raises(
        LeaderboardError, match=r"no.json.gz: found no \(gzipped\) JSON"
    ):
        check_matbench(tmp_path / "no.json.gz")
    with pytest.raises(LeaderboardError, match="expected one of matbench_jdft2d"):
        check_matbench(phonons, {"matbench_jdft2d": JDFT2D})


def test_files_of_several_tasks_become_one(phonons, tmp_path):
    official = {"matbench_phonons": PHONONS, "matbench_jdft2d": JDFT2D}
    other = tmp_path / "jdft2d.json.gz"
    write_matbench(other, "matbench_jdft2d", *made_up(JDFT2D, 1), JDFT2D)
    path = tmp_path / "results.json.gz"
    found = merge_matbench(path, [phonons, other], official)
    content = check_matbench(path, official)
    assert list(content["tasks"]) == ["matbench_jdft2d", "matbench_phonons"]
    for file, name in ((phonons, "matbench_phonons"), (other, "matbench_jdft2d")):
        assert content["tasks"][name] == read(file)["tasks"][name]
        assert content["user_metadata"][name] == read(file)["user_metadata"]
    folds = content["tasks"]["matbench_phonons"]["results"].values()
    maes = [fold["scores"]["mae"] for fold in folds]
    expected = {"mean": np.mean(maes), "max": max(maes), "min": min(maes)}
    expected["std"] = np.std(maes)
    assert found["matbench_phonons"]["mae"] == pytest.approx(expected, rel=1e-12)
    with pytest.raises(LeaderboardError, match=r"matbench_phonons is in .* too"):
        merge_matbench(path, [phonons, phonons], official)


def test_the_command_writes_whole_runs_and_refuses_others(
    phonons, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    phonons.rename(tmp_path / "run" / "matbench_results.json.gz")
    other = tmp_path / "jdft2d.json.gz"
    write_matbench(other, "matbench_jdft2d", *made_up(JDFT2D, 1), JDFT2D)
    assert leaderboard.main(["run", "jdft2d.json.gz"]) == 0
    content = check_matbench(tmp_path / "results.json.gz")
    maes = [
        fold["scores"]["mae"]
        for fold in content["tasks"]["matbench_phonons"]["results"].values()
    ]
    printed = f"matbench_phonons: mae {np.mean(maes):.4g} ± {np.std(maes):.2g}, rmse"
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith(printed)
    assert lines[1].endswith("cm^-1")
    (tmp_path / "empty").mkdir()
    assert leaderboard.main(["empty"]) == 1
    err = capsys.readouterr().err
    assert "empty/matbench_results.json.gz: there is no such file; a run of" in err
    content["tasks"]["matbench_jdft2d"]["results"]["fold_3"]["data"].popitem()
    write(other, content)
    assert leaderboard.main([str(other), "--output=new.json.gz"]) == 1
    assert "matbench_jdft2d: MatBench takes a task whole" in capsys.readouterr().err
    assert not (tmp_path / "new.json.gz").exists()
