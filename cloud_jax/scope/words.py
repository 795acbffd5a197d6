"""What the words of a sentence mean, for people.

A token is explained without its neighbours, so that an explanation can stand beside
each word of a vocabulary.
"""

from cloud_jax.scope.crystal_systems import crystal_system
from cloud_jax.scope.space_groups import hermann_mauguin, point_group, without_hand
from cloud_jax.structures.species import ELEMENTS

_NAMES = """
hydrogen helium lithium beryllium boron carbon nitrogen oxygen fluorine neon sodium
magnesium aluminium silicon phosphorus sulfur chlorine argon potassium calcium scandium
titanium vanadium chromium manganese iron cobalt nickel copper zinc gallium germanium
arsenic selenium bromine krypton rubidium strontium yttrium zirconium niobium molybdenum
technetium ruthenium rhodium palladium silver cadmium indium tin antimony tellurium
iodine xenon caesium barium lanthanum cerium praseodymium neodymium promethium samarium
europium gadolinium terbium dysprosium holmium erbium thulium ytterbium lutetium hafnium
tantalum tungsten rhenium osmium iridium platinum gold mercury thallium lead bismuth
polonium astatine radon francium radium actinium thorium protactinium uranium neptunium
plutonium americium curium berkelium californium einsteinium fermium mendelevium
nobelium lawrencium
"""
_ELEMENT_NAMES = dict(zip(ELEMENTS, _NAMES.split(), strict=True))

# The matrices of De Graef & McHenry's table, by what they do to a point x, y, z.
MATRICES = {
    "a": "identity: the point stays, only the shift that follows moves it",
    "b": "twofold rotation about z",
    "c": "twofold rotation about y",
    "d": "threefold rotation about the body diagonal: x, y and z change places",
    "e": "twofold rotation about the diagonal of x and y",
    "f": "twofold rotation about the other diagonal of x and y",
    "g": "fourfold rotation about z",
    "h": "inversion through the origin",
    "i": "mirror that reverses z",
    "j": "mirror that reverses y",
    "k": "mirror that exchanges x and -y",
    "l": "mirror that exchanges x and y",
    "m": "fourfold rotation about z with inversion",
    "n": "threefold rotation about z, hexagonal axes",
}
TRANSLATIONS = {
    "A": "1/6", "B": "1/4", "C": "1/3", "D": "1/2", "E": "2/3", "F": "3/4", "G": "5/6",
    "O": "0", "X": "-3/8", "Y": "-1/4", "Z": "-1/8",
}  # fmt: skip
_SPECIAL = {
    "[PAD]": "padding, which is not read",
    "[CLS]": "start; its state is all that the prediction is made from",
    "[SEP]": "end of the sentence",
    "[MASK]": "unknown: the Wyckoff positions are not given",
    "|": "bar between the parts: symmetry, orbits, composition",
}


def element_name(symbol: str) -> str:
    """Return the English name of an element, H to Lr.

    Raises:
        KeyError: `symbol` is not an element up to Lr.
    """
    return _ELEMENT_NAMES[symbol]


def explain_token(token: str) -> str:
    """Return what a token of a vocabulary means, as words without a full stop.

    Args:
        token: with its role, such as `wyckoff:3a`; of a vocabulary without roles the
            piece of a word alone.
    """
    if token in _SPECIAL:
        return _SPECIAL[token]
    role, colon, word = token.partition(":")
    explain = _ROLES.get(role)
    return explain(word) if colon and explain else "piece of a word"


def _inversion(word: str) -> str:
    if word == "1":
        return "inversion through the origin is one of the generators"
    return "inversion through the origin is not listed as a generator"


def _generators(word: str) -> str:
    if word == "1":
        return "one generator of the space group follows, in four letters"
    return f"{word} generators of the space group follow, four letters each"


def _translation(word: str) -> str:
    if word == "O":
        return "no shift along this axis"
    return f"shift by {TRANSLATIONS[word]} of this edge of the cell"


def _origin(word: str) -> str:
    if word == "1":
        return "the origin is moved to the inversion centre, by the three shifts after"
    return "the origin stays: end of the symmetry"


def _element(word: str) -> str:
    return f"element {element_name(word)}"


def _wyckoff(word: str) -> str:
    multiplicity, letter = word[:-1], word[-1]
    atoms = "1 atom" if multiplicity == "1" else f"{multiplicity} equivalent atoms"
    return f"Wyckoff position {letter}: {atoms} in the conventional cell"


def _count(word: str) -> str:
    return f"{word} {'atom' if word == '1' else 'atoms'} of it in the reduced formula"


_ROLES = {
    "inversion": _inversion,
    "generators": _generators,
    "matrix": MATRICES.__getitem__,
    "translation": _translation,
    "origin": _origin,
    "element": _element,
    "wyckoff": _wyckoff,
    "count": _count,
    "fraction": lambda word: f"share {word} of all atoms",
}


def describe_group(number: int) -> dict[str, str | int]:
    """Return number, symbol, point group and crystal system of a space group.

    `hand` says in words where the sentence names the other group of a pair of mirror
    images; empty otherwise.
    """
    named = without_hand(number)
    hand = ""
    if named != number:
        hand = f"the sentence names {hermann_mauguin(named)}, of its mirror image"
    return {
        "number": number,
        "symbol": hermann_mauguin(number),
        "point_group": point_group(number),
        "system": crystal_system(number),
        "hand": hand,
    }
