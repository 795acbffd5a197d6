"""The element, or the mixture of elements, that the name of a site stands for."""

import re
from collections.abc import Set

from cloud_jax.structures.rejection import Rejection

# fmt: off
ELEMENTS = (
    "H", "He", "Li", "Be", "B", "C", "N", "O", "F", "Ne", "Na", "Mg", "Al", "Si", "P",
    "S", "Cl", "Ar", "K", "Ca", "Sc", "Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu",
    "Zn", "Ga", "Ge", "As", "Se", "Br", "Kr", "Rb", "Sr", "Y", "Zr", "Nb", "Mo", "Tc",
    "Ru", "Rh", "Pd", "Ag", "Cd", "In", "Sn", "Sb", "Te", "I", "Xe", "Cs", "Ba", "La",
    "Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "Lu",
    "Hf", "Ta", "W", "Re", "Os", "Ir", "Pt", "Au", "Hg", "Tl", "Pb", "Bi", "Po", "At",
    "Rn", "Fr", "Ra", "Ac", "Th", "Pa", "U", "Np", "Pu", "Am", "Cm", "Bk", "Cf", "Es",
    "Fm", "Md", "No", "Lr",
)
_SUPERHEAVY = ("Rf", "Db", "Sg", "Bh", "Hs", "Mt", "Ds", "Rg", "Cn", "Nh", "Fl", "Mc",
               "Lv", "Ts", "Og")
# fmt: on
_KNOWN = frozenset(ELEMENTS)
_LETTERS = re.compile(r"[A-Za-z]*")
_TWO_LETTERS = re.compile(r"[A-Z][a-z]")
# `Nb,Zr`, `Si / Al` or `Na0.5K0.5`
_LISTED = re.compile(r"[A-Z][a-z]?([\d.]*\s*[,/;&|]|\d*\.\d+)\s*[A-Z]")
_WORD = re.compile(r"[A-Z][a-z]{3}|[a-z]{4}")  # `Cent` is not cerium; `Fea` is iron
_CHARGE = re.compile(r"[+-]\d?$")
_NOT_ATOMS = frozenset(
    ("va", "vac", "vacancy", "x", "xx", "n/a", "du", "dum", "dummy", "bq", "lp", "cent")
)
# T1 is a tetrahedral place, not tritium.
_ISOTOPE = re.compile(r"[23]H$|T[+-]?$|D(?![iyY])")
# Water, hydroxyl and nitrate would read as W, H, - and No. A small letter after O names
# a place (`Ob1`), but for osmium and oganesson.
_GROUPS = {
    "O": re.compile(r"[Ww]at|H2O$|OH|O[a-fh-rt-z]"),
    "N": re.compile(r"NO(?![A-Za-z])"),
    "H": re.compile(rf"Hw|{_ISOTOPE.pattern}"),
}
# CIFs round occupancies: three times 0.3333 or 0.3334 is a full site; sums of several
# that were refined may pass one a little more.
FULL = 0.995
_ROUNDED_FULL = 1.005
MAX_AMOUNT = 1.05
_LEAST_AMOUNT = 1e-6  # of which nothing is left in six decimals

Occupants = tuple[tuple[str, float], ...]  # ((element, occupancy), ...), sorted


def element_of(symbol: str, among: Set[str] = frozenset()) -> str:
    """Return the element that a site's type symbol or label names.

    Charges, site numbers and spins are dropped (`Fe2+`, `Fe1`, `Fe0+,spin=5`), and
    D and T are hydrogen. Two letters are tried before one, as most CIF readers do.

    Args:
        symbol: the text.
        among: elements of which one is expected, such as those of the file's formula;
            empty for all. Others are returned where none of these fits.

    Raises:
        Rejection: no element up to Lr starts the symbol, or it names several.
    """
    expected = among & _KNOWN or _KNOWN
    if symbol in expected:
        return symbol
    several = len(expected.intersection(_TWO_LETTERS.findall(symbol))) > 1
    if several or _LISTED.match(symbol):
        raise Rejection(
            "unknown_species",
            f"found {symbol!r} on a site, expected one element: list each element of a "
            "mixed site with its occupancy",
        )
    letters = _LETTERS.match(symbol).group()
    refused = letters in _SUPERHEAVY or not _NOT_ATOMS.isdisjoint(
        (letters.lower(), symbol.lower())
    )
    if not refused:
        for element, pattern in _GROUPS.items():
            if pattern.match(symbol):
                return element
        two, one = letters[:2].title(), letters[:1].upper()
        if two in expected and not _WORD.match(letters):
            return two
        # A capital and a small letter are one symbol: Bq is not boron.
        if one in expected and (expected is not _KNOWN or not letters[1:2].islower()):
            return one
        if expected is not _KNOWN:
            return element_of(symbol)
    raise Rejection(
        "unknown_species",
        f"found {symbol!r} on a site, expected an element from H to Lr (D and T are "
        "read as H)",
    )


def marks_of(symbol: str) -> set[str]:
    """Return the flags of a symbol that says more than its element."""
    if symbol in _KNOWN:
        return set()
    marks = {"isotope"} if _ISOTOPE.match(symbol) else set()
    if _CHARGE.search(symbol) or "spin" in symbol:
        marks.add("decorated")
    return marks


def occupants_of(
    site: tuple[tuple[str, float], ...], flags: set[str]
) -> str | Occupants:
    """Return the element of a full site, or the elements and amounts of a mixed one.

    Args:
        site: (symbol, occupancy) pairs, symbols as `element_of` reads them.
        flags: `isotope`, `decorated` and `occupancies_scaled` are added to it.

    Raises:
        Rejection: an unknown species, or occupancies that do not sum to 1e-6 to 1.
    """
    amounts: dict[str, float] = {}
    for symbol, occupancy in site:
        element = element_of(symbol)
        flags |= marks_of(symbol)
        amounts[element] = amounts.get(element, 0.0) + float(occupancy)
    total = sum(amounts.values())
    most = max(amounts.values(), default=0.0)
    if not (most > _LEAST_AMOUNT and total <= MAX_AMOUNT) or min(amounts.values()) < 0:
        raise Rejection(
            "occupancy",
            f"found occupancies {amounts} on one site, expected a sum from "
            f"{_LEAST_AMOUNT:g} to 1: is an atom listed twice?",
        )
    if total > _ROUNDED_FULL:
        flags.add("occupancies_scaled")
    amounts = {element: n for element, n in amounts.items() if n > _LEAST_AMOUNT}
    if len(amounts) == 1 and total > FULL:
        return next(iter(amounts))
    return tuple(sorted((e, round(n / max(total, 1.0), 6)) for e, n in amounts.items()))


def is_full(kind: str | Occupants) -> bool:
    """Return whether a site is always occupied, by one element or by several."""
    return isinstance(kind, str) or sum(amount for _, amount in kind) > FULL
