import gzip
import json
from importlib import resources

import numpy as np
import pandas as pd
import pytest
from property_model import CV, REGRESSION, write_model
from pymatgen.core import Lattice, Structure

import cloud_jax
from cloud_jax.inference import inputs
from cloud_jax.inference.predictor import Predictor
from cloud_jax.inference.properties import PredictionError
from cloud_jax.models.network import outputs_and_states
from cloud_jax.scope import Cell, build_vocabulary
from cloud_jax.scope.pipeline import Options, Reject

SALT = Structure.from_spacegroup(
    225, Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)
IRON = Structure(Lattice.cubic(2.87), ["Fe", "Fe"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope="module")
def predictor(tmp_path_factory) -> Predictor:
    return cloud_jax.load(write_model(tmp_path_factory.mktemp("models") / "m"))


@pytest.fixture(scope="module")
def prototypes() -> list[dict]:
    """Real crystals of many lengths."""
    path = resources.files("pymatgen.analysis") / "prototypes/aflow_prototypes.json.gz"
    rows = json.loads(gzip.decompress(path.read_bytes()))
    return [row["snl"] for row in rows[:60]]


def test_every_form_of_a_structure_gives_the_same_rows(predictor, tmp_path):
    path = tmp_path / "salt.cif"
    SALT.to(filename=str(path))
    forms = [SALT, Cell.from_structure(SALT), SALT.as_dict(), path.read_text(), path]
    frame = predictor.predict(forms, temperature_k=[100, 300])
    assert frame["id"].unique().tolist() == ["0", "1", "2", "3", str(path)]
    n = len(frame) // 5
    values = frame.pivot(index=["property", "temperature_k"], columns="id")["value"]
    np.testing.assert_allclose(values.to_numpy(), values[["0"]].to_numpy().repeat(5, 1))
    alone = predictor.predict(SALT, temperature_k=[100, 300], ids=["mine"])
    assert set(alone["id"]) == {"mine"}
    assert alone["value"].tolist() == frame["value"][:n].tolist()


def test_columns_say_what_a_number_is(predictor):
    frame = predictor.predict(IRON, temperature_k=[0, 300])
    assert list(frame.columns) == [
        "id", "formula", "property", "temperature_k", "value", "unit", "basis",
        "spread", "lower", "upper", "notes",
    ]  # fmt: skip
    units = frame.groupby("property", sort=False)[["unit", "basis"]].first()
    capacity = {"unit": "J/(mol K)", "basis": "formula"}
    energy = {"unit": "kJ/mol", "basis": "formula"}
    assert units.to_dict("index") == {
        "heat_capacity": capacity,
        "entropy": capacity,
        "enthalpy": energy,
        "gibbs_energy": energy,
        "internal_energy": energy,
        "helmholtz": energy,
        "debye_temperature": {"unit": "K", "basis": ""},
        "zero_point_energy": energy,
    }
    assert set(frame["formula"]) == {"Fe"}
    assert (frame["lower"] <= frame["value"]).all()
    assert (frame["value"] <= frame["upper"]).all()


def test_a_wide_table_has_a_row_per_crystal_and_temperature(predictor):
    kelvin = [300, 0, 100]
    long = predictor.predict([IRON, SALT], temperature_k=kelvin, basis="atom")
    wide = predictor.predict(
        [IRON, SALT], temperature_k=kelvin, basis="atom", wide=True
    )
    assert wide["id"].tolist() == ["0"] * 3 + ["1"] * 3
    assert wide["formula"].tolist() == ["Fe"] * 3 + ["NaCl"] * 3
    assert wide["temperature_k"].tolist() == kelvin * 2
    assert set(wide["basis"]) == {"atom"}
    assert wide.columns[-1] == "notes"
    for column, name in (("value", ""), ("spread", "_spread"), ("upper", "_upper")):
        of = long[long["property"] == "internal_energy"]
        found = wide[f"internal_energy{name}_kj_per_mol"]
        assert found.tolist() == of[column].tolist()
    assert wide.notna().all(axis=None)


def test_a_wide_table_of_targets_without_a_law(tmp_path):
    gap = CV | {"name": "gap", "property": "gap", "unit": "eV", "basis": ""}
    gap["temperature_k"] = None
    warm = CV | {"name": "warm", "temperature_k": 600.0}
    head = REGRESSION | {"outputs": 3}
    folder = write_model(tmp_path / "m", head=head, targets=(CV, gap, warm))
    wide = cloud_jax.load(folder).predict(SALT, wide=True)
    assert wide["temperature_k"].tolist() == [300, 600]
    assert wide["gap_ev"].nunique() == 1
    assert wide["heat_capacity_j_per_mol_k"].nunique() == 2
    per_atom = CV | {"name": "per_atom", "basis": "atom"}
    head = REGRESSION | {"outputs": 2}
    folder = write_model(tmp_path / "two", head=head, targets=(CV, per_atom))
    with pytest.raises(PredictionError, match="two targets for the column heat_cap"):
        cloud_jax.load(folder).predict(SALT, wide=True)


def test_a_crystal_alone_or_in_a_batch_has_the_same_prediction_to_the_bit(
    tmp_path, prototypes
):
    # As wide as a real one: its matrix products are cut into tiles.
    predictor = cloud_jax.load(write_model(tmp_path / "m", width=128))
    arguments = {"temperature_k": [5, 40, 300]}
    together = predictor.predict(prototypes, **arguments)
    assert together["id"].unique().tolist() == [str(i) for i in range(60)]
    columns = ["value", "spread", "lower", "upper"]
    for i in range(0, 60, 6):
        alone = predictor.predict([prototypes[i]], **arguments)[columns]
        batch = together.loc[together["id"] == str(i), columns]
        np.testing.assert_array_equal(alone, batch)
    draw = np.random.default_rng(0).integers
    sentences = [draw(5, 500, size=draw(33, 48)).tolist() for _ in range(50)]
    found = outputs_and_states(predictor.model, sentences)
    other_way = outputs_and_states(predictor.model, sentences[::-1])
    for one, other in zip(found, other_way, strict=True):
        np.testing.assert_array_equal(one, other[::-1])


def test_rejects_leave_the_others_in_their_order(predictor):
    broken = "data_x\n_cell_length_a 3\n"
    with pytest.warns(UserWarning, match="1 structures were rejected, the first is 1"):
        frame = predictor.predict([IRON, broken, SALT], temperature_k=300)
    assert frame["id"].unique().tolist() == ["0", "2"]
    (reject,) = frame.attrs["rejects"]
    assert (reject["id"], reject["code"]) == ("1", "no_atoms")


def test_too_long_for_the_model_is_a_reject(tmp_path):
    short = cloud_jax.load(write_model(tmp_path / "m", max_tokens=20))
    with pytest.warns(UserWarning, match="too_long"):
        assert short.predict(IRON, temperature_k=300).empty


def test_an_output_that_is_not_finite_is_a_reject(tmp_path):
    predictor = cloud_jax.load(write_model(tmp_path / "m"))
    bias = predictor.model.params["head"]["output"]["bias"]
    predictor.model.params["head"]["output"]["bias"] = np.full_like(bias, np.nan)
    with pytest.warns(UserWarning, match="not_finite"):
        assert predictor.predict(IRON, temperature_k=300).empty


def test_flags_name_what_training_did_not_cover(tmp_path):
    vocabulary = build_vocabulary("canonical")
    sentence = "1 6 a O D D a D O D b O O O c O O O d O O O e O O O 0"
    tokens = vocabulary.encode(f"{sentence} | Na 4a Cl 4b | Na 1 Cl 1")
    domain = {
        "n": 1,
        "token_ids": sorted(set(tokens)),
        "longest": len(tokens),
        "symmetries": [sentence],
    }
    predictor = cloud_jax.load(write_model(tmp_path / "m", domain=domain))
    alloy = Structure(
        SALT.lattice, [{"Na": 0.5, "K": 0.5}] * 4 + ["Cl"] * 4, SALT.frac_coords
    )
    iron = IRON.copy()
    iron.add_oxidation_state_by_element({"Fe": 2})
    frame = predictor.predict([SALT, alloy, iron], temperature_k=300)
    notes = frame.groupby("id").notes.first()
    assert notes["0"] == ""
    assert "disordered" in notes["1"]
    assert "unseen_element:K" in notes["1"]
    assert notes["2"].startswith("decorated;unseen_space_group;unseen_wyckoff:2a")
    assert notes["2"].endswith("unseen_element:Fe")


def test_embeddings_of_an_encoder_and_of_an_ensembles_first_member(tmp_path):
    ensemble = cloud_jax.load(write_model(tmp_path / "m"))
    frame = ensemble.embed([SALT, IRON], ids=["salt", "iron"])
    assert frame.index.tolist() == ["salt", "iron"]
    assert frame.shape == (2, 16)
    import jax

    from cloud_jax.models.folder import save_model

    first = jax.tree.map(lambda leaf: leaf[0], ensemble.model.params["encoder"])
    description = ensemble.model.description | {"kind": "encoder"}
    save_model(
        tmp_path / "encoder",
        description=description,
        vocabulary=ensemble.model.vocabulary,
        params={"encoder": first},
    )
    encoder = cloud_jax.load(tmp_path / "encoder")
    np.testing.assert_allclose(encoder.embed([SALT, IRON]), frame, rtol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"structures": [1]}, TypeError, "structure 0 has type int"),
        ({"structures": [IRON], "ids": ["a", "b"]}, ValueError, "found 2 for 1"),
        ({"structures": IRON, "temperature_k": -1}, ValueError, "at least 0 K"),
    ],
)
def test_wrong_arguments_are_errors(predictor, arguments, error, message):
    with pytest.raises(error, match=message):
        predictor.predict(**arguments)


def test_many_items_go_to_workers_with_the_same_result(monkeypatch, prototypes):
    monkeypatch.setattr(inputs, "POOL_FROM", 20)
    items = inputs.object_items([*prototypes[:20], "nothing\n", SALT])
    counts = []
    results = inputs.parse(
        items, Options(), workers=2, progress=lambda n, before: counts.append(n)
    )
    assert results == inputs.parse(items, Options(), workers=1)
    assert isinstance(results[20], Reject)
    assert results[20].id == "20"
    assert sum(counts) == 22


@pytest.mark.parametrize("wide", [False, True])
def test_every_column_is_an_attribute_of_the_frame(predictor, wide):
    frame = predictor.predict(SALT, temperature_k=300, wide=wide)
    assert not set(frame.columns) & set(dir(pd.DataFrame))
    for name in frame.columns:
        pd.testing.assert_series_equal(getattr(frame, name), frame[name])
