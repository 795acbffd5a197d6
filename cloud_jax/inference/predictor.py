"""The model in memory: `cloud_jax.load(DIR).predict(structures)`."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from cloud_jax.inference.crystals import (
    Crystal,
    options_of,
    to_crystals,
    with_distances,
)
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.inference.properties import (
    PredictionRequest,
    PropertyValues,
    chunk_size,
    make_request,
    predict_properties,
)
from cloud_jax.inference.tables import rows, wide_rows
from cloud_jax.inference.temperatures import check_temperatures
from cloud_jax.models import network
from cloud_jax.models.folder import Model, check_fields, load_model
from cloud_jax.scope.pipeline import Options, Reject

if TYPE_CHECKING:
    import pandas as pd


def load(
    directory: str | os.PathLike | None = None, *, symmetry: str | None = None
) -> "Predictor":
    """Load a model folder or the work directory of a finished run.

    Args:
        directory: by default the model that comes with the package.
        symmetry: package that searches the symmetry of crystals, `spglib` or `moyopy`
            (several times as fast); by default that of the training crystals.

    Raises:
        ModelFolderError: not a model folder, damaged, incomplete, or written by a
            newer version.
    """
    if directory is None:
        directory = os.fspath(files("cloud_jax") / "weights" / "thermal")
    model = load_model(Path(directory))
    check_fields(model)
    return Predictor(model, symmetry)


class Predictor:
    """A trained model that predicts properties of crystals.

    Attributes:
        model: the folder's content; `model.description` is its model.json.
        symmetry: package that searches the symmetry; None for that of the training.
    """

    def __init__(self, model: Model, symmetry: str | None = None):
        self.model = model
        self.symmetry = symmetry

    def __repr__(self) -> str:
        description = self.model.description
        names = [target["name"] for target in description.get("targets", ())]
        return (
            f"<{description['kind']} model {', '.join(names)} {self.model.directory}>"
        )

    @property
    def options(self) -> Options:
        """Return the dialect, tolerances and limits that crystals are parsed with."""
        return options_of(self.model, self.symmetry)

    def predict(
        self,
        structures: Any,
        *,
        temperature_k: float | Iterable[float] | None = None,
        basis: str | None = None,
        ids: Sequence[str] | None = None,
        workers: int = 1,
        wide: bool = False,
    ) -> "pd.DataFrame":
        """Predict every property that the model has.

        Args:
            structures: one or many (list, array, generator, Series, DataFrame) of
                pymatgen `Structure`, ASE or JARVIS `Atoms`, `cloud_jax.scope.Cell`,
                dictionaries or text of structure files, and paths (files, folders,
                patterns, archives).
            temperature_k: one or many, at least 0, for a model with a physical law;
                by default those of the training labels.
            basis: `formula` (of the reduced formula), `atom`, `cell` (primitive) or
                `gram`; by default `formula` for a model with a physical law, and that
                of the training labels for others.
            ids: one per crystal; by default paths, labels of a Series, ids of a
                DataFrame, or indices in `structures`.
            workers: number of parsing processes. More than one saves time from
                hundreds of crystals, and a script needs `if __name__ == "__main__":`.
            wide: whether to return one row per crystal and temperature.

        Returns:
            One row per crystal, property and temperature, in the order given:
            id, formula, property, temperature_k, value, unit, basis, std (over the
            members of the ensemble), lower and upper (conformal interval), flags. With
            `wide`, id, formula, temperature_k, basis, four columns per property, such
            as heat_capacity_j_per_mol_k, heat_capacity_std_j_per_mol_k and the same
            with lower and upper, and flags. Numbers are not rounded. Rejected crystals
            are in `.attrs["rejects"]`, and a warning counts them.

        Raises:
            PredictionError: the model cannot give this temperature or basis, or its
                targets do not fit in a wide table.
            TypeError: nothing given is a structure.
            ValueError: a temperature that is not a number from 0 K, or not one id per
                crystal.
        """
        import pandas as pd

        temperatures = None
        if temperature_k is not None:
            temperatures = check_temperatures(temperature_k)
        request = make_request(self.model.description, temperatures, basis)
        crystals, rejects = self._read(structures, ids, workers)
        crystals, raw, not_finite = self.outputs(crystals)
        table = wide_rows if wide else rows
        chunks = [
            table(chunk, made)
            for chunk, made in self.properties(crystals, raw, request)
        ]
        columns = {
            name: np.concatenate([chunk[name] for chunk in chunks])
            for name in chunks[0]
        }
        return _with_rejects(pd.DataFrame(columns), rejects + not_finite)

    def embed(
        self,
        structures: Any,
        *,
        ids: Sequence[str] | None = None,
        workers: int = 1,
    ) -> "pd.DataFrame":
        """Return the [CLS] vectors, one row per crystal, indexed by id.

        Arguments are those of `predict`. An ensemble gives the vectors of its first
        member.
        """
        import pandas as pd

        crystals, rejects = self._read(structures, ids, workers)
        frame = pd.DataFrame(
            self.cls_states(crystals),
            index=pd.Index([crystal.id for crystal in crystals], name="id"),
        )
        return _with_rejects(frame, rejects)

    def _read(self, structures: Any, ids: Sequence[str] | None, workers: int):
        items = object_items(structures, ids)
        return to_crystals(parse(items, self.options, workers=workers), self.model)

    def outputs(
        self, crystals: Sequence[Crystal]
    ) -> tuple[list[Crystal], Float[np.ndarray, "N M O"], list[Reject]]:
        """Return the crystals with finite outputs, these outputs, and rejects.

        The crystals know their distance from the training rows, if the model does.
        """
        if not crystals:
            description = self.model.description
            shape = (0, description["members"], description["head"]["outputs"])
            return [], np.zeros(shape, np.float32), []
        raw, states = network.outputs_and_states(
            self.model, [c.tokens for c in crystals]
        )
        finite = np.isfinite(raw).all(axis=(1, 2))
        why = ("predict", "not_finite", "the network's output is not finite")
        rejects = [
            Reject(c.id, *why)
            for c, good in zip(crystals, finite, strict=True)
            if not good
        ]
        kept = [c for c, good in zip(crystals, finite, strict=True) if good]
        if kept and self.model.novelty:
            kept = with_distances(kept, self.model, states[finite])
        return kept, raw[finite], rejects

    def cls_states(self, crystals: Sequence[Crystal]) -> Float[np.ndarray, "N D"]:
        """Return the [CLS] vectors of N crystals."""
        if not crystals:
            return np.zeros((0, self.model.description["encoder"]["width"]), np.float32)
        return network.cls_states(self.model, [c.tokens for c in crystals])

    def properties(
        self,
        crystals: Sequence[Crystal],
        raw: Float[np.ndarray, "N M O"],
        request: PredictionRequest,
    ) -> Iterator[tuple[Sequence[Crystal], list[PropertyValues]]]:
        """Yield crystals with their properties, in chunks that bound the memory.

        There is one chunk at least, which is empty where there are no crystals.
        """
        description = self.model.description
        step = chunk_size(description, request)
        for start in range(0, max(len(crystals), 1), step):
            chunk = crystals[start : start + step]
            yield (
                chunk,
                predict_properties(
                    description, request, chunk, raw[start : start + step]
                ),
            )


def _with_rejects(frame: "pd.DataFrame", rejects: list[Reject]) -> "pd.DataFrame":
    frame.attrs["rejects"] = [vars(reject) for reject in rejects]
    if rejects:
        first = rejects[0]
        warnings.warn(
            f"{len(rejects)} structures were rejected, the first is {first.id}: "
            f'{first.code}: {first.message}; .attrs["rejects"] lists all',
            stacklevel=3,
        )
    return frame
