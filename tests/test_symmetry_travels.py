"""A model's crystals, a dataset's and those to predict go through one search."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from property_model import write_model

from cloud_jax.finetuning.crystals import join_dataset
from cloud_jax.finetuning.rows import TableError
from cloud_jax.inference.predictor import load
from cloud_jax.models.folder import ModelFolderError
from cloud_jax.scope import build_vocabulary
from cloud_jax.scope.options import Options


def test_prediction_repeats_the_search_of_training(tmp_path):
    model = write_model(tmp_path / "model", symmetry="moyopy")
    assert load(model).options.symmetry == "moyopy"


def test_another_search_is_taken_where_it_is_asked_for_and_sentences_allow_it(tmp_path):
    model = write_model(tmp_path / "model")
    assert load(model, symmetry="moyopy").options.symmetry == "moyopy"
    with pytest.raises(ValueError, match=r"symmetry=.findsym.: expected one of"):
        _ = load(model, symmetry="findsym").options
    paper = load(model)
    paper.model = paper.model._replace(vocabulary=build_vocabulary("paper"))
    assert paper.options.dialect == "paper"
    paper.symmetry = "moyopy"
    with pytest.raises(ValueError, match=r"depend on the origin .*expected .spglib."):
        _ = paper.options


def test_a_model_of_before_there_was_a_choice_is_of_spglib(tmp_path):
    model = write_model(tmp_path / "model")
    assert "symmetry" not in json.loads((model / "model.json").read_text())
    assert load(model).options.symmetry == "spglib"


def test_a_search_that_is_not_here_names_the_model(tmp_path):
    model = load(write_model(tmp_path / "model", symmetry="findsym"))
    with pytest.raises(
        ModelFolderError, match=r"model\.json, field symmetry: .*findsym"
    ):
        _ = model.options


@pytest.mark.parametrize("field", [{}, {"symmetry": "spglib"}])
def test_a_dataset_of_the_other_search_is_refused(tmp_path, field):
    manifest = {
        "dialect": "canonical",
        "deduplicate": "canonical",
        "symprec": 0.01,
        "angle_tolerance": 5.0,
    } | field
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(TableError, match=r"made with .*spglib.* this run has .*moyopy"):
        join_dataset(tmp_path, [], Options(symmetry="moyopy"))
    names = "id n_atoms space_group volume_per_atom canonical merged_ids"
    columns = {name: [] for name in names.split()}
    pq.write_table(pa.table(columns), tmp_path / "records.parquet")
    join_dataset(tmp_path, [], Options())
