"""What the page says of crystals, as plain data.

`Analyst.answer` reads what was uploaded and asks the model; `page/view.js` draws what
it returns. Numbers have five significant digits, None stands for NaN.
"""

import logging
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from cloud_jax.evaluation.measured import find_measured
from cloud_jax.inference.crystals import Crystal, to_crystals
from cloud_jax.inference.explanations import DOUBT, explain_flag, explain_novelty
from cloud_jax.inference.predictor import Predictor
from cloud_jax.inference.properties import (
    PropertyValues,
    atoms_in_basis,
    make_request,
)
from cloud_jax.inference.tables import rounded
from cloud_jax.models.cls_attention import attention_by_head
from cloud_jax.physics.constants import GAS_CONSTANT
from cloud_jax.scope.pipeline import Reject
from cloud_jax.scope.words import describe_group, element_name, explain_token
from cloud_jax.web.known import KnownCrystals
from cloud_jax.web.reader import MAX_CRYSTALS, Reader, Reading, Upload

# Fine where curves bend, coarse where they do not.
TEMPERATURES_K = (*range(0, 300, 10), *range(300, 1001, 20))
TITLES = {
    "heat_capacity": "heat capacity Cᵥ",
    "entropy": "entropy S",
    "enthalpy": "enthalpy H(T) - H(0)",
    "gibbs_energy": "Gibbs energy G(T) - H(0)",
    "internal_energy": "internal energy U",
    "helmholtz": "Helmholtz energy F",
    "debye_temperature": "Debye temperature",
    "zero_point_energy": "zero-point energy",
}
BASES_IN_WORDS = {
    "cell": "Values are per mol of primitive cells.",
    "atom": "Values are per mol of atoms.",
    "formula": "Values are per mol of formula units.",
    "gram": "Values are per gram.",
}
_LONGEST = 400  # letters of a reason
_ORBIT = re.compile(r"([A-Z][a-z]?) (\d+)([a-zA-Z])")
_OUR_FAULT = "could not be answered because of an error on this side; it was noted"
_log = logging.getLogger(__name__)


class Analyst:
    """A model, and what it is compared with."""

    def __init__(self, predictor: Predictor):
        """Take a model that predicts properties.

        Raises:
            PredictionError: an encoder without a head.
        """
        self._predictor = predictor
        description = predictor.model.description
        # Whether the model has a law of temperature, and so curves.
        asked = make_request(description, None, None)
        self.has_curves = asked.temperature_k is not None
        kelvin = [float(t) for t in TEMPERATURES_K] if self.has_curves else None
        self._request = make_request(description, kelvin, None)
        self._known = KnownCrystals(predictor.model)

    def answer(self, uploads: Sequence[Upload], reader: Reader) -> dict[str, Any]:
        """Return what the page shows of uploads; it never fails.

        Args:
            uploads: files and pasted text.
            reader: reads them.

        Returns:
            `crystals`: see `describe`. `problems`: id and message of what was not read.
            `members`, `level`, `basis_words`: of the model.
        """
        readings, problems = _read_all(uploads, reader)
        crystals = []
        if readings:
            try:
                crystals, rejects = self.describe(readings)
                problems += [_problem(reject) for reject in rejects]
            except Exception:  # a person gets an answer, the operator the traceback
                _log.exception("crystals could not be described")
                names = [_id(reading.result.id) for reading in readings]
                problems += [{"id": name, "message": _OUR_FAULT} for name in names]
        description = self._predictor.model.description
        targets = (description.get("calibration") or {}).get("targets") or {}
        levels = {target["level"] for target in targets.values()}
        return {
            "crystals": crystals,
            "problems": problems,
            "members": description["members"],
            "level": min(levels) if levels else None,
            "basis_words": BASES_IN_WORDS.get(self._request.basis, ""),
        }

    def describe(
        self, readings: Sequence[Reading]
    ) -> tuple[list[dict[str, Any]], list[Reject]]:
        """Return everything about crystals, and those that the model cannot take.

        Args:
            readings: of crystals, with records.

        Returns:
            Of each crystal id, formula, n_atoms, sentence, `space_group`, `tokens`,
            `orbits`, `flags`, `novelty`, `curves`, `scalars`, `neighbours`, `cell`.
        """
        model = self._predictor.model
        cells = {reading.result.id: reading.cell for reading in readings}
        crystals, rejects = to_crystals([r.result for r in readings], model)
        crystals, raw, not_finite = self._predictor.outputs(crystals)
        if not crystals:
            return [], rejects + not_finite
        attention = attention_by_head(model, [c.tokens for c in crystals])
        neighbours = self._known.nearest(
            self._predictor.cls_states(crystals), [c.sentence for c in crystals]
        )
        novelty = explain_novelty(model.description, crystals)
        made = []
        chunks = self._predictor.properties(crystals, raw, self._request)
        values = [
            (properties, i) for chunk, properties in chunks for i in range(len(chunk))
        ]
        for crystal, weights, near, (level, words), (properties, i) in zip(
            crystals, attention, neighbours, novelty, values, strict=True
        ):
            curves, scalars = _properties(crystal, properties, i)
            made.append(
                {
                    "id": _id(crystal.id),
                    "formula": crystal.formula_text,
                    "n_atoms": crystal.n_atoms,
                    "sentence": crystal.sentence,
                    "space_group": describe_group(crystal.space_group),
                    "tokens": _tokens(model, crystal, weights.mean(axis=1)),
                    "orbits": _orbits(crystal),
                    "flags": _flags(crystal),
                    "novelty": {"level": level, "words": words},
                    "curves": curves,
                    "scalars": scalars,
                    "neighbours": near,
                    "cell": cells[crystal.id],
                }
            )
        return made, rejects + not_finite


def _read_all(
    uploads: Sequence[Upload], reader: Reader
) -> tuple[list[Reading], list[dict[str, str]]]:
    """Return the crystals of uploads with different ids, and what was not read."""
    readings: dict[str, Reading] = {}
    problems = []
    for upload in uploads:
        try:
            for reading in reader.read(upload):
                if isinstance(reading.result, Reject):
                    problems.append(_problem(reading.result))
                elif len(readings) < MAX_CRYSTALS:
                    reading = _with_own_id(reading, readings)
                    readings[reading.result.id] = reading
                else:
                    why = f"is one too many: {MAX_CRYSTALS} crystals are read at once"
                    problems.append({"id": _id(reading.result.id), "message": why})
        except Exception:
            _log.exception("an upload could not be read")
            reader.close()  # what it still sends belongs to this upload
            problems.append({"id": upload.name, "message": _OUR_FAULT})
    return list(readings.values()), problems


def _with_own_id(reading: Reading, others: dict[str, Reading]) -> Reading:
    """Return a reading whose id is not yet that of another, by a number behind it."""
    first, n = reading.result.id, 2
    while reading.result.id in others:
        reading = reading._replace(result=replace(reading.result, id=f"{first} ({n})"))
        n += 1
    return reading


def _id(identifier: str) -> str:
    """Return an id without the slash that follows the empty name of the source."""
    return identifier.removeprefix("/")


def _problem(reject: Reject) -> dict[str, str]:
    """Return a reject for people: nothing about this machine or its paths."""
    message = {
        "unexpected": "is damaged in a way that no reader expects",
        "out_of_memory": "needs more memory than one crystal may take here",
    }.get(reject.code, reject.message)
    if len(message) > _LONGEST:
        message = message[:_LONGEST] + " ..."
    return {"id": _id(reject.id), "message": message}


def _tokens(
    model, crystal: Crystal, attention: Float[np.ndarray, "N L"]
) -> list[dict[str, Any]]:
    """Return each token: its text, role, meaning, and attention by layer."""
    found = []
    for i, number in enumerate(crystal.tokens):
        token = model.vocabulary.tokens[number]
        role, colon, word = token.partition(":")
        found.append(
            {
                "text": word if colon else token,
                "role": role if colon else "special",
                "words": explain_token(token),
                "attention": [round(float(share), 5) for share in attention[:, i]],
            }
        )
    return found


def _orbits(crystal: Crystal) -> list[dict[str, Any]]:
    """Return the orbits that a sentence of the canonical dialect names."""
    parts = crystal.sentence.split(" | ")
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for element, multiplicity, letter in _ORBIT.findall(parts[1]):
        key = element, multiplicity + letter
        times = found[key]["times"] + 1 if key in found else 1
        atoms = "1 atom" if multiplicity == "1" else f"{multiplicity} equivalent atoms"
        words = f"{atoms} of {element_name(element)}"
        found[key] = {
            "element": element,
            "symbol": multiplicity + letter,
            "multiplicity": int(multiplicity),
            "times": times,
            "words": words if times == 1 else f"{words}, {times} such orbits",
        }
    return list(found.values())


def _flags(crystal: Crystal) -> list[dict[str, str]]:
    found = []
    for flag in crystal.flags:
        level, words = explain_flag(flag)
        found.append({"name": flag, "level": level, "words": words})
    return sorted(found, key=lambda one: one["level"] != DOUBT)


def _properties(
    crystal: Crystal, properties: Sequence[PropertyValues], i: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the properties of crystal i with many temperatures, and the others."""
    curves, scalars = [], []
    for one in map(rounded, properties):
        made = {
            "property": one.property,
            "title": TITLES.get(one.property, one.property.replace("_", " ")),
            "unit": one.unit,
            "basis": one.basis,
            "temperature_k": _plain(one.temperature_k),
            **{
                name: _plain(getattr(one, name)[i])
                for name in ("value", "spread", "lower", "upper")
            },
        }
        is_curve = len(one.temperature_k) > 1
        if is_curve and one.property == "heat_capacity":
            made |= _beside_capacity(crystal, one.basis)
        (curves if is_curve else scalars).append(made)
    return curves, scalars


def _beside_capacity(crystal: Crystal, basis: str) -> dict[str, Any]:
    """Return the limit of Dulong and Petit, and measured points."""
    (atoms,) = atoms_in_basis(basis, [crystal])
    found: dict[str, Any] = {"limit": round(float(3 * GAS_CONSTANT * atoms), 3)}
    measured = find_measured(crystal.formula, crystal.space_group)
    if measured is None:
        return found
    shown = measured.temperature_k <= TEMPERATURES_K[-1]
    points = measured.cp * atoms / crystal.formula_atoms
    found["measured"] = {
        "temperature_k": measured.temperature_k[shown].tolist(),
        "value": points[shown].round(3).tolist(),
        "source": measured.source,
    }
    return found


def _plain(values: Float[np.ndarray, " n"]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in values.tolist()]


def example_files() -> list[Path]:
    """Return the structure files that come with the package, by name."""
    return sorted((Path(__file__).parent / "examples").glob("*.cif"))
