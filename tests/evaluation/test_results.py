"""Which folders a command may write its results into."""

import json
from pathlib import Path

import pytest

from cloud_jax.evaluation.results import (
    kind_of,
    read_object,
    read_results,
    refuse_other_results,
    short_names,
)


@pytest.mark.parametrize("kind", ["discovery", "phonon", "scaling", "attention"])
def test_a_folder_of_its_own_kind_or_without_results_is_fine(tmp_path, kind):
    refuse_other_results(tmp_path / "not there", kind)
    refuse_other_results(tmp_path, kind)
    (tmp_path / "results.json").write_text(json.dumps({"kind": kind}))
    refuse_other_results(tmp_path, kind)


@pytest.mark.parametrize(
    ("results", "found"),
    [
        ({"kind": "finetune"}, "finetune"),
        ({"ensemble": {}, "folds": []}, "finetune"),  # from before kinds were written
        ({"validation_loss": 1.0}, "pretrain"),
        ({"kind": "phonon"}, "phonon"),
        ({"something": 1}, "unknown"),
    ],
)
def test_the_results_of_another_kind_are_kept(tmp_path, results, found):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results))
    with pytest.raises(
        ValueError, match=rf"kind {found}.*give another folder"
    ) as error:
        refuse_other_results(tmp_path, "discovery")
    assert str(tmp_path) in str(error.value)
    assert json.loads(path.read_text()) == results


def test_an_unfinished_training_run_is_no_output_folder(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="unfinished training"):
        refuse_other_results(tmp_path, "attention")
    refuse_other_results(tmp_path, "finetune")  # which resumes it


def test_a_data_set_is_no_output_folder(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ValueError, match="kind dataset"):
        refuse_other_results(tmp_path, "attention")


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_damaged_results_are_kept_too(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"results\.json: .*(damaged|found a list)"):
        refuse_other_results(tmp_path, "discovery")


def test_results_of_a_run_that_has_not_finished(tmp_path):
    with pytest.raises(FileNotFoundError, match="again to finish it"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"kind": "scaling"}')
    assert kind_of(read_results(tmp_path)) == "scaling"
    assert read_object(tmp_path / "results.json") == {"kind": "scaling"}


def test_folders_are_named_below_what_they_have_in_common(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [Path("a/cv"), tmp_path / "b" / "cv"]
    assert list(short_names(folders).values()) == ["a/cv", "b/cv"]
    assert short_names([Path("a/cv")]) == {Path("a/cv"): "cv"}
