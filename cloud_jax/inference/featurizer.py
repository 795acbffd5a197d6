"""Crystals as columns of numbers, for scikit-learn and in matminer's manner."""

import hashlib
import os
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

try:
    from sklearn.base import BaseEstimator, TransformerMixin
except ImportError as error:
    raise ImportError(
        'CloudFeaturizer needs scikit-learn: pip install "cloud-jax[sklearn]"'
    ) from error

from cloud_jax.inference.crystals import Crystal, to_crystals
from cloud_jax.inference.descriptors import (
    CELL_NAMES,
    cell_descriptors,
    composition_descriptors,
    composition_names,
)
from cloud_jax.inference.inputs import parse, row_items
from cloud_jax.inference.memory import Memory
from cloud_jax.inference.predictor import Predictor, loaded
from cloud_jax.inference.properties import make_request, predict_properties
from cloud_jax.inference.temperatures import check_temperatures
from cloud_jax.models import network
from cloud_jax.scope.pipeline import Record, Reject
from cloud_jax.structures.source import RawItem

if TYPE_CHECKING:
    import pandas as pd

    from cloud_jax.inference.objects import StructureLike, Structures

GROUPS = ("cls", "composition", "cell", "properties")
_CITATIONS = (
    "@article{xu2025cloud, title={CLOUD: A Scalable and Physics-Informed Foundation "
    "Model for Crystal Representation Learning}, author={Xu, Changwen and Zhu, Shang "
    "and Viswanathan, Venkatasubramanian}, journal={arXiv:2506.17345}, year={2025}}",
)


class _Read(NamedTuple):
    """A crystal that was read, with what its sentence does not hold."""

    crystal: Crystal
    volume_per_atom: float  # angstrom^3


class _State(NamedTuple):
    """What the network gives for one sentence."""

    cls: Float[np.ndarray, " D"]
    outputs: Float[np.ndarray, "M O"] | None  # of a model with a head


# Of the process, not of an estimator: `clone` makes a new one for every fold.
_READ: Memory[_Read | Reject] = Memory(100_000)
_STATES: Memory[_State] = Memory(50_000)


class CloudFeaturizer(TransformerMixin, BaseEstimator):
    """Turn crystals into features: a transformer of scikit-learn.

        make_pipeline(CloudFeaturizer(), StandardScaler(), SVR()).fit(structures, y)

    It learns nothing from the rows that it is fitted on. Crystals are read once per
    process, sentences go through the network once, so that cross-validation costs no
    more than one pass.

    The encoder in the package has learned properties of public crystals
    (`provenance.learned` of its model.json; cloud_jax/weights/MODEL_CARD.md): for the
    same property of the same crystals, errors in cross-validation are too small.

    Args:
        model: as of `cloud_jax.load`; `encoder` by default.
        groups: of features, in this order: `cls` (the [CLS] vector; of an ensemble,
            its first member's), `composition` (mean, deviation, least and largest of
            12 descriptors of the elements, and the number of elements), `cell` (volume
            per atom and atoms in the primitive cell, logarithms), `properties` (those
            that the model predicts, per atom where it has a law).
        temperature_k: of the properties of a model with a law, one or several.
        on_error: `raise` a ValueError that names the crystals that cannot be read, or
            give them rows of `nan` and warn.
        workers: processes that read crystals; more than one saves time from hundreds.

    Attributes:
        model_sha256_: of the weights, after `fit`; another model is refused.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = "encoder",
        *,
        groups: Sequence[str] = ("cls", "composition", "cell"),
        temperature_k: float | Sequence[float] = 300.0,
        on_error: str = "raise",
        workers: int = 1,
    ):
        self.model = model
        self.groups = groups
        self.temperature_k = temperature_k
        self.on_error = on_error
        self.workers = workers

    def fit(self, X: "Structures", y: object = None) -> "CloudFeaturizer":
        """Check the settings and load the model; the rows are not read.

        Raises:
            ModelFolderError: see `cloud_jax.load`.
            PredictionError: the model has no properties, or not at this temperature.
            ValueError: a setting is none of those listed.
        """
        self._check_settings()
        self.model_sha256_ = _sha256(loaded(self.model))
        self.get_feature_names_out()
        return self

    def transform(self, X: "Structures") -> Float[np.ndarray, "N F"]:
        """Return one row of features per crystal, in the order given.

        Args:
            X: N structures, in what `Predictor.predict` takes: a list, a Series, a
                DataFrame with a column of structures, or an array of objects [N] or
                [N, 1]. Each must be one crystal.

        Raises:
            ValueError: `on_error` is `raise`, and a crystal cannot be read.
        """
        self._check_settings()
        predictor = loaded(self.model)
        if getattr(self, "model_sha256_", _sha256(predictor)) != _sha256(predictor):
            raise ValueError(
                f"model {self.model!r} has other weights than when this featurizer was "
                "fitted: fit it again"
            )
        read = _read_rows(row_items(_one_column(X)), predictor, self.workers)
        self._report([one for one in read if isinstance(one, Reject)], len(read))
        found = [one for one in read if isinstance(one, _Read)]
        features = np.full((len(read), len(self.get_feature_names_out())), np.nan)
        if found:
            kept = [isinstance(one, _Read) for one in read]
            features[kept] = np.concatenate(self._blocks(found, predictor), axis=1)
        return features

    def get_feature_names_out(self, input_features: object = None) -> np.ndarray:
        """Return the names of the features, such as cls_0 and mean_electronegativity.

        Args:
            input_features: ignored; scikit-learn passes it.
        """
        self._check_settings()
        predictor = loaded(self.model)
        names: list[str] = []
        for group in self.groups:
            if group == "cls":
                width = predictor.model.description["encoder"]["width"]
                names += [f"cls_{i}" for i in range(width)]
            elif group == "composition":
                names += composition_names()
            elif group == "cell":
                names += CELL_NAMES
            else:
                names += [name for name, _ in self._properties([], predictor)]
        return np.array(names, dtype=object)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags

    # ---- as matminer's featurizers: BaseFeaturizer without matminer ----

    def featurize(self, structure: "StructureLike") -> list[float]:
        """Return the features of one crystal."""
        return self.transform([structure])[0].tolist()

    def featurize_many(self, entries: "Structures") -> list[list[float]]:
        """Return the features of several crystals."""
        return self.transform(entries).tolist()

    def featurize_dataframe(
        self,
        df: "pd.DataFrame",
        col_id: str,
        ignore_errors: bool = False,
        inplace: bool = False,
    ) -> "pd.DataFrame":
        """Return the table with a column per feature added.

        Args:
            df: table.
            col_id: column of structures.
            ignore_errors: whether crystals that cannot be read get NaN.
            inplace: whether to add the columns to `df` itself.
        """
        import pandas as pd

        asked = self.on_error
        try:
            self.on_error = "nan" if ignore_errors else asked
            features = self.transform(df[col_id])
        finally:
            self.on_error = asked
        columns = pd.DataFrame(features, index=df.index, columns=self.feature_labels())
        if not inplace:
            return pd.concat([df, columns], axis=1)
        df[self.feature_labels()] = columns
        return df

    def feature_labels(self) -> list[str]:
        """Return the names of the features."""
        return self.get_feature_names_out().tolist()

    def citations(self) -> list[str]:
        """Return what to cite, in BibTeX."""
        return list(_CITATIONS)

    def implementors(self) -> list[str]:
        """Return who wrote this."""
        return ["The cloud_jax authors"]

    # ---- inside ----

    def _check_settings(self) -> None:
        groups = [self.groups] if isinstance(self.groups, str) else list(self.groups)
        if unknown := [group for group in groups if group not in GROUPS]:
            raise ValueError(
                f"groups: found {unknown}, expected some of {', '.join(GROUPS)}"
            )
        if isinstance(self.groups, str) or not groups or len({*groups}) < len(groups):
            raise ValueError(
                f"groups: found {self.groups!r}, expected a list of different names"
            )
        if self.on_error not in ("raise", "nan"):
            raise ValueError(
                f"on_error: found {self.on_error!r}, expected 'raise' or 'nan'"
            )

    def _report(self, rejects: Sequence[Reject], n: int) -> None:
        if not rejects:
            return
        first = rejects[0]
        text = (
            f"{len(rejects)} of {n} crystals cannot be read, the first is row "
            f"{first.id}: {first.code}: {first.message}"
        )
        if self.on_error == "raise":
            raise ValueError(f"{text}. Leave them out, or give on_error='nan'")
        warnings.warn(f"{text}; their features are NaN", stacklevel=3)

    def _blocks(
        self, read: Sequence[_Read], predictor: Predictor
    ) -> list[Float[np.ndarray, "N _"]]:
        """Return the features of each group."""
        crystals = [one.crystal for one in read]
        blocks = []
        for group in self.groups:
            if group == "cls":
                states = _states(crystals, predictor)
                blocks.append(np.stack([state.cls for state in states]))
            elif group == "composition":
                made = [composition_descriptors(one.formula) for one in crystals]
                blocks.append(np.stack(made))
            elif group == "cell":
                made = [
                    cell_descriptors(one.volume_per_atom, one.crystal.n_atoms)
                    for one in read
                ]
                blocks.append(np.stack(made))
            else:
                columns = [
                    values for _, values in self._properties(crystals, predictor)
                ]
                blocks.append(np.stack(columns, axis=1))
        return blocks

    def _properties(
        self, crystals: Sequence[Crystal], predictor: Predictor
    ) -> list[tuple[str, Float[np.ndarray, " N"]]]:
        """Return names and values of the predicted properties."""
        description = predictor.model.description
        has_law = description.get("head", {}).get("kind") == "physics"
        kelvin = check_temperatures(self.temperature_k)
        request = make_request(
            description, kelvin if has_law else None, "atom" if has_law else None
        )
        head = description["head"]
        raw = np.zeros((0, description["members"], head["outputs"]), np.float32)
        if crystals:
            raw = np.stack([one.outputs for one in _states(crystals, predictor)])
        columns = []
        for one in predict_properties(description, request, crystals, raw):
            for i, at in enumerate(one.temperature_k):
                name = one.property if np.isnan(at) else f"{one.property}_{at:g}k"
                columns.append((name, one.value[:, i]))
        return columns


def _sha256(predictor: Predictor) -> str:
    return predictor.model.description["weights_sha256"]


def _one_column(X: Any) -> Any:
    """Return the only column of an array [N, 1], which selections of columns make."""
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1:
        return X[:, 0]
    return X


def _read_rows(
    items: Sequence[RawItem], predictor: Predictor, workers: int
) -> list[_Read | Reject]:
    """Read each item, or remember it."""
    options = repr(predictor.options)
    keys = [_key(item, _sha256(predictor) + options) for item in items]
    by_key = dict(zip(keys, items, strict=True))
    known = _READ.get(by_key)
    missing = [key for key in by_key if key not in known]
    results = parse(
        [by_key[key] for key in missing], predictor.options, workers=workers
    )
    fresh = {
        key: _with_volume(result, predictor)
        for key, result in zip(missing, results, strict=True)
    }
    _READ.add(fresh)
    known |= fresh
    return [
        replace(known[key], id=item.id)
        if isinstance(known[key], Reject)
        else known[key]
        for key, item in zip(keys, items, strict=True)
    ]


def _with_volume(result: Record | Reject, predictor: Predictor) -> _Read | Reject:
    crystals, rejects = to_crystals([result], predictor.model)
    if rejects:
        return rejects[0]
    return _Read(crystals[0], result.volume_per_atom)


def _key(item: RawItem, salt: str) -> bytes:
    """Return a hash of what a crystal is read from, and how."""
    content = pickle.dumps((salt, item.kind, item.payload), protocol=5)
    return hashlib.blake2b(content, digest_size=16).digest()


def _states(crystals: Sequence[Crystal], predictor: Predictor) -> list[_State]:
    """Return what the network gives for each crystal, or gave."""
    sha256 = _sha256(predictor)
    keys = [(sha256, crystal.sentence) for crystal in crystals]
    tokens = {key: crystal.tokens for key, crystal in zip(keys, crystals, strict=True)}
    known = _STATES.get(tokens)
    if missing := [key for key in tokens if key not in known]:
        sentences = [tokens[key] for key in missing]
        if predictor.model.description["kind"] == "property":
            outputs, cls = network.outputs_and_states(predictor.model, sentences)
        else:
            cls = network.cls_states(predictor.model, sentences)
            outputs = [None] * len(cls)
        fresh = dict(zip(missing, map(_State, cls, outputs), strict=True))
        _STATES.add(fresh)
        known |= fresh
    return [known[key] for key in keys]
