"""What flags and the novelty of a crystal mean, in words for people."""

import math
from collections.abc import Sequence
from typing import Any

from cloud_jax.inference.crystals import NOT_CALIBRATED, Crystal
from cloud_jax.models.novelty import Widening
from cloud_jax.models.seen import new_sentences
from cloud_jax.scope.words import element_name
from cloud_jax.structures.flags import FLAGS

# How much a person should doubt the prediction.
GOOD, NOTE, DOUBT = "good", "note", "doubt"

# Whether a sentence is new to a model, and whether its heat capacity is.
LEARNED = {
    None: "The model does not say which crystals it learned from.",
    (True, True): "New to the model: no label of this sentence was in its training "
    "rows.",
    (False, False): "Known to the model: labels of this very sentence were in its "
    "training rows, so that the answer is partly remembered.",
    (False, True): "Half known to the model: its training rows hold labels of this "
    "sentence, but no heat capacity.",
}
WIDER = 1.05  # times as wide as usual: said of an interval from here on
FAR = (
    "Few labelled crystals are near it, so the interval is {times} times as wide as "
    "usual."
)
NEAR = "Labelled crystals are near it, as where intervals were tested."


def explain_flag(flag: str) -> tuple[str, str]:
    """Return how much a flag of a crystal matters, and what it means.

    Args:
        flag: of `Crystal.flags`.

    Returns:
        `NOTE` for how the file was read, `DOUBT` for what training did not cover; and
        a sentence.
    """
    kind, _, what = flag.partition(":")
    if kind in FLAGS:
        return NOTE, f"How it was read: {FLAGS[kind]}."
    if kind == NOT_CALIBRATED:
        return DOUBT, _uncalibrated(what)
    fixed = {
        "unseen_space_group": "No labelled training crystal has this space group: do "
        "not rely on the interval.",
        "longer_than_trained": "The sentence is longer than any labelled training "
        "sentence: do not rely on the interval.",
    }
    if kind in fixed:
        return DOUBT, fixed[kind]
    if kind.startswith("unseen_"):
        word = kind.removeprefix("unseen_")
        part = {"wyckoff": "Wyckoff position", "token": "word"}.get(word, word)
        name = element_name(what) if word == "element" else what
        return DOUBT, (
            f"No labelled training crystal has the {part} {name}: do not rely on the "
            "interval."
        )
    return NOTE, flag.replace("_", " ")


def _uncalibrated(what: str) -> str:
    if what == "few_neighbours":
        return (
            "It is far from every labelled training crystal, farther than those that "
            "tested the intervals: do not rely on the interval."
        )
    if what == "elemental_crystal":
        return (
            "It is a crystal of one element, of which too few tested the intervals: do "
            "not rely on the interval."
        )
    element = what.removesuffix("_in_metal")
    return (
        f"No labelled metal holds {element_name(element)}: do not rely on the interval."
    )


def explain_novelty(
    description: dict[str, Any], crystals: Sequence[Crystal]
) -> list[tuple[str, str]]:
    """Return of each crystal how new it is to the model: level, and sentences.

    Args:
        description: content of model.json.
        crystals: with their distances, see `with_distances`.
    """
    new = new_sentences(description, [crystal.sentence for crystal in crystals])
    calibration = (description.get("calibration") or {}).get("novelty")
    widening = Widening(**calibration) if calibration else None
    return [
        _novelty(
            None if not new else bool(new["not_learned"][i]),
            None if not new else bool(new["no_heat_capacity_learned"][i]),
            crystal.distance,
            widening,
        )
        for i, crystal in enumerate(crystals)
    ]


def _novelty(
    is_new: bool | None,
    without_capacity: bool | None,
    distance: float,
    widening: Widening | None,
) -> tuple[str, str]:
    known = LEARNED[None if is_new is None else (is_new, bool(without_capacity))]
    if widening is None or math.isnan(distance):
        return (NOTE if is_new is None else GOOD), known
    if distance > widening.far:  # the flag not_calibrated:few_neighbours says more
        return DOUBT, known
    times = float(widening.scale(distance))
    if times >= WIDER:
        return NOTE, f"{known} {FAR.format(times=f'{times:.1f}')}"
    return GOOD, f"{known} {NEAR}"
