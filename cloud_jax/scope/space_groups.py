"""The 230 space-group generator strings: parse, expand, close.

A generator string (De Graef & McHenry, Structure of Materials, 2012) packs the
generators of a space group into a few characters, for instance `03aDDObOOOjOOO0`:

    0        1 if the inversion at the origin is listed as a generator, else 0
    3        how many generators follow, four characters each
    aDDO     matrix letter (a to n), then three translation letters
    0        0, or 1 and three translation letters: the shift to origin choice 2

The strings, matrices and translations are those of pymatgen (`scope/tables.py`).
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np
from jaxtyping import Int

from cloud_jax.scope.tables import space_group_table

DENOMINATOR = 24  # every translation letter is a multiple of 1/24


@cache
def _tables() -> tuple[dict[str, str], dict[str, np.ndarray], dict[str, int]]:
    matrices = {
        letter: np.array(matrix, dtype=int)
        for letter, matrix in space_group_table("matrices").items()
    }
    translations = {
        letter: int(Fraction(value) * DENOMINATOR)
        for letter, value in space_group_table("translations").items()
    }
    return space_group_table("generators"), matrices, translations


def generator_string(number: int) -> str:
    """Return the generator string of space group `number` (1 to 230).

    Raises:
        ValueError: `number` is not a space-group number.
    """
    strings = _tables()[0]
    if str(number) not in strings:
        raise ValueError(f"space group {number!r}: expected an integer from 1 to 230")
    return strings[str(number)]


def hermann_mauguin(number: int) -> str:
    """Return the short Hermann-Mauguin symbol of a space group, such as `P2_1/c`."""
    import spglib

    kinds = (spglib.get_spacegroup_type(hall) for hall in range(1, 531))
    return next(k.international_short for k in kinds if k.number == number)


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
    _, matrices, translations = _tables()
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
    _, matrices, translations = _tables()
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


def wyckoff_multiplicities(number: int) -> dict[str, int]:
    """Return {Wyckoff letter: multiplicity in the conventional cell}."""
    return space_group_table("multiplicities")[str(number)]


@cache
def wyckoff_relabelings(number: int) -> tuple[dict[str, str], ...]:
    """Return the relabelings of Wyckoff letters by the Euclidean normaliser.

    A shift of origin or a permutation of axes that maps the space group onto
    itself renames its Wyckoff positions; each renaming is one dictionary.
    """
    return tuple(space_group_table("relabelings")[str(number)])
