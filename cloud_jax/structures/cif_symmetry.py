"""The space group of a CIF: operations that it lists, names or numbers."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

import gemmi

from cloud_jax.structures.cif_text import number, string, strings
from cloud_jax.structures.operations import (
    Lattice,
    Operations,
    as_arrays,
    misfit,
    parse_operations,
)
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.settings import (
    Settings,
    of_choice,
    settings_of_name,
    settings_of_number,
)

# Listed operations, and centrings to combine those of magnetic CIFs with.
IDENTITY = as_arrays([gemmi.Op("x,y,z")])
_OPERATIONS = (
    ("_symmetry_equiv_pos_as_xyz", ""),
    ("_space_group_symop_operation_xyz", ""),
    ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz"),
)
_MODULATED = (
    "_cell_wave_vector_x",
    "_cell_subsystems_number",
    "_space_group_ssg_name",
    "_space_group_ssg_name_IT",
    "_space_group_ssg_name_WJJ",
    "_space_group_ssg_IT_number",
    "_space_group_magn_ssg_name",
    "_space_group_symop_ssg_operation_algebraic",
    "_space_group_symop_magn_ssg_operation_algebraic",
)
# Tags that state a magnetic group, or the group of the crystal without moments.
_MAGNETIC = re.compile(
    r"_(?:space_group_magn|magnetic_space_group|parent_space_group)[._]"
    r"[\w.]*(?:name|number)[\w.-]*",
    re.IGNORECASE,
)
_P1 = re.compile(r"1\.1(?:\.1)?|P ?1(?:\.1)?|1")
# Tags that state a group: _symmetry_space_group_name_H-M, _space_group_IT_number ...
_STATEMENT = re.compile(
    "_(?:symmetry|space_group|symmetry_space_group)(?:_name|_symbol)?"
    "(?:_(hall|h-m|schoenflies)(?:_alt|_full|_ref)?|(?:_int_tables|_it)?_(number|no))?",
    re.IGNORECASE,
)
_KINDS = ("hall", "h-m", "schoenflies", "number")  # the most exact statement first
_NUMBER = re.compile(r"\D*(\d{1,3})(?:\.0*)?(?:\s*:\s*(\w+))?\W*")  # 227 or 227:2
REPAIRED = "symmetry_repaired"


class Readings(NamedTuple):
    """Groups of operations that a file may mean.

    Attributes:
        groups: the operations of each group, the usual one first.
        flag: of the crystal that one of them gives.
        unique: whether one of them is right only if no other fits the file.
        refusal: why they cannot be right, empty if they can: a lattice that does not
            suit may itself be wrong, which the crystal that they give shows.
    """

    groups: list[Operations]
    flag: str = ""
    unique: bool = False
    refusal: str = ""


class _Statement(NamedTuple):
    """A group that a file states by a name or a number, and what it may mean.

    Its number is 0 for a Hall name of a setting that is in no table.
    """

    text: str
    number: int
    groups: tuple[Operations, ...]


def readings_of(block: gemmi.cif.Block, lattice: Lattice) -> Iterator[Readings]:
    """Yield the operations that a block may mean, those that it says first.

    All of them fit the lattice. What a file lists goes before a Hall name, that before
    other names, and these before a number.

    Raises:
        Rejection: the symmetry is unknown, contradicts itself or the lattice, or is
            not that of a three-dimensional crystal.
    """
    _refuse_modulated(block)
    tag, listed = _listed(block)
    if listed is None:
        yield from _stated_readings(block, lattice)
    elif len(listed[0]) == 1:
        yield from _readings_of_identity(block, lattice, listed)
    else:
        problem = misfit(listed, lattice)
        yield Readings([listed], refusal=problem and f"{tag}: {problem}")
        statements, _ = _statements(block)
        if statements:
            named = _fitting(statements[0].groups, lattice)
            yield Readings(named, REPAIRED, unique=True)
        yield _other_settings(statements, lattice)


def _refuse_modulated(block: gemmi.cif.Block) -> None:
    dimension = number(block, "_cell_modulation_dimension")
    names = [tag for tag in _MODULATED if strings(block, tag)]
    if dimension >= 1 or names:
        raise Rejection(
            "bad_symmetry",
            f"found a modulated structure ({names[0] if names else dimension}): its "
            "atoms repeat in no cell; give the average structure or a superstructure",
        )


def _listed(block: gemmi.cif.Block) -> tuple[str, Operations | None]:
    for tag, centring in _OPERATIONS:
        if triplets := strings(block, tag):
            centrings = strings(block, centring) if centring else ()
            return tag, parse_operations(tag, tuple(triplets), tuple(centrings))
    return "", None


def _stated_readings(block: gemmi.cif.Block, lattice: Lattice) -> Iterator[Readings]:
    """Yield readings of a block that lists no operations."""
    statements, unknown = _statements(block)
    if unknown and not statements:
        raise Rejection(
            "bad_symmetry",
            f"{unknown[0]}, which is no space group we know, and no list of "
            "operations; add _symmetry_equiv_pos_as_xyz rows",
        )
    _refuse_magnetic(block)
    if not statements:
        yield Readings([IDENTITY])
        return
    stated = " and ".join(statement.text for statement in statements)
    usual = statements[0].groups
    if len({s.number for s in statements if s.number}) > 1:
        yield Readings([usual[0]], refusal=f"{stated} are not one space group")
        groups = [group for statement in statements for group in statement.groups]
        yield Readings(_fitting(groups, lattice), REPAIRED, unique=True)
    elif fitting := _fitting(usual, lattice):
        # An unknown name beside the group may have meant another setting.
        yield Readings(fitting, "setting_assumed" if unknown else "")
    else:
        refusal = f"{stated}: {misfit(usual[0], lattice)}"
        yield Readings([usual[0]], refusal=refusal)
    yield _other_settings(statements, lattice)


def _readings_of_identity(
    block: gemmi.cif.Block, lattice: Lattice, identity: Operations
) -> Iterator[Readings]:
    """Yield readings of a block that lists x,y,z alone.

    A program that does not know symmetry lists it, with all atoms or with those of the
    file that it read. Then the group that is named has more.
    """
    if named := [s for s in _statements(block)[0] if s.number != 1]:
        yield Readings(_fitting(named[0].groups, lattice), REPAIRED)
    else:
        _refuse_magnetic(block, listed=True)
    yield Readings([identity])


def _refuse_magnetic(block: gemmi.cif.Block, listed: bool = False) -> None:
    for tag, _, name in _values(block, _MAGNETIC):
        if not _P1.fullmatch(name) and not (listed and tag.startswith("_parent")):
            raise Rejection(
                "bad_symmetry",
                f"{tag}: found {name!r} without operations; add "
                "_space_group_symop_magn_operation.xyz rows",
            )


def _fitting(groups: Iterable[Operations], lattice: Lattice) -> list[Operations]:
    return [group for group in groups if not misfit(group, lattice)]


def _other_settings(statements: list[_Statement], lattice: Lattice) -> Readings:
    """Return all settings of the groups that a file states."""
    numbers = dict.fromkeys(s.number for s in statements if s.number)
    groups = [g for n in numbers for g in _groups(settings_of_number(n))]
    return Readings(_fitting(groups, lattice), REPAIRED, unique=True)


def _statements(block: gemmi.cif.Block) -> tuple[list[_Statement], list[str]]:
    """Return the groups that a block states, the most exact first, and unknown ones."""
    choice = string(block, "_space_group_IT_coordinate_system_code")
    found, unknown = [], []
    for tag, match, value in _values(block, _STATEMENT):
        kind = "number" if match[2] else (match[1] or "h-m").lower()
        read = {"hall": _read_hall, "number": _read_number}.get(kind, _read_name)
        number, groups = read(value, choice)
        if groups:
            found.append((kind, _Statement(f"{tag} {value!r}", number, groups)))
        else:
            unknown.append(f"{tag}: found {value!r}")
    found.sort(key=lambda item: _KINDS.index(item[0]))
    return [statement for _, statement in found], unknown


def _values(
    block: gemmi.cif.Block, pattern: re.Pattern
) -> Iterator[tuple[str, re.Match, str]]:
    """Yield each tag that a pattern matches, the match and the value, if it has one."""
    for item in block:
        tags = [item.pair[0]] if item.pair else item.loop.tags if item.loop else []
        for tag in tags:
            if not (found := pattern.fullmatch(tag)):
                continue
            value = string(block, tag).strip(" '")
            if value not in ("", "?", ".", "0"):
                yield tag, found, value


@lru_cache(maxsize=512)
def _read_hall(name: str, choice: str) -> tuple[int, tuple[Operations, ...]]:
    del choice  # the name has it
    try:
        operations = gemmi.symops_from_hall(name)
    except (RuntimeError, ValueError):
        return 0, ()
    setting = gemmi.find_spacegroup_by_ops(operations)
    return setting.number if setting else 0, (as_arrays(operations),)


@lru_cache(maxsize=512)
def _read_name(name: str, choice: str) -> tuple[int, tuple[Operations, ...]]:
    settings = of_choice(settings_of_name(name), choice)
    return settings[0].number if settings else 0, _groups(settings)


@lru_cache(maxsize=512)
def _read_number(text: str, choice: str) -> tuple[int, tuple[Operations, ...]]:
    found = _NUMBER.fullmatch(text)
    settings = settings_of_number(int(found[1])) if found else ()
    settings = of_choice(settings, (found[2] if found else "") or choice)
    return settings[0].number if settings else 0, _groups(settings)


def _groups(settings: Settings) -> tuple[Operations, ...]:
    return tuple(_group(setting.hall) for setting in settings)


@lru_cache(maxsize=1024)  # all settings there are
def _group(hall: str) -> Operations:
    return as_arrays(gemmi.symops_from_hall(hall))
