"""CIFs to cells: what pymatgen's parser gives, an order of magnitude faster."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache

import gemmi
import numpy as np
from jaxtyping import Float

from cloud_jax.structures.cell import FARTHEST, MAX_SITES, Cell, Occupants, element_of
from cloud_jax.structures.rejection import Rejection

SITE_TOLERANCE = 1e-4  # fractional; images closer than this are one site, as pymatgen
_FRACTION_TOLERANCE = 1e-4  # 0.3333 is meant as 1/3 when this close, relative
_FORMULA_TOLERANCE = 0.02  # relative; formulas are rounded
_MAX_IMAGES = 100_000  # rows times operations, before equal images are merged
_MAX_OPERATIONS = 8 * 192  # of the largest groups, in a cell twice as long each way
_MAX_REMARKS = 20  # lines passed over, since each costs another reading
_FRACTIONAL = ["fract_x", "fract_y", "fract_z"]
_OPERATIONS = (
    "_symmetry_equiv_pos_as_xyz",
    "_space_group_symop_operation_xyz",
    "_space_group_symop.operation_xyz",
)
# Magnetic CIFs: operations with a time reversal, and centrings to combine them with.
_MAGNETIC = (
    ("_space_group_symop_magn_operation.xyz", "_space_group_symop_magn_centering.xyz"),
    ("_space_group_symop.magn_operation_xyz", "_space_group_symop.magn_centering_xyz"),
    ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_centering_xyz"),
)
_HALL_NAMES = ("_symmetry_space_group_name_Hall", "_space_group_name_Hall")
_SPACE_GROUP_NAMES = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt")
_SPACE_GROUP_NUMBERS = ("_symmetry_Int_Tables_number", "_space_group_IT_number")
# A file may say these only once; of all else the first is taken.
_ONCE = ("_cell_", "_atom_site_", "_symmetry_", "_space_group_")
_SYNTAX = re.compile(r"^string:(\d+)(?::\d+\(\d+\))?: ?(.*)", re.DOTALL)
_ADVICE = {
    "expected block header": "a CIF begins with data_ and a name",
    "Wrong number of values": "rows must be whole: a value is missing or one too many, "
    "or text with spaces lacks quotes",
    "unterminated": "the closing quote or semicolon is missing",
    "parse error": "expected a tag, one value (text with spaces in quotes) or loop_",
}

Operations = tuple[Float[np.ndarray, "m 3 3"], Float[np.ndarray, "m 3"]]


def read_cif(text: str) -> Cell:
    """Read the first data block of a CIF that holds atoms.

    Where there are more, the cell is flagged `first_of_several`; where the atoms are
    not those of `_chemical_formula_sum`, `formula_differs`.

    The result is what pymatgen's parser gives: sites are expanded by the listed
    operations, images closer than 1e-4 merged, and coordinates within 1e-4 of 1/3 or
    2/3 snapped to them.

    Raises:
        Rejection: not a CIF, no atoms, or values that are no structure.
    """
    document = _parse(text)
    tables = [block.find("_atom_site_", _FRACTIONAL) for block in document]
    filled = [i for i, table in enumerate(tables) if len(table)]
    if not filled:
        raise Rejection(
            "no_atoms", "found no data block with _atom_site_fract_x, _y and _z rows"
        )
    cell = _read_block(document[filled[0]], tables[filled[0]])
    if len(filled) > 1:
        cell = cell.flagged("first_of_several")
    return cell


def _parse(text: str) -> gemmi.cif.Document:
    text = text.removeprefix("\ufeff")  # some editors put it in front of a text
    if not text.strip():
        raise Rejection("no_atoms", "the text is empty")
    if text.lstrip()[:1] == "<":
        found = text.lstrip()[:40]
        raise Rejection("unreadable", f"not a CIF but a web page or XML: {found!r}")
    if not text.isascii():  # names of authors; nothing that is read here
        text = text.encode("ascii", "replace").decode()
    if "\r" in text:  # alone it ends a line on old Macs, but for gemmi no comment
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines: list[str] = []
    for _ in range(_MAX_REMARKS):
        try:
            return gemmi.cif.read_string(text)
        except RuntimeError:  # a tag without a value, or twice: it need not matter
            return _checked(gemmi.cif.read_string(text, check_level=0))
        except ValueError as error:
            found = _SYNTAX.match(str(error))
            number, problem = int(found[1]), found[2][:80]
            lines = lines or text.split("\n")
            line = lines[number - 1].strip() if number <= len(lines) else ""
            remark = line.startswith("_") and not line.lower().startswith(_ONCE)
            if not remark or problem != "parse error" or len(line.split()) < 3:
                break
            lines[number - 1] = ""  # text without quotes that nothing here depends on
            text = "\n".join(lines)
    advice = next((a for key, a in _ADVICE.items() if key in problem), "")
    raise Rejection(
        "unreadable",
        f"not a CIF: line {number} {line[:60]!r}: {problem}; {advice}",
    )


def _checked(document: gemmi.cif.Document) -> gemmi.cif.Document:
    """Reject what is said twice of a structure, unless it is the same."""
    for block in document:
        said: dict[str, str | None] = {}
        for item in block:
            pairs = [item.pair] if item.pair else []
            if item.loop:
                pairs = [(tag, None) for tag in item.loop.tags]
            for tag, value in pairs:
                tag = tag.lower()
                if not tag.startswith(_ONCE):
                    continue
                if tag in said and (value is None or said[tag] != value):
                    raise Rejection(
                        "ambiguous",
                        f"{tag} is given twice, first as {said[tag] or 'a loop'}, then "
                        f"as {value or 'a loop'}; expected one",
                    )
                said[tag] = value
    return document


def _read_block(block: gemmi.cif.Block, table: gemmi.cif.Table) -> Cell:
    if len(table) > MAX_SITES:
        raise Rejection(
            "too_many_sites",
            f"found {len(table):,} rows of atoms, expected at most {MAX_SITES:,}",
        )
    fractional = np.array([[gemmi.cif.as_number(v) for v in row] for row in table])
    sites = _occupants(block, len(fractional))
    present = np.array([amount != 0.0 for ((_, amount),) in sites])
    if not present.any():
        raise Rejection("no_atoms", "all atoms have occupancy 0")
    if not present.all():  # listed, but not there
        table = [row for row, here in zip(table, present, strict=True) if here]
        sites = [site for site in sites if site[0][1] != 0.0]
        fractional = fractional[present]
    if not np.abs(fractional).max() <= FARTHEST:  # NaN neither
        usable = (np.abs(fractional) <= FARTHEST).all(axis=1)
        row = int(np.flatnonzero(~usable)[0])
        raise Rejection(
            "bad_coordinates",
            f"atom {row + 1} ({sites[row][0][0]}): found {', '.join(table[row])}, "
            "expected three numbers, such as 0.3333 or 0.3333(2)",
        )
    for ideal in (1 / 3, 2 / 3):
        fractional[np.abs(fractional / ideal - 1) <= _FRACTION_TOLERANCE] = ideal
    operations = _operations(block)
    if len(operations[0]) > 1 or any(amount != 1.0 for ((_, amount),) in sites):
        fractional, sites = _expand(fractional, sites, operations)
    cell = Cell.from_sites(_lattice(block), fractional, sites)
    if _formula_differs(_string(block, "_chemical_formula_sum"), cell):
        cell = cell.flagged("formula_differs")
    return cell


def _occupants(block: gemmi.cif.Block, n: int) -> list[Occupants]:
    symbols = block.find_values("_atom_site_type_symbol")
    if not len(symbols):
        symbols = block.find_values("_atom_site_label")
    if len(symbols) != n:
        raise Rejection(
            "unreadable",
            "found neither _atom_site_type_symbol nor _atom_site_label beside the "
            "coordinates",
        )
    values = block.find_values("_atom_site_occupancy")
    amounts = [_occupancy(v) for v in values] if len(values) else [1.0] * n
    return [
        ((gemmi.cif.as_string(symbol), amount),)
        for symbol, amount in zip(symbols, amounts, strict=True)
    ]


def _occupancy(value: str) -> float:
    amount = 1.0 if gemmi.cif.is_null(value) else gemmi.cif.as_number(value)
    if not 0 <= amount <= 1.005:  # NaN neither; rounded sums may pass one a little
        raise Rejection(
            "occupancy", f"found occupancy {value}, expected a number from 0 to 1"
        )
    return amount


def _lattice(block: gemmi.cif.Block) -> Float[np.ndarray, "3 3"]:
    names = [f"_cell_length_{i}" for i in "abc"]
    names += [f"_cell_angle_{i}" for i in ("alpha", "beta", "gamma")]
    values = {
        name: gemmi.cif.as_number(block.find_value(name) or "?") for name in names
    }
    for name, value in values.items():
        if not math.isfinite(value) or value <= 0:
            found = block.find_value(name)
            raise Rejection(
                "bad_lattice",
                f"{name}: found {found or 'nothing'}, expected a positive number",
            )
    lattice = np.array(gemmi.UnitCell(*values.values()).orth.mat.tolist()).T
    if max(list(values.values())[3:]) >= 180 or not np.isfinite(lattice).all():
        raise Rejection(
            "bad_lattice",
            f"found angles {list(values.values())[3:]}, which no cell can have",
        )
    return lattice


def _formula_differs(formula: str, cell: Cell) -> bool:
    """Return whether the formula names other elements or amounts than the cell."""
    said: Counter[str] = Counter()
    try:
        for symbol, amount in re.findall(r"([A-Z][a-z]?)\s?([\d.]*)", formula):
            said[element_of(symbol)] += float(amount or 1)
    except ValueError:  # a formula with variables; a Rejection is one too
        return False
    found: Counter[str] = Counter()
    for kind, n in Counter(cell.species).items():
        for element, amount in ((kind, 1.0),) if isinstance(kind, str) else kind:
            found[element] += n * amount
    if not said or not sum(said.values()):
        return False
    scale = sum(found.values()) / sum(said.values())
    return any(
        abs(said[e] * scale - found[e]) > _FORMULA_TOLERANCE * found[e]
        for e in said | found
    )


def _operations(block: gemmi.cif.Block) -> Operations:
    """Return the operations that a block lists, names or numbers, in that order."""
    for tag in _OPERATIONS:
        if triplets := _strings(block, tag):
            return _listed(tag, tuple(triplets))
    for tag, centring_tag in _MAGNETIC:
        if triplets := _strings(block, tag):
            centrings = _strings(block, centring_tag)
            return _listed(tag, tuple(triplets), tuple(centrings))
    for tag in _HALL_NAMES:
        with suppress(RuntimeError, ValueError):  # then the other name has to do
            if name := _string(block, tag):
                return _arrays(gemmi.symops_from_hall(name))
    for tag in _SPACE_GROUP_NAMES:
        if name := _string(block, tag):
            return _operations_of_name(block, tag, name)
    for tag in _SPACE_GROUP_NUMBERS:
        number = gemmi.cif.as_number(block.find_value(tag) or "?")
        if number in range(1, 231):
            group = gemmi.find_spacegroup_by_number(int(number))
            return _arrays(group.operations())
    return _arrays([gemmi.Op("x,y,z")])


def _strings(block: gemmi.cif.Block, tag: str) -> list[str]:
    """Return the values of a tag, whether it stands in a loop or alone."""
    return [gemmi.cif.as_string(value) for value in block.find_values(tag)]


def _string(block: gemmi.cif.Block, tag: str) -> str:
    return gemmi.cif.as_string(block.find_value(tag) or "")


@lru_cache(maxsize=512)  # the lists of the 230 groups come again and again
def _listed(
    tag: str, triplets: tuple[str, ...], centrings: tuple[str, ...] = ()
) -> Operations:
    """Parse listed operations, time reversal dropped, and check that they close."""
    try:
        operations = [gemmi.Op(",".join(t.split(",")[:3])) for t in triplets]
        shifts = [gemmi.Op(",".join(t.split(",")[:3])) for t in centrings]
    except (RuntimeError, ValueError) as error:
        raise Rejection("bad_symmetry", f"{tag}: {str(error)[:200]}") from None
    count = len(operations) * max(1, len(shifts))
    if count > _MAX_OPERATIONS:
        raise Rejection(
            "bad_symmetry",
            f"{tag}: found {count:,} operations, a space group has at most 192",
        )
    if shifts:
        operations = [a * b for a in shifts for b in operations]
    missing = _not_closed(operations)
    if missing:
        raise Rejection(
            "bad_symmetry",
            f"{tag}: the {len(operations)} operations are no group: {missing}",
        )
    return _arrays(operations)


def _not_closed(operations: Sequence[gemmi.Op]) -> str:
    """Say why a list of operations is no space group; empty if it is one."""
    for op in operations:
        if abs(op.det_rot()) != gemmi.Op.DEN**3:
            return f"{op.triplet()} changes the volume"
    rotations = np.array([op.rot for op in operations]) // gemmi.Op.DEN
    shifts = np.array([op.tran for op in operations])
    # One number an operation; those of a group are closed under multiplication.
    weights = 31 ** np.arange(12)

    def numbers(r: np.ndarray, t: np.ndarray) -> np.ndarray:
        parts = np.concatenate([r.reshape(*r.shape[:-2], 9), t % gemmi.Op.DEN], axis=-1)
        return parts @ weights

    products = numbers(
        rotations[:, None] @ rotations[None],
        np.einsum("aij,bj->abi", rotations, shifts) + shifts[:, None],
    )
    outside = ~np.isin(products, numbers(rotations, shifts))
    if not outside.any():
        return ""
    first, second = (operations[i] for i in np.argwhere(outside)[0])
    product = (first * second).wrap()
    return (
        f"{first.triplet()} after {second.triplet()} is {product.triplet()}, which is "
        "not listed"
    )


def _arrays(operations: Sequence[gemmi.Op]) -> Operations:
    operations = list(operations)
    rotations = np.array([op.rot for op in operations]) / gemmi.Op.DEN
    return rotations, np.array([op.tran for op in operations]) / gemmi.Op.DEN


def _operations_of_name(block: gemmi.cif.Block, tag: str, name: str) -> Operations:
    alpha, gamma = (
        gemmi.cif.as_number(block.find_value(f"_cell_angle_{angle}") or "?")
        for angle in ("alpha", "gamma")
    )
    # ICSD marks the origin choice by a last letter: S for the first, Z the second.
    usual = re.sub(r"\s+S$", ":1", re.sub(r"\s+Z$", ":2", name.replace("_", "")))
    group = gemmi.find_spacegroup_by_name(usual, alpha, gamma)
    if group is None:
        raise Rejection(
            "bad_symmetry",
            f"{tag}: found {name!r}, which is no space group we know, and no list of "
            "operations; add _symmetry_equiv_pos_as_xyz rows",
        )
    return _arrays(group.operations())


def _expand(
    fractional: Float[np.ndarray, "n 3"], sites: list[Occupants], operations: Operations
) -> tuple[Float[np.ndarray, "k 3"], list[Occupants]]:
    """Merge rows on one point into mixed sites, then add all images."""
    rotations, shifts = operations
    if len(fractional) * len(rotations) > _MAX_IMAGES:
        raise Rejection(
            "too_many_sites",
            f"found {len(fractional):,} rows of atoms and {len(rotations)} operations, "
            f"expected at most {_MAX_IMAGES:,} images",
        )
    points = np.empty_like(fractional)
    images: list[np.ndarray] = []
    occupants: list[Occupants] = []
    for point, site in zip(fractional, sites, strict=True):
        orbit = rotations @ point + shifts
        seen = points[: len(occupants)]
        match = np.flatnonzero(_same_point(orbit[:, None], seen).any(axis=0))
        if len(match):
            occupants[match[0]] += site
        else:
            points[len(occupants)] = point
            images.append(_distinct(orbit - np.floor(orbit)))
            occupants.append(site)
    expanded = [
        site
        for site, orbit in zip(occupants, images, strict=True)
        for _ in range(len(orbit))
    ]
    return np.concatenate(images), expanded


def _same_point(points: np.ndarray, other: np.ndarray) -> np.ndarray:
    difference = points - other
    return (np.abs(difference - np.rint(difference)) < SITE_TOLERANCE).all(axis=-1)


def _distinct(points: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "k 3"]:
    """Drop repeated images, keeping the first of each."""
    same = _same_point(points[:, None], points[None])
    return points[~np.triu(same, k=1).any(axis=0)]
