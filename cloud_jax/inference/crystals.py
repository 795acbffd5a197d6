"""Records as inputs of the model, each with flags for what training did not cover."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from cloud_jax.models.folder import DESCRIPTION, Model, ModelFolderError
from cloud_jax.models.novelty import Widening
from cloud_jax.scope import Rejection, tables
from cloud_jax.scope.pipeline import Options, Record, Reject
from cloud_jax.scope.search import finder
from cloud_jax.scope.symmetry import electronegativity
from cloud_jax.structures.element_classes import is_metal

# Generator letters follow from the space group, which has a flag of its own.
_ROLES = ("element", "wyckoff", "count", "fraction")
_FEW_ELEMENTAL = 20  # calibration rows: with fewer, a tenth of them is one or none
NOT_CALIBRATED = "not_calibrated"


class Crystal(NamedTuple):
    """One crystal to predict.

    Attributes:
        id: as given.
        tokens: ids in the model's vocabulary.
        formula: reduced, (element, count) pairs by rising electronegativity.
        n_atoms: in the primitive cell.
        flags: notes from reading, then those of `unseen`, `uncalibrated` and
            `with_distances`.
        sentence: in the model's dialect.
        space_group: number.
        distance: from the training rows, see `models.novelty`; NaN if not known.
    """

    id: str
    tokens: list[int]
    formula: tuple[tuple[str, int], ...]
    n_atoms: int
    flags: tuple[str, ...]
    sentence: str
    space_group: int
    distance: float = math.nan

    @property
    def formula_text(self) -> str:
        """Return the reduced formula as people write it, such as SiO2."""
        return "".join(f"{e}{count if count > 1 else ''}" for e, count in self.formula)

    @property
    def formula_atoms(self) -> int:
        """Return the number of atoms in the reduced formula."""
        return sum(count for _, count in self.formula)

    @property
    def molar_mass_g(self) -> float:
        """Return the mass of one mol of reduced formulas, g/mol."""
        return sum(tables.element(e).mass * count for e, count in self.formula)


def options_of(model: Model, symmetry: str | None = None) -> Options:
    """Return the options with which the model's training crystals were parsed.

    Args:
        model: to predict with.
        symmetry: package that searches the symmetry instead of that of the training.

    Raises:
        ModelFolderError: the package that searched their symmetry is not installed.
        ModuleNotFoundError: the one asked for is not.
        ValueError: sentences of the model's dialect depend on the package.
    """
    description = model.description
    if symmetry not in (None, description["symmetry"]):
        finder(symmetry)
        if model.vocabulary.dialect != "canonical":
            raise ValueError(
                f"symmetry={symmetry!r}: sentences of the {model.vocabulary.dialect} "
                f"dialect, in which {model.directory} was trained, depend on the "
                f"origin that the search chooses: expected {description['symmetry']!r}"
            )
        description = description | {"symmetry": symmetry}
    try:
        finder(description["symmetry"])
    except (ModuleNotFoundError, ValueError) as error:
        raise ModelFolderError(
            f"{model.directory / DESCRIPTION}, field symmetry: {error}"
        ) from error
    return Options(
        dialect=model.vocabulary.dialect,
        symprec=description["symprec"],
        angle_tolerance=description["angle_tolerance"],
        symmetry=description["symmetry"],
        max_tokens=description["max_tokens"],
    )


def to_crystals(
    results: Iterable[Record | Reject], model: Model
) -> tuple[list[Crystal], list[Reject]]:
    """Return the crystals that can be predicted, and the rejects, both in order."""
    crystals: list[Crystal] = []
    rejects: list[Reject] = []
    for result in results:
        made = result if isinstance(result, Reject) else _crystal(result, model)
        (rejects if isinstance(made, Reject) else crystals).append(made)
    return crystals, rejects


def _crystal(record: Record, model: Model) -> Crystal | Reject:
    sentence = getattr(record, model.vocabulary.dialect)
    try:
        tokens = model.vocabulary.encode(sentence)
    except Rejection as rejection:  # the model's vocabulary may be another program's
        return Reject(record.id, "tokenise", rejection.code, rejection.message)
    formula = _pairs(record.formula)
    outside = unseen(model, sentence, tokens)
    outside += uncalibrated(model, [element for element, _ in formula])
    return Crystal(
        id=record.id,
        tokens=tokens,
        formula=formula,
        n_atoms=record.n_atoms,
        flags=(*record.flags, *outside),
        sentence=sentence,
        space_group=record.space_group,
    )


def _pairs(formula: str) -> tuple[tuple[str, int], ...]:
    """Return `Ca1 O3 Ti1` as (element, count) pairs by rising electronegativity."""
    words = ((word.rstrip("0123456789"), word) for word in formula.split())
    pairs = ((element, int(word[len(element) :])) for element, word in words)
    return tuple(
        sorted(pairs, key=lambda pair: np.nan_to_num(electronegativity(pair[0])))
    )


def unseen(model: Model, sentence: str, tokens: list[int]) -> list[str]:
    """Name the parts of a sentence that occur in no labelled training row.

    Returns:
        Flags: `unseen_space_group`, `unseen_element:Pu` (likewise `wyckoff`, `count`,
        `fraction`; `token` where the vocabulary has no roles), `longer_than_trained`;
        none where model.json has no `domain`.
    """
    domain = model.description.get("domain") or {}
    flags = []
    symmetries = domain.get("symmetries")
    if symmetries is not None and sentence.partition(" | ")[0] not in symmetries:
        flags.append("unseen_space_group")
    if "token_ids" in domain:
        known = {*domain["token_ids"], *model.vocabulary.special_ids}
        for token in sorted(set(tokens) - known):
            role, _, word = model.vocabulary.tokens[token].partition(":")
            if not word:  # a vocabulary of word pieces
                flags.append(f"unseen_token:{role}")
            elif role in _ROLES:
                flags.append(f"unseen_{role}:{word}")
    if len(tokens) > domain.get("longest", len(tokens)):
        flags.append("longer_than_trained")
    return flags


def uncalibrated(model: Model, elements: Sequence[str]) -> list[str]:
    """Name the chemistry for which too few labels test the intervals.

    Returns:
        Flags: `not_calibrated:elemental_crystal`, and `not_calibrated:Fe_in_metal` for
        an element of a metal that no labelled metal holds; none where model.json does
        not say.
    """
    domain = model.description.get("domain") or {}
    flags = []
    if len(elements) == 1 and domain.get("elemental", math.inf) < _FEW_ELEMENTAL:
        flags.append(f"{NOT_CALIBRATED}:elemental_crystal")
    if "in_metals" in domain and all(map(is_metal, elements)):
        unknown = sorted(set(elements) - set(domain["in_metals"]))
        flags += [f"{NOT_CALIBRATED}:{element}_in_metal" for element in unknown]
    return flags


def with_distances(
    crystals: Sequence[Crystal], model: Model, states: Float[np.ndarray, "N D"]
) -> list[Crystal]:
    """Return crystals with their distances from the training rows.

    Those farther than nearly all calibration rows have the flag
    `not_calibrated:few_neighbours`.

    Args:
        crystals: N of them.
        model: with states of its training rows.
        states: of the crystals, of the first member.
    """
    far = Widening(**model.description["calibration"]["novelty"]).far
    flag = f"{NOT_CALIBRATED}:few_neighbours"
    return [
        crystal._replace(
            distance=distance,
            flags=(*crystal.flags, flag) if distance > far else crystal.flags,
        )
        for crystal, distance in zip(
            crystals, model.novelty.distances(states).tolist(), strict=True
        )
    ]
