"""What the page without a server knows besides the weights, from Python's tables."""

import math
import re
from functools import cache
from typing import Any

import gemmi

from cloud_jax.evaluation.measured import measured_heat_capacities
from cloud_jax.inference.crystals import NOT_CALIBRATED
from cloud_jax.inference.explanations import FAR, LEARNED, NEAR, WIDER, explain_flag
from cloud_jax.models.folder import Model
from cloud_jax.physics.laws import UNITS, get_law
from cloud_jax.scope import tables
from cloud_jax.scope.space_groups import without_hand
from cloud_jax.scope.words import describe_group, element_name, explain_token
from cloud_jax.structures.element_classes import is_metal
from cloud_jax.structures.flags import FLAGS
from cloud_jax.structures.settings import settings_of_name, settings_of_number
from cloud_jax.structures.species import ELEMENTS
from cloud_jax.web.analysis import (
    BASES_IN_WORDS,
    TEMPERATURES_K,
    TITLES,
    example_files,
)
from cloud_jax.web.known import NEARNESS, KnownCrystals

LAWS = ("debye", "einstein", "debye_einstein", "two_debye", "debye_two_einstein")
_ENCODER_FIELDS = ("layers", "heads", "width", "token_features")
# Names of groups 39, 41, 64, 67 and 68 since 1992, which gemmi's table does not list.
_DOUBLE_GLIDES = ("aem2", "aea2", "cmce", "cmme", "ccce")
_DOMAIN_FIELDS = (
    "symmetries", "token_ids", "longest", "elemental", "in_metals", "sentences",
)  # fmt: skip


class PageError(ValueError):
    """A model that the page without a server cannot hold; says what it can."""


def page_data(model: Model) -> dict[str, Any]:
    """Return all that the page knows besides the weights, ready for JSON."""
    description = model.description
    if description["kind"] != "property" or description["head"]["kind"] != "physics":
        raise PageError(
            f"{model.directory}: found a model without a law of temperature, expected "
            "one with a physics head, such as the model of the package"
        )
    if description["head"]["law"] not in LAWS or description["dialect"] != "canonical":
        raise PageError(
            f"{model.directory}: found law {description['head']['law']!r} and dialect "
            f"{description['dialect']!r}; a page without a server holds the canonical "
            f"dialect and one of {', '.join(LAWS)}"
        )
    law = get_law(description["head"]["law"])
    domain = description.get("domain") or {}
    return {
        "model": {
            "symprec": description["symprec"],
            "max_tokens": description["max_tokens"],
            "members": description["members"],
            "encoder": {name: description["encoder"][name] for name in _ENCODER_FIELDS},
            "head": description["head"],
            "law": {
                "name": law.name,
                "variables": [variable._asdict() for variable in law.variables],
            },
            "units": UNITS,
            "targets": [
                {name: target[name] for name in ("name", "property", "temperature_k")}
                for target in description["targets"]
            ],
            "calibration": description.get("calibration"),
            "domain": {name: domain[name] for name in _DOMAIN_FIELDS if name in domain},
            "tokens": model.vocabulary.tokens,
            "features": model.vocabulary.features.astype(float).round(6).tolist(),
            "metals": [element for element in ELEMENTS if is_metal(element)],
        },
        "tables": {
            "elements": {e: _element(e) for e in ELEMENTS},
            "enantiomorphs": {
                number: without_hand(number)
                for number in range(1, 231)
                if without_hand(number) != number
            },
            **{
                name: tables.space_group_table(name)
                for name in ("generators", "multiplicities", "relabelings")
            },
        },
        "settings": settings_table(),
        "words": _words(model),
        "groups": {number: describe_group(number) for number in range(1, 231)},
        "measured": [
            {
                "formula": _formula(name),
                "groups": one.space_groups,
                "temperature_k": one.temperature_k.tolist(),
                "value": one.cp.round(3).tolist(),
                "source": one.source,
            }
            for name, one in measured_heat_capacities().items()
        ],
        "known": _known(model),
        "examples": {path.stem: path.read_text("utf-8") for path in example_files()},
        "temperature_k": TEMPERATURES_K,
    }


def _formula(name: str) -> str:
    """Return a formula, its elements by rising electronegativity."""
    words = re.findall(r"([A-Z][a-z]?)(\d*)", name)
    by_rank = sorted(words, key=lambda word: tables.element(word[0]).electronegativity)
    return "".join(element + count for element, count in by_rank)


def _known(model: Model) -> dict[str, Any]:
    """Return the known crystals with their places, which show what is near."""
    rows, places, usual = KnownCrystals(model).rows
    return {
        "rows": rows,
        "places": [[float(f"{x:.5g}") for x in place] for place in places.tolist()],
        "usual": usual,
        "nearness": [
            [None if math.isinf(most) else most, words] for most, words in NEARNESS
        ],
    }


def _words(model: Model) -> dict[str, Any]:
    """Return what tokens, flags and properties mean, for people."""
    calibration = model.description.get("calibration") or {}
    levels = {entry["level"] for entry in calibration.get("targets", {}).values()}
    return {
        "tokens": {token: explain_token(token) for token in model.vocabulary.tokens},
        "flags": {
            flag: dict(zip(("level", "words"), explain_flag(flag), strict=True))
            for flag in _flags(model)
        },
        "elements": {element: element_name(element) for element in ELEMENTS},
        "properties": TITLES,
        "novelty": {
            "learned": {
                "unknown": LEARNED[None],
                "new": LEARNED[True, True],
                "half": LEARNED[False, True],
                "known": LEARNED[False, False],
            },
            "wider": WIDER,
            "far": FAR,
            "near": NEAR,
        },
        "level": min(levels) if levels else None,
        "basis": BASES_IN_WORDS["formula"],
    }


def _flags(model: Model) -> list[str]:
    """Return every flag that the page may give a crystal."""
    metals = [element for element in ELEMENTS if is_metal(element)]
    roles = ("element:", "wyckoff:", "count:")
    return [
        *FLAGS,
        "unseen_space_group",
        "longer_than_trained",
        *(f"unseen_{t}" for t in model.vocabulary.tokens if t.startswith(roles)),
        f"{NOT_CALIBRATED}:elemental_crystal",
        f"{NOT_CALIBRATED}:few_neighbours",
        *(f"{NOT_CALIBRATED}:{element}_in_metal" for element in metals),
    ]


def _element(symbol: str) -> dict[str, float | None]:
    value = tables.element(symbol).electronegativity
    return {"electronegativity": None if value != value else value}


@cache
def settings_table() -> dict[str, Any]:
    """Return the operations of all settings of space groups, and their names.

    Returns:
        `triplets` of each setting, separated by blanks, and `numbers` of their groups;
        and the settings that a key of `names` (number, Hermann-Mauguin) or of `hall`
        may mean, the usual one first. Keys are in lower case without blanks.
    """
    settings = list(gemmi.spacegroup_table())
    place = {setting.xhm(): i for i, setting in enumerate(settings)}
    names: dict[str, list[int]] = {}
    for setting in settings:
        texts = [setting.hm, setting.short_name(), setting.xhm()]
        if 3 <= setting.number <= 15:
            texts.append(setting.hm.replace(" 1", ""))
        if setting.ext in "HR":
            texts.append(f"{setting.hm} {setting.ext}")
        if setting.ext in "12":
            texts.append(f"{setting.hm} {'SZ'[int(setting.ext) - 1]}")
        for text in texts:
            found = [place[one.xhm()] for one in settings_of_name(text)]
            names[text.lower().replace(" ", "")] = found
    for name in _DOUBLE_GLIDES:
        names[name] = [place[one.xhm()] for one in settings_of_name(name)]
    for number in range(1, 231):
        found = [place[one.xhm()] for one in settings_of_number(number)]
        names[str(number)] = found
    return {
        "triplets": [
            " ".join(op.triplet() for op in setting.operations())
            for setting in settings
        ],
        "numbers": [setting.number for setting in settings],
        "names": names,
        "hall": {s.hall.lower().replace(" ", ""): [place[s.xhm()]] for s in settings},
    }
