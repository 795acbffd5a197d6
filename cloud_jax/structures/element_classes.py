"""Classes of crystals by their elements, the same in reports and in flags."""

from collections.abc import Iterable

_NOT_METALS = {  # metalloids count here, too
    "H", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "Ge", "As",
    "Se", "Br", "Kr", "Sb", "Te", "I", "Xe", "Po", "At", "Rn",
}  # fmt: skip
# The first class that has one of its elements in the crystal is the crystal's.
_BY_ANION = {
    "hydrogen compounds": {"H"},
    "oxides": {"O"},
    "halides": {"F", "Cl", "Br", "I", "At"},
    "chalcogenides": {"S", "Se", "Te", "Po"},
    "pnictides": {"N", "P", "As", "Sb"},
}
ELEMENTS, INTERMETALLICS, OTHERS = "elements", "intermetallics", "other compounds"
CLASSES = (ELEMENTS, INTERMETALLICS, *_BY_ANION, OTHERS)


def is_metal(symbol: str) -> bool:
    """Return whether an element is a metal; metalloids are not."""
    return symbol not in _NOT_METALS


def element_class(symbols: Iterable[str]) -> str:
    """Return the class, one of `CLASSES`, of a crystal of these elements.

    Others are borides, carbides, silicides and germanides.
    """
    found = set(symbols)
    if len(found) == 1:
        return ELEMENTS
    if all(map(is_metal, found)):
        return INTERMETALLICS
    classes = (name for name, anions in _BY_ANION.items() if found & anions)
    return next(classes, OTHERS)
