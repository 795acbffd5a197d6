"""Settings of space groups: their axes and origin, found by name or number."""

import re
from collections import defaultdict
from functools import cache, lru_cache

import gemmi

# What may follow a Hermann-Mauguin name, and the setting that it means. Names are in
# lower case here; ICSD writes S and Z for the two origins and H or R for the axes.
_SUFFIXES = (
    (r"unique\s*axis\s*([abc])\W*cell\s*choice\s*([123])", ""),
    (r"unique\s*axis\s*([abc])", ""),
    (r":\s*(-?[abc][1-9]?|(?:-?[abc]){3})", ""),
    (r"(?:origin\s*choice|origin|choice|setting|:|\bo)\W*([12])", ""),
    (r"\W*(?:hexagonal|hex|h)(?:\s*(?:axes|setting))?", "h"),
    (r"\W*(?:rhombohedral|rhomb?|(?<!h)rs?)(?:\s*(?:axes|setting))?", "r"),
    (r"\s*s", "s"),
    (r"\s*z", "z"),
)
_MARKUP = re.compile(r"[_~$]|<[^>]*>")  # P2~1~/c, P6<sub>3</sub>/mmc
# Words that say nothing of the setting: (No. 225), #225, (standard setting).
_REMARK = re.compile(
    r"\s*(?:[,(]?\s*(?:no\.?|#)\s*\d{1,3}\s*\)?|\(\d{2,3}\)|[(\[{]\W*[a-z]{3}.*)\W*$"
)
# Full names: F 4/m -3 2/m is F m -3 m, and P 42/m 21/n 2/c is P 42/m n c.
_FULL = ((re.compile(r"^(.)[24][123]?/([a-z])-3"), r"\1\2-3"),)
_FULL += ((re.compile(r"(?<!4)21?/([a-z])"), r"\1"),)
_CONVENTIONAL = 530  # settings in the International Tables; they begin gemmi's table

Settings = tuple[gemmi.SpaceGroup, ...]


@cache
def settings_of_number(number: int) -> Settings:
    """Return the conventional settings of a space group, the standard one first."""
    return tuple(group for group in _conventional() if group.number == number)


@lru_cache(maxsize=512)
def settings_of_name(name: str) -> Settings:
    """Return the settings that a name may mean, the standard one first.

    Args:
        name: Hermann-Mauguin, short or full, in any case and spacing, or Schoenflies;
            the origin or the axes may follow (`:2`, `Z`, `(rhombohedral axes)`).

    Returns:
        Several where a name states no origin or no axes, none for an unknown name.
    """
    text, choice = _without_suffix(_MARKUP.sub("", name).strip().lower())
    return of_choice(_lookup(text), choice)


def of_choice(settings: Settings, choice: str) -> Settings:
    """Return the settings that a code such as `2`, `H`, `b1` or `cab` selects.

    They may be others of the same group; without a code they are all that are given.
    """
    if not settings or not choice:
        return settings
    for candidates in (settings, settings_of_number(settings[0].number)):
        if found := [s for s in candidates if choice.lower() in _codes(s)]:
            return tuple(found)
    return ()


def _codes(setting: gemmi.SpaceGroup) -> tuple[str, ...]:
    origin = setting.ext.strip("\0").lower()
    letter = {"1": "s", "2": "z"}.get(origin, origin)
    axes = setting.qualifier  # b1: unique axis b, cell choice 1
    return origin or "1", letter, axes, axes.removesuffix("1"), origin + axes


def _without_suffix(text: str) -> tuple[str, str]:
    """Return a name without what follows it, and the code of the setting meant."""
    for pattern, meaning in _SUFFIXES:
        if found := re.search(rf"{pattern}\W*$", text):
            name = text[: found.start()].rstrip(" ,:;([{")
            if name:
                return name, meaning or "".join(found.groups())
    return text, ""


def _lookup(text: str) -> Settings:
    for name in (text, _REMARK.sub("", text)):
        key = _key(name)
        for short in (key, _without_slashes(key)):
            if found := _names().get(short):
                return found
            # Gemmi knows names with e for a double glide plane, and old ones.
            if group := gemmi.find_spacegroup_by_name(short):
                return tuple(s for s in gemmi.spacegroup_table() if s.hm == group.hm)
    return ()


def _without_slashes(key: str) -> str:
    for pattern, replacement in _FULL:
        key = pattern.sub(replacement, key)
    return key


def _without_axes(setting: gemmi.SpaceGroup) -> str:
    """Return a monoclinic name as it stands in files that do not tell the axis."""
    monoclinic = 3 <= setting.number <= 15
    return setting.hm.replace(" 1", "") if monoclinic else setting.hm


def _key(name: str) -> str:
    return re.sub(r"[\s()]", "", name).lower()


@cache
def _conventional() -> Settings:
    return tuple(gemmi.spacegroup_table())[:_CONVENTIONAL]


@cache
def _names() -> dict[str, Settings]:
    """Return the settings of each name: Hermann-Mauguin with old forms, Schoenflies."""
    import spglib  # it takes a while to load, and few files need it

    names: dict[str, dict[str, gemmi.SpaceGroup]] = defaultdict(dict)
    for setting in gemmi.spacegroup_table():
        for name in (setting.hm, setting.short_name(), _without_axes(setting)):
            names[_key(name)][setting.xhm()] = setting
        if setting.number >= 195 and "-3" in setting.hm:  # F m 3 m, before 1983
            names[_key(setting.hm.replace("-3", "3"))][setting.xhm()] = setting
    for hall, setting in enumerate(_conventional(), start=1):
        name = spglib.get_spacegroup_type(hall).schoenflies
        for form in (name, name.replace("^", ".")):  # D6h^4, D6h.4 of core CIF
            names[_key(form)][setting.xhm()] = setting
    return {name: tuple(settings.values()) for name, settings in names.items()}
