"""CloudFeaturizer is a transformer of scikit-learn, and reads each crystal once."""

import pickle

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk
from property_model import CV, REGRESSION, write_model
from pymatgen.core import Lattice, Structure
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_is_fitted

import cloud_jax
from cloud_jax import CloudFeaturizer
from cloud_jax.inference import memory
from cloud_jax.inference.descriptors import CELL_NAMES
from cloud_jax.models import network

BROKEN = "data_x\n_cell_length_a 3\n"
PAIRS = [(a, b) for a in ("Li", "Na", "K", "Rb") for b in ("F", "Cl", "Br")]


def salt(cation, anion, a=5.6):
    return Structure.from_spacegroup(
        225, Lattice.cubic(a), [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


SALTS = [salt(*pair, 5 + 0.1 * i) for i, pair in enumerate(PAIRS)]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_model(tmp_path_factory.mktemp("models") / "m"))


@pytest.fixture(scope="module")
def features(model) -> np.ndarray:
    return CloudFeaturizer(model).fit_transform(SALTS)


def test_columns_are_named_and_are_what_their_names_say(model, features):
    names = CloudFeaturizer(model).get_feature_names_out().tolist()
    assert len(names) == len(set(names)) == features.shape[1] == 16 + 4 * 12 + 1 + 2
    table = pd.DataFrame(features, columns=names)
    vectors = cloud_jax.load(model).embed(SALTS)
    np.testing.assert_allclose(table.iloc[:, :16], vectors, rtol=1e-4, atol=1e-6)
    assert set(table.number_of_elements) == {2}
    np.testing.assert_allclose(
        table.log_volume_per_atom, [np.log(s.volume / len(s)) for s in SALTS]
    )
    np.testing.assert_allclose(table.log_atoms_in_cell, np.log(2))
    # One of two atoms each: the mean is the middle, the deviation half the difference.
    least, largest = table.least_electronegativity, table.largest_electronegativity
    np.testing.assert_allclose(table.mean_electronegativity, (least + largest) / 2)
    np.testing.assert_allclose(table.deviation_electronegativity, (largest - least) / 2)
    assert table.largest_electronegativity.idxmax() in (0, 3, 6, 9), "fluorides"


def test_every_form_of_a_crystal_has_the_same_features(model, tmp_path):
    path = tmp_path / "salt.cif"
    one = salt("Na", "Cl", 5.64)
    one.to(filename=str(path))
    forms = [one, bulk("NaCl", "rocksalt", 5.64), path, str(path), path.read_text()]
    found = CloudFeaturizer(model).transform([*forms, one.as_dict()])
    np.testing.assert_allclose(found, found[:1].repeat(6, axis=0), atol=1e-12)
    alone = CloudFeaturizer(model).featurize(one)
    assert alone == found[0].tolist()


def test_a_pipeline_is_cross_validated_without_reading_a_crystal_again(
    model, features, monkeypatch
):
    read, evaluated = [], []

    def parse(items, *rest, original=memory.parse, **options):
        read.extend(items)
        return original(items, *rest, **options)

    def cls_states(model, sentences, original=network.outputs_and_states):
        evaluated.extend(sentences)
        return original(model, sentences)

    monkeypatch.setattr(memory, "parse", parse)
    monkeypatch.setattr(network, "outputs_and_states", cls_states)
    salts = [salt(*pair, 6 + 0.1 * i) for i, pair in enumerate(PAIRS)]  # not read yet
    y = np.arange(len(salts), dtype=float)
    frame = pd.DataFrame({"other": y, "structure": salts}, index=[f"r{i}" for i in y])
    pipeline = make_pipeline(CloudFeaturizer(model), StandardScaler(), Ridge(1e-3))
    scores = [
        cross_val_score(pipeline, X, y, cv=3, scoring="neg_mean_absolute_error")
        for X in (salts, frame["structure"], frame)
    ]
    np.testing.assert_array_equal(scores[0], scores[1])
    np.testing.assert_array_equal(scores[0], scores[2])
    assert np.mean(scores) > -np.abs(y - y.mean()).mean(), "better than the mean"
    assert len(read) == len(salts)
    assert evaluated == [], "these sentences are known from the other lattices"


def test_it_is_cloned_pickled_and_fitted(model, features):
    one = CloudFeaturizer(model, groups=["cell"], on_error="nan", workers=2)
    assert clone(one).get_params() == one.get_params()
    check_is_fitted(one)  # it needs no fit
    fitted = pickle.loads(pickle.dumps(one.fit(SALTS)))
    np.testing.assert_array_equal(fitted.transform(SALTS), features[:, -2:])


def test_a_column_of_a_table_becomes_named_columns(model, features):
    frame = pd.DataFrame({"y": np.arange(12.0), "structure": SALTS}).iloc[::-1]
    one = CloudFeaturizer(model, groups=("cell", "cls"))
    found = one.set_output(transform="pandas").fit_transform(frame)
    assert found.index.tolist() == frame.index.tolist()
    assert found.columns[:3].tolist() == [*CELL_NAMES, "cls_0"]
    np.testing.assert_array_equal(found["cls_3"], features[::-1, 3])
    both = make_column_transformer(
        (CloudFeaturizer(model, groups=("cell",)), ["structure"]),
        (StandardScaler(), ["y"]),
    ).fit_transform(frame)
    assert both.shape == (12, 3)
    np.testing.assert_array_equal(both[:, :2], features[::-1, -2:])
    objects = frame[["structure"]].to_numpy()
    np.testing.assert_array_equal(one.transform(objects), found)


def test_principal_components_stand_for_the_vector(model, features):
    one = CloudFeaturizer(model, groups=("cls", "cell"), n_components=3)
    with pytest.raises(NotFittedError):
        one.transform(SALTS)
    found = clone(one).set_params(on_error="nan").fit_transform(SALTS)
    np.testing.assert_allclose(found[:, :3].std(axis=0, ddof=1), 1)
    # They are linear in the vectors, and the same for a crystal alone.
    design = np.column_stack([features[:, :16], np.ones(12)])
    _, error, _, _ = np.linalg.lstsq(design, found[:, :3])
    assert error.size == 0 or error.max() < 1e-10
    fitted = pickle.loads(pickle.dumps(one.fit(SALTS)))
    np.testing.assert_allclose(fitted.transform(SALTS[4]), found[4:5])
    labels = ["cls_axis_0", "cls_axis_1", "cls_axis_2", *CELL_NAMES]
    assert fitted.feature_labels() == labels
    assert one.fit(SALTS[:2]).transform(SALTS).shape == (12, 4)


def test_unreadable_crystals_are_an_error_or_rows_of_nan(model, tmp_path):
    for name in ("a.cif", "b.cif"):
        SALTS[0].to(filename=str(tmp_path / name))
    series = pd.Series([SALTS[0], BROKEN, None, str(tmp_path), 5], list("pqrst"))
    one = CloudFeaturizer(model, groups=("cell",))
    why = r"4 of 5 crystals cannot be read, the first is row q: no_atoms: .*on_error"
    with pytest.raises(ValueError, match=why):
        one.transform(series)
    one.set_params(on_error="nan")
    for _ in range(2):  # read, and remembered
        with pytest.warns(UserWarning, match="row q: no_atoms.* are NaN"):
            found = one.transform(series)
        assert np.isnan(found).all(axis=1).tolist() == [False, *[True] * 4]
    with pytest.warns(UserWarning, match="row 0: not_one_crystal: found 2 crystals"):
        one.transform([str(tmp_path)])
    assert one.transform([]).shape == (0, 2)


def test_predicted_properties_are_features(model):
    one = CloudFeaturizer(model, groups=("properties",), temperature_k=[100, 300])
    table = pd.DataFrame(one.fit_transform(SALTS), columns=one.feature_labels())
    frame = cloud_jax.load(model).predict(
        SALTS, temperature_k=[100, 300], basis="atom", wide=True
    )
    at_100 = frame[frame.temperature_k == 100]
    np.testing.assert_array_equal(
        table.heat_capacity_100k, at_100.heat_capacity_j_per_mol_k
    )
    np.testing.assert_array_equal(
        table.zero_point_energy, at_100.zero_point_energy_kj_per_mol
    )


def test_properties_of_a_model_without_a_law(tmp_path):
    folder = write_model(tmp_path / "m", head=REGRESSION, targets=(CV,))
    one = CloudFeaturizer(folder, groups=("properties",)).fit(SALTS)
    assert one.feature_labels() == ["heat_capacity_300k"]
    frame = cloud_jax.load(folder).predict(SALTS)
    np.testing.assert_array_equal(one.transform(SALTS)[:, 0], frame.value)


def test_in_matminers_manner(model, features):
    frame = pd.DataFrame({"s": [*SALTS[:2], BROKEN]}, index=[5, 5, 6])
    one = CloudFeaturizer(model)
    with pytest.raises(ValueError, match="row 6: no_atoms"):
        one.featurize_dataframe(frame, "s")
    with pytest.warns(UserWarning, match="are NaN"):
        made = one.featurize_dataframe(frame, "s", ignore_errors=True)
    assert frame.columns.tolist() == ["s"]
    assert made.columns.tolist() == ["s", *one.feature_labels()]
    np.testing.assert_array_equal(made.iloc[:2, 1:].astype(float), features[:2])
    assert made.iloc[2, 1:].isna().all()
    good = frame.iloc[:2].copy()
    one.featurize_dataframe(good, "s", inplace=True)
    assert good.columns.tolist() == made.columns.tolist()
    assert one.featurize_many(SALTS[:2]) == features[:2].tolist()
    assert "2506.17345" in one.citations()[0]
    assert one.implementors()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": "cls"}, r"groups: found 'cls', expected a list"),
        ({"groups": ()}, r"groups: found \(\), expected a list"),
        ({"groups": ("cls", "cls")}, "expected a list of different names"),
        ({"groups": ("cls", "clss")}, r"found \['clss'\], expected some of cls, comp"),
        ({"on_error": "ignore"}, "on_error: found 'ignore', expected 'raise' or 'nan'"),
        ({"n_components": 0}, "n_components: found 0, expected None, or 1 or more"),
        ({"n_components": "x"}, "n_components: found 'x', expected None, or 1 or more"),
        ({"workers": 0}, "workers: found 0, expected 1 or more"),
        ({"groups": ["properties"], "temperature_k": -1}, "at least 0 K"),
    ],
)
def test_wrong_settings_are_errors(model, settings, message):
    with pytest.raises(ValueError, match=message):
        CloudFeaturizer(model, **settings).fit(SALTS)


def test_an_encoder_has_no_properties_and_other_weights_are_refused(tmp_path):
    with pytest.raises(cloud_jax.PredictionError, match="encoder without a head"):
        CloudFeaturizer(groups=["properties"]).fit(SALTS)
    one = CloudFeaturizer(write_model(tmp_path / "m"), groups=["cell"]).fit(SALTS)
    one.set_params(model=write_model(tmp_path / "n", members=3))
    with pytest.raises(ValueError, match="has other weights than when"):
        one.transform(SALTS)


def test_the_oldest_results_are_forgotten():
    kept = memory.Memory(3)
    kept.add({1: "a", 2: "b"})
    assert kept.get({1: 0, 2: 0, 3: 0}) == {1: "a", 2: "b"}
    kept.add({3: "c", 4: "d"})
    assert kept.get(dict.fromkeys(range(9))) == {2: "b", 3: "c", 4: "d"}
