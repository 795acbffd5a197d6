"""The space group of a CIF: operations that it lists, names or numbers."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import gemmi

from cloud_jax.structures.cif_statements import Statement, groups_of, statements_of
from cloud_jax.structures.cif_text import number, strings
from cloud_jax.structures.operations import (
    Lattice,
    Operations,
    as_arrays,
    extend,
    misfit,
    n_rotations,
    parse_operations,
)
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.settings import settings_of_number

REPAIRED = "symmetry_repaired"
IDENTITY = as_arrays([gemmi.Op("x,y,z")])
# Listed operations, and centrings to combine those of magnetic CIFs with.
_OPERATIONS = (
    ("_symmetry_equiv_pos_as_xyz", ""),
    ("_space_group_symop_operation_xyz", ""),
    ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz"),
)
_MODULATED = (
    "_cell_wave_vector_x",
    "_atom_site_fourier_wave_vector_x",
    "_cell_subsystems_number",
    "_space_group_ssg_name",
    "_space_group_ssg_name_IT",
    "_space_group_ssg_name_WJJ",
    "_space_group_ssg_IT_number",
    "_space_group_magn_ssg_name",
    "_space_group_symop_ssg_operation_algebraic",
    "_space_group_symop_magn_ssg_operation_algebraic",
)


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


def readings_of(block: gemmi.cif.Block, lattice: Lattice) -> Iterator[Readings]:
    """Yield the operations that a block may mean, those that it says first.

    All of them fit the lattice. What a file lists goes before what it names or numbers;
    of names and numbers, the one that leaves the fewest settings open goes first.

    Raises:
        Rejection: the symmetry is unknown, contradicts itself or the lattice, or is
            not that of a three-dimensional crystal.
    """
    _refuse_modulated(block)
    tag, listed, no_group = _listed(block)
    if listed is None:
        yield from _stated_readings(block, lattice)
        return
    statements = statements_of(block)
    if len(listed[0]) == 1:
        _refuse_magnetic(statements.magnetic)
    named = [s for s in statements.known if s.number != 1][:1]
    groups = _fitting((group for s in named for group in s.groups), lattice)
    # Programs that know no symmetry list x,y,z alone, others leave out centrings; the
    # atoms are those of the file that was read, or all of the cell.
    wider = [group for group in groups if extend(group, listed)]
    if no_group:  # as a list without centrings may be
        wider = [group for group in wider if n_rotations(group) == len(listed[0])]
        if not wider:
            raise Rejection("bad_symmetry", f"{tag}: {no_group}")
    yield Readings(wider, REPAIRED)
    problem = no_group or misfit(listed, lattice)
    yield Readings([listed], refusal=problem and f"{tag}: {problem}")
    yield Readings(groups, REPAIRED, unique=True)
    yield _other_settings(statements.known, lattice)


def _refuse_modulated(block: gemmi.cif.Block) -> None:
    dimension = number(block, "_cell_modulation_dimension")
    tags = [tag for tag in _MODULATED if len(block.find_values(tag))]
    names = [tag for tag in tags if strings(block, tag)]
    if dimension >= 1 or names:
        raise Rejection(
            "bad_symmetry",
            f"found a modulated structure ({names[0] if names else dimension}): its "
            "atoms repeat in no cell; give the average structure or a superstructure",
        )


def _listed(block: gemmi.cif.Block) -> tuple[str, Operations | None, str]:
    """Return tag and operations of a list, and why they are no group."""
    for tag, centring in _OPERATIONS:
        if triplets := strings(block, tag):
            centrings = strings(block, centring) if centring else ()
            return tag, *parse_operations(tag, tuple(triplets), tuple(centrings))
    return "", None, ""


def _stated_readings(block: gemmi.cif.Block, lattice: Lattice) -> Iterator[Readings]:
    """Yield readings of a block that lists no operations."""
    known, unknown, magnetic, parent = statements_of(block)
    _refuse_magnetic(magnetic + parent)
    if not known:
        if unknown:
            raise Rejection(
                "bad_symmetry",
                f"{unknown[0]}, which is no space group we know, and no list of "
                "operations; add _symmetry_equiv_pos_as_xyz rows",
            )
        yield Readings([IDENTITY])
        return
    stated = " and ".join(statement.text for statement in known)
    usual = known[0].groups
    if len({s.number for s in known if s.number}) > 1:
        refusal = f"{stated} are not one space group; correct one of them"
        yield Readings([usual[0]], refusal=refusal)
        groups = [group for statement in known for group in statement.groups]
        yield Readings(_fitting(groups, lattice), REPAIRED, unique=True)
    elif fitting := _fitting(usual, lattice):
        # An unknown name beside the group may have meant another setting.
        yield Readings(fitting, "setting_assumed" if unknown else "")
    else:
        refusal = f"{stated}: {misfit(usual[0], lattice)}"
        yield Readings([usual[0]], refusal=refusal)
    yield _other_settings(known, lattice)


def _refuse_magnetic(found: list[str]) -> None:
    if found:
        raise Rejection(
            "bad_symmetry",
            f"{found[0]} without operations; add "
            "_space_group_symop_magn_operation.xyz rows",
        )


def _fitting(groups: Iterable[Operations], lattice: Lattice) -> list[Operations]:
    return [group for group in groups if not misfit(group, lattice)]


def _other_settings(statements: list[Statement], lattice: Lattice) -> Readings:
    """Return all settings of the groups that a file states."""
    numbers = dict.fromkeys(s.number for s in statements if s.number)
    groups = [group for n in numbers for group in groups_of(settings_of_number(n))]
    return Readings(_fitting(groups, lattice), REPAIRED, unique=True)
