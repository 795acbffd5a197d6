"""What a CIF states of its space group by names or a number, and what it may mean."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import gemmi

from cloud_jax.structures.cif_text import string
from cloud_jax.structures.operations import Operations, as_arrays
from cloud_jax.structures.settings import (
    Settings,
    of_choice,
    settings_of_name,
    settings_of_number,
)

# Tags that state a group: _symmetry_space_group_name_H-M, _space_group_IT_number ...
_CATEGORIES = ("_symmetry", "_space_group", "_parent_space", "_magnetic_space")
_STATEMENT = re.compile(
    "_(?:symmetry|space_group|symmetry_space_group)(?:_name|_symbol)?"
    "(?:_(hall|h-m|schoenflies)(?:_alt|_full|_ref)?|(?:_int_tables|_it)?_(number|no))?"
)
# ... a magnetic group, or the group of the crystal without moments.
_MAGNETIC = re.compile(
    r"_(?:space_group_magn|magnetic_space_group|(parent)_space_group)[._]"
    r"[\w.]*(?:name|number)[\w.-]*"
)
_P1 = re.compile(r"1(?:\.1){0,2}|P ?1(?:\.1)?")
_NUMBER = re.compile(r"\D*(\d{1,3})(?:\.0*)?(?:\s*:\s*(\w+))?\W*")  # 227 or 227:2


class Statement(NamedTuple):
    """A group that a file states by a name or a number.

    Attributes:
        text: tag and value, for messages.
        number: of the space group; 0 for a Hall name whose setting is in no table.
        groups: the operations of each setting that it may mean, the usual one first.
    """

    text: str
    number: int
    groups: tuple[Operations, ...]


class Statements(NamedTuple):
    """All that a file states of its group.

    Attributes:
        known: groups that we know, the most exact statement first.
        unknown: what we cannot read, as words.
        magnetic: what is said of a magnetic group, as words.
        parent: what is said of the group without moments, as words.
    """

    known: list[Statement]
    unknown: list[str]
    magnetic: list[str]
    parent: list[str]


def statements_of(block: gemmi.cif.Block) -> Statements:
    """Return what a block states of its space group."""
    known: list[tuple[tuple[int, int], Statement]] = []
    others: dict[str, list[str]] = {"unknown": [], "magnetic": [], "parent": []}
    choice = string(block, "_space_group_IT_coordinate_system_code")
    for tag, kind, value in _said(block):
        if kind in others:
            if not _P1.fullmatch(value):
                others[kind].append(f"{tag}: found {value!r}")
            continue
        number, groups = _READERS[kind](value, choice)
        if groups:
            rank = len(groups), list(_READERS).index(kind)
            known.append((rank, Statement(f"{tag} {value!r}", number, groups)))
        else:
            others["unknown"].append(f"{tag}: found {value!r}")
    known.sort(key=lambda item: item[0])
    return Statements([statement for _, statement in known], **others)


def _said(block: gemmi.cif.Block) -> Iterator[tuple[str, str, str]]:
    """Yield tag, kind and value of each statement that has a value."""
    for item in block:
        pair, loop = item.pair, item.loop
        for tag in pair[:1] if pair else loop.tags if loop else ():
            if kind := _kind(tag):
                value = string(block, tag).strip(" '")
                if value not in ("", "?", ".", "0"):
                    yield tag, kind, value


@lru_cache(maxsize=4096)  # files have much the same tags
def _kind(tag: str) -> str:
    tag = tag.lower()
    if not tag.startswith(_CATEGORIES):
        return ""
    if found := _STATEMENT.fullmatch(tag):
        return "number" if found[2] else found[1] or "h-m"
    if found := _MAGNETIC.fullmatch(tag):
        return "parent" if found[1] else "magnetic"
    return ""


@lru_cache(maxsize=512)
def _read_hall(name: str, choice: str) -> tuple[int, tuple[Operations, ...]]:
    del choice  # the name has it
    try:
        operations = gemmi.symops_from_hall(re.sub(r"\s+([\"'*])", r"\1", name))
    except (RuntimeError, ValueError):
        return 0, ()
    setting = gemmi.find_spacegroup_by_ops(operations)
    return setting.number if setting else 0, (as_arrays(operations),)


@lru_cache(maxsize=512)
def _read_name(name: str, choice: str) -> tuple[int, tuple[Operations, ...]]:
    settings = settings_of_name(name)
    settings = of_choice(settings, choice) or settings
    return settings[0].number if settings else 0, groups_of(settings)


@lru_cache(maxsize=512)
def _read_number(text: str, choice: str) -> tuple[int, tuple[Operations, ...]]:
    found = _NUMBER.fullmatch(text)
    settings = settings_of_number(int(found[1])) if found else ()
    if found and found[2]:
        settings = of_choice(settings, found[2])
    settings = of_choice(settings, choice) or settings
    return settings[0].number if settings else 0, groups_of(settings)


def groups_of(settings: Settings) -> tuple[Operations, ...]:
    """Return the operations of each setting."""
    return tuple(_group(setting.hall) for setting in settings)


@lru_cache(maxsize=1024)  # all settings there are
def _group(hall: str) -> Operations:
    return as_arrays(gemmi.symops_from_hall(hall))


# The most exact first; of two statements the one with fewer settings goes before.
_READERS = {
    "hall": _read_hall,
    "h-m": _read_name,
    "schoenflies": _read_name,
    "number": _read_number,
}
