"""Crystals as columns of numbers, for scikit-learn and in matminer's manner."""

import os
import warnings
from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.decomposition import PCA
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError(
        'CloudFeaturizer needs scikit-learn: pip install "cloud-jax[sklearn]"'
    ) from error

from cloud_jax.inference.crystals import Crystal
from cloud_jax.inference.descriptors import (
    CELL_NAMES,
    cell_descriptors,
    composition_descriptors,
    composition_names,
)
from cloud_jax.inference.inputs import row_items
from cloud_jax.inference.memory import (
    ReadCrystal,
    read_rows,
    states,
    weights_sha256,
)
from cloud_jax.inference.predictor import Predictor, loaded
from cloud_jax.inference.properties import make_request, predict_properties
from cloud_jax.inference.temperatures import check_temperatures
from cloud_jax.scope.pipeline import Reject

if TYPE_CHECKING:
    import pandas as pd

    from cloud_jax.inference.objects import StructureLike, Structures

GROUPS = ("cls", "composition", "cell", "properties")
_CITATIONS = (
    "@article{xu2025cloud, title={CLOUD: A Scalable and Physics-Informed Foundation "
    "Model for Crystal Representation Learning}, author={Xu, Changwen and Zhu, Shang "
    "and Viswanathan, Venkatasubramanian}, journal={arXiv:2506.17345}, year={2025}}",
)


class CloudFeaturizer(TransformerMixin, BaseEstimator):
    """Turn crystals into features: a transformer of scikit-learn.

        make_pipeline(CloudFeaturizer(), StandardScaler(), SVR()).fit(structures, y)

    Labels are never looked at. Crystals are read once per process, sentences go through
    the network once, so that cross-validation costs no more than one pass.

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
        n_components: replace the [CLS] vector by so many principal components of the
            rows given to `fit`, of unit variance (no more than there are rows). Few,
            such as 8, suit trees and kernels, which the full vector drowns.
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
        n_components: int | None = None,
        temperature_k: float | Sequence[float] = 300.0,
        on_error: str = "raise",
        workers: int = 1,
    ):
        self.model = model
        self.groups = groups
        self.n_components = n_components
        self.temperature_k = temperature_k
        self.on_error = on_error
        self.workers = workers

    def fit(self, X: "Structures", y: object = None) -> "CloudFeaturizer":
        """Check the settings and load the model.

        The rows are read only where `n_components` is given.

        Raises:
            ModelFolderError: see `cloud_jax.load`.
            PredictionError: the model has no properties, or not at this temperature.
            ValueError: a setting is none of those listed; with `n_components`, also as
                in `transform`.
        """
        self._check_settings()
        predictor = loaded(self.model)
        self.model_sha256_ = weights_sha256(predictor)
        if self.n_components:
            crystals = [one.crystal for one in self._read(X, predictor) if one]
            if not crystals:
                raise ValueError("n_components: found no crystal to fit them to")
            vectors = _cls(crystals, predictor)
            n = min(self.n_components, *vectors.shape)
            self.pca_ = PCA(n, whiten=True, svd_solver="full").fit(vectors)
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
        if getattr(self, "model_sha256_", weights_sha256(predictor)) != weights_sha256(
            predictor
        ):
            raise ValueError(
                f"model {self.model!r} has other weights than when this featurizer was "
                "fitted: fit it again"
            )
        read = self._read(X, predictor)
        features = np.full((len(read), len(self.get_feature_names_out())), np.nan)
        if found := [one for one in read if one]:
            kept = [one is not None for one in read]
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
            if group == "cls" and self.n_components:
                check_is_fitted(self, "pca_")
                names += [f"cls_axis_{i}" for i in range(self.pca_.n_components_)]
            elif group == "cls":
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
        tags.requires_fit = self.n_components is not None
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
        n = self.n_components
        if n is not None and not _is_count(n):
            raise ValueError(f"n_components: found {n!r}, expected None, or 1 or more")
        if not _is_count(self.workers):
            raise ValueError(f"workers: found {self.workers!r}, expected 1 or more")
        if self.on_error not in ("raise", "nan"):
            raise ValueError(
                f"on_error: found {self.on_error!r}, expected 'raise' or 'nan'"
            )

    def _read(self, X: "Structures", predictor: Predictor) -> list[ReadCrystal | None]:
        """Return the crystal of each row, None where `on_error` lets it be NaN."""
        items = row_items(_one_column(X))
        read = read_rows(items, predictor, self.workers)
        if rejects := [one for one in read if isinstance(one, Reject)]:
            self._report(rejects, len(read))
        return [None if isinstance(one, Reject) else one for one in read]

    def _report(self, rejects: Sequence[Reject], n: int) -> None:
        first = rejects[0]
        text = (
            f"{len(rejects)} of {n} crystals cannot be read, the first is row "
            f"{first.id}: {first.code}: {first.message}"
        )
        if self.on_error == "raise":
            raise ValueError(f"{text}. Leave them out, or give on_error='nan'")
        warnings.warn(f"{text}; their features are NaN", stacklevel=4)

    def _blocks(
        self, read: Sequence[ReadCrystal], predictor: Predictor
    ) -> list[Float[np.ndarray, "N _"]]:
        """Return the features of each group."""
        crystals = [one.crystal for one in read]
        blocks = []
        for group in self.groups:
            if group == "cls":
                vectors = _cls(crystals, predictor)
                blocks.append(
                    self.pca_.transform(vectors) if self.n_components else vectors
                )
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
            raw = np.stack([one.outputs for one in states(crystals, predictor)])
        columns = []
        for one in predict_properties(description, request, crystals, raw):
            for i, at in enumerate(one.temperature_k):
                name = one.property if np.isnan(at) else f"{one.property}_{at:g}k"
                columns.append((name, one.value[:, i]))
        return columns


def _cls(crystals: Sequence[Crystal], predictor: Predictor) -> Float[np.ndarray, "N D"]:
    """Return the [CLS] vectors, in double precision."""
    return np.stack([one.cls for one in states(crystals, predictor)]).astype(float)


def _is_count(value: Any) -> bool:
    """Return whether a value is a whole number from 1; True is none."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    return real and value >= 1 and value == value // 1


def _one_column(X: Any) -> Any:
    """Return the only column of an array [N, 1], which selections of columns make."""
    if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] == 1:
        return X[:, 0]
    return X
