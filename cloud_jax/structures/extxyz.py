"""Extended XYZ files: their frames, streamed as text, and one frame to a cell."""

import re
import warnings
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import TextIO

from cloud_jax.structures.ase_database import check_ase
from cloud_jax.structures.cell import MAX_SITES, Cell
from cloud_jax.structures.columns import row_id
from cloud_jax.structures.compressed import open_text
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.source import MAX_ITEM_BYTES, RawItem, SourceError
from cloud_jax.structures.structure_json import read_json

_KEYS = re.compile(r"""(?P<key>[\w-]+)=(?:"(?P<quoted>[^"]*)"|(?P<bare>\S+))""")


def frame_items(path: Path, id_column: str) -> Iterator[RawItem]:
    """Yield the frames of an extended XYZ file as text, for a worker to parse.

    Args:
        path: the file, plain or compressed.
        id_column: key in the comment lines with the id; the first known one by
            default, else the number of the frame.

    Raises:
        SourceError: a frame does not begin with a number of atoms.
    """
    check_ase(path)
    with open_text(path) as file:
        try:
            yield from frames(file, id_column, prefix=f"{path.name}:")
        except SourceError as error:
            raise SourceError(f"{path}: {error}") from None


def frames(file: TextIO, id_column: str = "", prefix: str = "") -> Iterator[RawItem]:
    """Yield the frames of extended XYZ text.

    Args:
        file: the text.
        id_column: see `frame_items`.
        prefix: of the number of a frame, where that is its id.

    Raises:
        SourceError: a frame does not begin with a number of atoms.
    """
    line_number, number = 0, 0
    line = file.readline(MAX_ITEM_BYTES)
    while line:
        line_number += 1
        if not line.strip():
            line = file.readline(MAX_ITEM_BYTES)
            continue
        if not line.strip().isdecimal():
            raise SourceError(
                f"line {line_number}: found {line.strip()[:40]!r}, expected the number "
                "of atoms of a frame"
            )
        n_atoms = int(line)
        comment = file.readline(MAX_ITEM_BYTES)
        name = row_id(_keys(comment), id_column) or f"{prefix}{number}"
        lines, line, problem = _frame_lines(file, n_atoms)
        if problem:
            yield RawItem(name, problem, "reject")
        else:
            yield RawItem(name, "".join([f"{n_atoms}\n", comment, *lines]), "extxyz")
        line_number += 1 + n_atoms + len(lines[n_atoms:])
        number += 1


def _keys(comment: str) -> dict[str, str]:
    """Return the keys and values of a frame's comment line."""
    found = {match["key"]: match for match in _KEYS.finditer(comment)}
    return {key: m["quoted"] or m["bare"] for key, m in found.items()}


def _frame_lines(
    file: TextIO, n_atoms: int
) -> tuple[list[str], str, tuple[str, str] | None]:
    """Read the lines of a frame, and cell vectors written as atoms (VEC1 ...).

    Returns:
        The lines, the line after them, and the (code, message) of a damaged frame.
    """
    lines, size = [], 0
    for _ in range(n_atoms):
        line = file.readline(MAX_ITEM_BYTES)
        size += len(line)
        if not line:
            problem = f"found {len(lines)} atoms, expected {n_atoms}: the file is cut"
            return lines, "", ("bad_row", problem)
        if size <= MAX_ITEM_BYTES:
            lines.append(line)
    line = file.readline(MAX_ITEM_BYTES)
    while line.lstrip().startswith("VEC"):
        lines.append(line)
        line = file.readline(MAX_ITEM_BYTES)
    if size > MAX_ITEM_BYTES:
        found = f"{size} characters, expected at most {MAX_ITEM_BYTES}"
        return lines, line, ("too_large", found)
    return lines, line, None


def read_extxyz(text: str) -> Cell:
    """Read the first frame of extended XYZ text, with the `ase` package.

    More text behind it is flagged `first_of_several`.

    Raises:
        Rejection: not a frame, or a frame without a cell.
    """
    try:
        from ase.io import extxyz
    except ImportError:
        raise Rejection(
            "unreadable", "reading extended XYZ needs the ase package: pip install ase"
        ) from None
    text = text.lstrip()
    count = text.partition("\n")[0].strip()
    if not count.isdecimal():
        found = f"found {count[:40]!r}, expected the number of atoms"
        raise Rejection("unreadable", f"not a frame of extended XYZ: {found}")
    if int(count[:20]) > MAX_SITES:  # ase would read that many lines
        raise Rejection(
            "too_many_sites",
            f"found {count[:20]} atoms, expected at most {MAX_SITES:,}",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            lines = text.split("\n")
            more = any(
                line.strip() and not line.lstrip().startswith("VEC")
                for line in lines[2 + int(count) :]
            )
            text, labels = _without_labels(lines, int(count))
            atoms = next(extxyz.read_xyz(StringIO(text), 0))
        except Exception as error:
            raise Rejection.of_error("a frame of extended XYZ", error) from None
    cell = read_json(
        {
            **({"symbols": labels} if labels else {"numbers": atoms.numbers}),
            "positions": atoms.positions,
            "cell": atoms.cell.array,
            "pbc": atoms.pbc,
        }
    )
    return cell.flagged("first_of_several") if more else cell


def _without_labels(lines: list[str], n_atoms: int) -> tuple[str, list[str]]:
    """Return a frame with X for each element, and the labels that stood there.

    ase knows neither D nor labels such as Fe1; `Cell` does. There are no labels in a
    frame that has atomic numbers instead.
    """
    fields = _keys(lines[1]).get("Properties", "species:S:1:pos:R:3").split(":")
    if "species" not in fields[::3]:
        return "\n".join(lines), []
    place = fields[::3].index("species")
    at = sum(map(int, fields[2 : 3 * place : 3]))
    labels = []
    for i, line in enumerate(lines[2 : 2 + n_atoms], 2):
        words = line.split()
        if len(words) <= at:
            found = f"line {i + 1}: found {line.strip()[:40]!r}"
            raise ValueError(f"{found}, expected an element in column {at + 1}")
        labels.append(words[at])
        lines[i] = " ".join([*words[:at], "X", *words[at + 1 :]])
    return "\n".join(lines), labels
