"""Generator strings taken apart, expanded and closed to groups."""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from jaxtyping import Int

from cloud_jax.scope.tables import space_group_table

DENOMINATOR = 24  # every translation letter is a multiple of 1/24


@cache
def _tables() -> tuple[dict[str, np.ndarray], dict[str, int]]:
    matrices = {
        letter: np.array(matrix, dtype=int)
        for letter, matrix in space_group_table("matrices").items()
    }
    translations = {
        letter: int(Fraction(value) * DENOMINATOR)
        for letter, value in space_group_table("translations").items()
    }
    return matrices, translations


@dataclass(frozen=True)
class Generators:
    """A parsed generator string; each part still in its letters.

    Attributes:
        inversion: whether the inversion at the origin is listed as a generator.
            (`False` does not mean that the group has none.)
        generators: matrix letter and three translation letters of each generator.
        origin_shift: three translation letters, or `""`.
    """

    inversion: bool
    generators: tuple[tuple[str, str], ...]
    origin_shift: str


def parse_generators(text: str) -> Generators:
    """Split a generator string into its parts.

    Raises:
        ValueError: `text` does not follow the grammar.
    """
    matrices, translations = _tables()
    count = int(text[1]) if text[1:2].isdecimal() else 0
    stop = 2 + 4 * count
    generators = tuple(
        (text[i : i + 1], text[i + 1 : i + 4]) for i in range(2, stop, 4)
    )
    flag, shift = text[stop : stop + 1], text[stop + 1 :]
    letters = "".join(t for _, t in generators) + shift
    if (
        text[:1] not in ("0", "1")
        or not all(m in matrices and len(t) == 3 for m, t in generators)
        or not set(letters) <= set(translations)
        or (flag, len(shift)) not in (("0", 0), ("1", 3))
    ):
        raise ValueError(f"{text!r} is not a space-group generator string")
    return Generators(text[0] == "1", generators, shift)


def expand_generators(
    text: str,
) -> tuple[Int[np.ndarray, "G 3 3"], Int[np.ndarray, "G 3"]]:
    """Return the operations that generate the group, identity first.

    Returns:
        Rotations, and translations in units of 1/24 of the cell edge. The origin
        shift is not applied: the operations refer to origin choice 1.
    """
    matrices, translations = _tables()
    parts = parse_generators(text)
    rotations, shifts = [np.eye(3, dtype=int)], [[0, 0, 0]]
    if parts.inversion:
        rotations.append(-np.eye(3, dtype=int))
        shifts.append([0, 0, 0])
    for matrix, letters in parts.generators:
        rotations.append(matrices[matrix])
        shifts.append([translations[letter] for letter in letters])
    return np.array(rotations), np.array(shifts) % DENOMINATOR


def close_group(text: str) -> set[tuple[int, ...]]:
    """Multiply the generators until nothing new appears.

    Returns:
        One tuple of 12 integers an operation: the rotation row by row, then the
        translation in units of 1/24, reduced to the cell.
    """
    rotations, shifts = expand_generators(text)
    generators = list(zip(rotations, shifts, strict=True))
    identity = generators[0]
    seen, new = {_key(*identity)}, [identity]
    while new:
        products = []
        for rotation, shift in new:
            for generator, offset in generators:
                product = (
                    rotation @ generator,
                    (rotation @ offset + shift) % DENOMINATOR,
                )
                if _key(*product) not in seen:
                    seen.add(_key(*product))
                    products.append(product)
        new = products
    return seen


def _key(rotation: np.ndarray, shift: np.ndarray) -> tuple[int, ...]:
    return (*rotation.ravel().tolist(), *shift.tolist())
