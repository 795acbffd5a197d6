"""The model in memory: `cloud_jax.load(DIR).predict(structures)`."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

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
from cloud_jax.models.card import model_card
from cloud_jax.models.folder import (
    DESCRIPTION,
    VOCABULARY,
    WEIGHTS,
    Model,
    check_fields,
    load_model,
)
from cloud_jax.models.hub import locate, upload
from cloud_jax.scope.pipeline import Options, Reject

if TYPE_CHECKING:
    import pandas as pd

    from cloud_jax.inference.objects import StructureLike, Structures

# Of a table of one crystal at one temperature.
_PROPERTY_COLUMNS = ("value", "unit", "basis", "spread", "lower", "upper")


def load(
    model: str | os.PathLike[str] | None = None,
    *,
    symmetry: str | None = None,
    revision: str | None = None,
) -> "Predictor":
    """Load a model, by name or from where it is. `from_pretrained` is the same.

    Args:
        model: `thermal` (the default) or `encoder`, which come with the package; a
            model folder, or the work directory of a finished run; or OWNER/NAME of the
            Hugging Face Hub (extra `hf`).
        symmetry: package that searches the symmetry of crystals, `spglib` or `moyopy`
            (several times as fast); by default that of the training crystals.
        revision: branch, tag or commit of a model of the Hub.

    Raises:
        ModelFolderError: not a model, damaged, incomplete, written by a newer version,
            or on the Hub and out of reach.
    """
    found = load_model(locate("thermal" if model is None else model, revision))
    check_fields(found)
    return Predictor(found, symmetry)


from_pretrained = load


def predict_structure(
    structure: "StructureLike",
    temperature_k: float | None = 300.0,
    *,
    model: str | os.PathLike[str] | None = None,
    basis: str | None = None,
) -> "pd.DataFrame":
    """Predict every property of one crystal at one temperature.

        cloud_jax.predict_structure("quartz.cif").loc["entropy", "value"]

    For many crystals, or many temperatures, use `load(model).predict(structures)`.

    Args:
        structure: a pymatgen `Structure`, an ASE or JARVIS `Atoms`, a `Cell`, a path,
            or the text or dictionary of a structure file.
        temperature_k: at least 0; None for a model without a physical law.
        model: as of `load`, and kept in memory for the next call.
        basis: as of `Predictor.predict`.

    Returns:
        One row per property, indexed by its name: value, unit, basis, spread, lower,
        upper. id, formula and notes are in `.attrs`.

    Raises:
        ModelFolderError: see `load`.
        PredictionError: the model cannot give this temperature or basis.
        TypeError: not a structure.
        ValueError: the crystal was rejected, for the reason given; or the path holds
            several.
    """
    frame, rejects = loaded(model)._table(
        structure, temperature_k=temperature_k, basis=basis
    )
    n_found = frame["id"].nunique() + len(rejects)
    if n_found != 1:
        raise ValueError(
            f"found {n_found} crystals, expected one: for several there is "
            "cloud_jax.load().predict(structures)"
        )
    if rejects:
        raise ValueError(_text(rejects[0]))
    first = frame.iloc[0]
    made = frame.set_index("property")[list(_PROPERTY_COLUMNS)]
    made.attrs = {name: first[name] for name in ("id", "formula", "notes")}
    return made


@lru_cache(maxsize=4)
def loaded(model: str | os.PathLike[str] | None) -> "Predictor":
    """Return a model that is loaded once per process."""
    return load(model)


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
        structures: "Structures",
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
            id, formula, property, temperature_k, value, unit, basis, spread (standard
            deviation over the members of the ensemble), lower and upper (conformal
            interval), notes. Every column is also an attribute: `frame.value`. With
            `wide`, id, formula, temperature_k, basis, four columns per property, such
            as heat_capacity_j_per_mol_k, heat_capacity_spread_j_per_mol_k and the same
            with lower and upper, and notes. Numbers are not rounded. Rejected crystals
            are in `.attrs["rejects"]`, and a warning counts them.

        Raises:
            PredictionError: the model cannot give this temperature or basis, or its
                targets do not fit in a wide table.
            TypeError: nothing given is a structure.
            ValueError: a temperature that is not a number from 0 K, or not one id per
                crystal.
        """
        return _with_rejects(
            *self._table(
                structures,
                temperature_k=temperature_k,
                basis=basis,
                ids=ids,
                workers=workers,
                wide=wide,
            )
        )

    def _table(
        self,
        structures: "Structures",
        *,
        temperature_k: float | Iterable[float] | None = None,
        basis: str | None = None,
        ids: Sequence[str] | None = None,
        workers: int = 1,
        wide: bool = False,
    ) -> tuple["pd.DataFrame", list[Reject]]:
        """Return what `predict` returns, and the rejects beside it, without a warning.

        Arguments and errors are those of `predict`.
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
        return pd.DataFrame(columns), rejects + not_finite

    def save_pretrained(
        self, folder: str | os.PathLike[str], *, licence: str, name: str | None = None
    ) -> Path:
        """Write the model folder with a card (README.md), as the Hub shows it.

        Args:
            folder: to write; `load` reads it. It must not exist, or be empty.
            licence: of the weights, an identifier of the Hub, such as mit or cc-by-4.0.
            name: what the card calls the model; by default the folder.

        Raises:
            FileExistsError: there is something in the folder.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty: give a new folder")
        for file in (DESCRIPTION, VOCABULARY, WEIGHTS):
            shutil.copyfile(self.model.directory / file, folder / file)
        card = model_card(self.model.description, name or str(folder), licence)
        (folder / "README.md").write_text(card, encoding="utf-8")
        return folder

    def push_to_hub(
        self,
        repo_id: str,
        *,
        licence: str,
        private: bool | None = None,
        revision: str | None = None,
        token: str | None = None,
    ) -> str:
        """Upload the model and its card to the Hugging Face Hub; return the address.

        `cloud_jax.load(repo_id)` reads it. Needs the extra `hf`, and an account.

        Args:
            repo_id: OWNER/NAME; a repository that does not exist is created.
            licence: of the weights, an identifier of the Hub, such as mit or cc-by-4.0.
            private: whether a new repository is private; by default as the account
                says.
            revision: branch; by default the main one.
            token: of the account; by default the one of `hf auth login` or HF_TOKEN.

        Raises:
            ModelFolderError: huggingface_hub is not installed, the Hub is out of reach,
                or it refused the model; says why.
        """
        with tempfile.TemporaryDirectory(prefix="cloud_jax-") as place:
            folder = self.save_pretrained(
                Path(place) / "model", licence=licence, name=repo_id
            )
            return upload(
                folder, repo_id, private=private, revision=revision, token=token
            )

    def embed(
        self,
        structures: "Structures",
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

    def _read(
        self, structures: "Structures", ids: Sequence[str] | None, workers: int
    ) -> tuple[list[Crystal], list[Reject]]:
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
        warnings.warn(
            f"{len(rejects)} structures were rejected, the first is "
            f'{_text(rejects[0])}; .attrs["rejects"] lists all',
            stacklevel=3,
        )
    return frame


def _text(reject: Reject) -> str:
    return f"{reject.id}: {reject.code}: {reject.message}"
