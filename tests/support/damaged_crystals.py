"""Damage to what a CIF says: its cell, its symmetry and its atoms."""

from collections.abc import Callable

import gemmi

_X, _Y, _Z = (f"_atom_site_fract_{axis}" for axis in "xyz")
_SYMBOL, _LABEL = "_atom_site_type_symbol", "_atom_site_label"
_OCCUPANCY = "_atom_site_occupancy"
_OPERATION = "_symmetry_equiv_pos_as_xyz"
_NAME, _NUMBER = "_symmetry_space_group_name_H-M", "_symmetry_Int_Tables_number"

Damage = Callable[[str], bytes]
CRYSTAL_DAMAGES: dict[str, Damage] = {}


def _named(function: Callable[[str], str]) -> Callable:
    def damaged(text: str) -> bytes:
        return function(text).encode()

    CRYSTAL_DAMAGES[function.__name__] = damaged
    return function


# The cell.


def _edit(text: str, change: Callable[[gemmi.cif.Block], object]) -> str:
    document = gemmi.cif.read_string(text)
    change(document[0])
    return document.as_string()


def _set(block: gemmi.cif.Block, tag: str, value: str, row: int = 0) -> None:
    block.find([tag])[row][0] = value


def _with_cell(name: str, **values: str) -> None:
    def damage(text: str) -> bytes:
        for item, value in values.items():
            text = _edit(text, lambda b, i=item, v=value: b.set_pair(f"_cell_{i}", v))
        return text.encode()

    CRYSTAL_DAMAGES[name] = damage


_ALL = dict.fromkeys
_with_cell("zero_length", length_a="0")
_with_cell("negative_length", length_b="-4.2")
_with_cell("huge_length", length_c="1e300")
_with_cell("tiny_lengths", **_ALL(("length_a", "length_b", "length_c"), "1e-4"))
_with_cell("unknown_length", length_a="?")
_with_cell("text_length", length_a="four")
_with_cell("comma_length", length_a="4,2")
_with_cell("zero_angle", angle_alpha="0")
_with_cell("straight_angle", angle_gamma="180")
_with_cell("impossible_angles", angle_alpha="30", angle_beta="30", angle_gamma="120")
_with_cell("flat_cell", angle_alpha="60", angle_beta="60", angle_gamma="119.9999")


@_named
def no_lengths(text: str) -> str:
    """Leave out the lines with the cell's lengths."""
    lines = text.split("\n")
    return "\n".join(line for line in lines if not line.startswith("_cell_length"))


@_named
def two_lengths(text: str) -> str:
    """Give one length twice, with different values."""
    return text.replace("\nloop_", "\n_cell_length_a 77.7\nloop_", 1)


@_named
def two_formulas(text: str) -> str:
    """Repeat a tag on which the structure does not depend."""
    return text.replace("\nloop_", "\n_chemical_formula_structural ''\nloop_", 1)


# The symmetry.


def _without_operations(text: str) -> str:
    head, _, tail = text.partition("loop_\n")
    return head + "loop_\n" + tail.partition("loop_\n")[2]


@_named
def no_symmetry(text: str) -> str:
    """Give neither operations nor the name or number of a group."""
    lines = _without_operations(text).split("\n")
    return "\n".join(line for line in lines if not line.startswith((_NAME, _NUMBER)))


@_named
def name_only(text: str) -> str:
    """Leave the operations to the name of the group."""
    return _without_operations(text)


@_named
def unknown_name(text: str) -> str:
    """Give a name that no group has, and neither number nor operations."""
    lines = unknown_name_with_number(text).split("\n")
    return "\n".join(line for line in lines if not line.startswith(_NUMBER))


@_named
def unknown_name_with_number(text: str) -> str:
    """Give a name that no group has, the right number, and no operations."""
    text = _without_operations(text)
    return _edit(text, lambda block: block.set_pair(_NAME, "'Q 7/m'"))


@_named
def contradicting_name(text: str) -> str:
    """Name another group than that of the operations."""
    return _edit(text, lambda block: block.set_pair(_NAME, "'I 41/a m d'"))


@_named
def missing_operation(text: str) -> str:
    """Leave out the second operation: the others do not form a group."""

    def change(block: gemmi.cif.Block) -> None:
        block.find(["_symmetry_equiv_pos_site_id", _OPERATION]).remove_row(1)

    return _edit(text, change)


@_named
def false_operation(text: str) -> str:
    """Shift one operation by a quarter."""
    return _edit(text, lambda b: _set(b, _OPERATION, "'-x+1/4, y, z'", 1))


@_named
def singular_operation(text: str) -> str:
    """Map the crystal onto a plane by one operation."""
    return _edit(text, lambda block: _set(block, _OPERATION, "'x, x, z'", 1))


@_named
def nonsense_operation(text: str) -> str:
    """Write a word where an operation stands."""
    return _edit(text, lambda block: _set(block, _OPERATION, "'x, y, oops'", 1))


@_named
def many_operations(text: str) -> str:
    """List a hundred thousand operations."""
    rows = "".join(f"{i} 'x+{i % 24}/24, y, z'\n" for i in range(100_000))
    return text.replace(f"{_OPERATION}\n", f"{_OPERATION}\n{rows}", 1)


# The atoms.


def _with_atom(name: str, tag: str, value: str, row: int = 0) -> None:
    CRYSTAL_DAMAGES[name] = lambda text: _edit(
        text, lambda block: _set(block, tag, value, row)
    ).encode()


_with_atom("text_coordinate", _X, "abc")
_with_atom("nan_coordinate", _X, "nan")
_with_atom("infinite_coordinate", _Y, "inf")
_with_atom("huge_coordinate", _Z, "1e300")
_with_atom("unknown_coordinate", _X, "?")
_with_atom("comma_coordinate", _X, "0,25")
_with_atom("fraction_coordinate", _Y, "1/3")
_with_atom("half_closed_uncertainty", _Z, "0.25(2")
_with_atom("unknown_element", _SYMBOL, "Qq")
_with_atom("dummy_element", _SYMBOL, "X")
_with_atom("superheavy_element", _SYMBOL, "Og")
_with_atom("vacancy", _SYMBOL, "Va")
_with_atom("high_occupancy", _OCCUPANCY, "1.8")
_with_atom("negative_occupancy", _OCCUPANCY, "-0.3")
_with_atom("unknown_occupancy", _OCCUPANCY, "?")
_with_atom("text_occupancy", _OCCUPANCY, "half")
_with_atom("partial_occupancy", _OCCUPANCY, "0.5")


@_named
def odd_numbers(text: str) -> str:
    """Write uncertainties, signs and numbers without a leading zero: all valid."""

    def change(block: gemmi.cif.Block) -> None:
        for row in block.find([_X, _Y, _Z]):
            row[0] = f"{row[0].lstrip('0') or '0'}(2)"  # .25(2)
            row[1] = f"+{row[1]}" if not row[1].startswith("-") else row[1]
            row[2] = f"{row[2]}e0"

    return _edit(text, change)


@_named
def missing_column(text: str) -> str:
    """Leave out the column of z."""
    return _edit(text, lambda block: _drop(block, _Z))


@_named
def missing_symbols(text: str) -> str:
    """Leave out the columns of elements and of labels."""
    text = _edit(text, lambda block: _drop(block, _SYMBOL))
    return _edit(text, lambda block: _drop(block, _LABEL))


@_named
def symbols_in_labels(text: str) -> str:
    """Name the elements by the labels alone."""
    return _edit(text, lambda block: _drop(block, _SYMBOL))


def _drop(block: gemmi.cif.Block, tag: str) -> None:
    loop = block.find_loop(_X).get_loop() or block.find_loop(_LABEL).get_loop()
    at = loop.tags.index(tag)
    columns = [list(block.find_loop(name)) for name in loop.tags]
    names = [name for name in loop.tags if name != tag]
    del columns[at]
    prefix = "_atom_site_"
    new = block.init_loop(prefix, [name.removeprefix(prefix) for name in names])
    for row in zip(*columns, strict=True):
        new.add_row(row)


@_named
def swapped_columns(text: str) -> str:
    """Exchange the headings of elements and of x."""
    text = text.replace(_SYMBOL, "@", 1).replace(_X, _SYMBOL, 1)
    return text.replace("@", _X, 1)


@_named
def atom_twice(text: str) -> str:
    """Repeat the last row of atoms."""
    return text.rstrip() + "\n" + text.rstrip().rpartition("\n")[2] + "\n"


@_named
def close_atoms(text: str) -> str:
    """Put another element a thousandth of an angstrom from the last atom."""
    *_, label, multiplicity, x, y, z, occupancy = text.split()
    x = f"{float(x) + 2e-4:.6f}"
    return text.rstrip() + f"\n Au {label}b {multiplicity} {x} {y} {z} {occupancy}\n"


@_named
def equal_labels(text: str) -> str:
    """Give all atoms the same label."""

    def change(block: gemmi.cif.Block) -> None:
        for row in range(len(block.find([_LABEL]))):
            _set(block, _LABEL, "A1", row)

    return _edit(text, change)


@_named
def million_rows(text: str) -> str:
    """List a million atoms."""
    return (
        text.partition("loop_")[0]
        + f"loop_\n {_SYMBOL}\n {_X}\n {_Y}\n {_Z}\n"
        + "Si .1 .2 .3\n" * 1_000_000
    )


@_named
def many_images(text: str) -> str:
    """List five thousand atoms in a group of 192 operations."""
    lines = _without_operations(text)[: _without_operations(text).index("loop_")]
    lines = _edit(lines, lambda block: block.set_pair(_NAME, "'F m -3 m'"))
    rows = "".join(f"Si 0.{i:04d} 0.2{i:04d} 0.3{i:04d}\n" for i in range(5000))
    return lines + f"loop_\n {_SYMBOL}\n {_X}\n {_Y}\n {_Z}\n" + rows
