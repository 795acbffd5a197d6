"""Space groups: generator strings, symbols, Wyckoff positions and their relabelings.

A generator string (De Graef & McHenry, Structure of Materials, 2012) packs the
generators of a space group into a few characters, for instance `03aDDObOOOjOOO0`:

    0        1 if the inversion at the origin is listed as a generator, else 0
    3        how many generators follow, four characters each
    aDDO     matrix letter (a to n), then three translation letters
    0        0, or 1 and three translation letters: the shift to origin choice 2

The strings are those of pymatgen (`scope/tables.py`). A test closes each of them to the
operations of spglib's default setting.
"""

from functools import cache

from cloud_jax.scope.tables import space_group_table


def generator_string(number: int) -> str:
    """Return the generator string of space group `number` (1 to 230).

    Raises:
        ValueError: `number` is not a space-group number.
    """
    try:
        return space_group_table("generators")[str(number)]
    except KeyError:
        raise ValueError(
            f"space group {number!r}: expected an integer from 1 to 230"
        ) from None


def hermann_mauguin(number: int) -> str:
    """Return the short Hermann-Mauguin symbol of a space group, such as `P2_1/c`."""
    return _type_of(number).international_short


def point_group(number: int) -> str:
    """Return the symbol of the point group of a space group, such as `2/m`."""
    return _type_of(number).pointgroup_international


@cache
def point_group_order(number: int) -> int:
    """Return the number of rotations and rotoinversions of a space group."""
    points = {"P": 1, "R": 3, "F": 4}.get(hermann_mauguin(number)[0], 2)
    return max(wyckoff_multiplicities(number).values()) // points


@cache
def _type_of(number: int):
    """Return spglib's type of a space group in its default setting."""
    import spglib

    kinds = (spglib.get_spacegroup_type(hall) for hall in range(1, 531))
    return next(kind for kind in kinds if kind.number == number)


def wyckoff_multiplicities(number: int) -> dict[str, int]:
    """Return {Wyckoff letter: multiplicity in the conventional cell}."""
    return space_group_table("multiplicities")[str(number)]


# The lower number of each enantiomorphic pair, by the higher one. Both groups have the
# same Wyckoff letters, and a mirror image keeps them up to a relabeling.
_ENANTIOMORPHS = {
    78: 76, 95: 91, 96: 92, 145: 144, 153: 151, 154: 152, 170: 169, 172: 171, 179: 178,
    181: 180, 213: 212,
}  # fmt: skip


def without_hand(number: int) -> int:
    """Return the number of a space group, of an enantiomorphic pair the lower one."""
    return _ENANTIOMORPHS.get(number, number)


@cache
def wyckoff_relabelings(number: int) -> tuple[dict[str, str], ...]:
    """Return the relabelings of Wyckoff letters by the Euclidean normaliser.

    A shift of origin or a permutation of axes that maps the space group onto
    itself renames its Wyckoff positions; each renaming is one dictionary.
    """
    return tuple(space_group_table("relabelings")[str(number)])
