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
    line_number, number = 0, 0
    with open_text(path) as file:
        line = file.readline(MAX_ITEM_BYTES)
        while line:
            line_number += 1
            if not line.strip():
                line = file.readline(MAX_ITEM_BYTES)
                continue
            if not line.strip().isdecimal():
                raise SourceError(
                    f"{path}: line {line_number}: found {line.strip()[:40]!r}, "
                    "expected the number of atoms of a frame"
                )
            n_atoms = int(line)
            comment = file.readline(MAX_ITEM_BYTES)
            found = {match["key"]: match for match in _KEYS.finditer(comment)}
            keys = {key: m["quoted"] or m["bare"] for key, m in found.items()}
            name = row_id(keys, id_column) or f"{path.name}:{number}"
            lines, line, problem = _frame_lines(file, n_atoms)
            if problem:
                yield RawItem(name, problem, "reject")
            else:
                yield RawItem(
                    name, "".join([f"{n_atoms}\n", comment, *lines]), "extxyz"
                )
            line_number += 1 + n_atoms + len(lines[n_atoms:])
            number += 1


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
    """Read one frame of extended XYZ text, with the `ase` package.

    Raises:
        Rejection: not a frame, or a frame without a cell.
    """
    from ase.io import extxyz

    count = text.lstrip().partition("\n")[0].strip()
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
            atoms = next(extxyz.read_xyz(StringIO(text.lstrip()), 0))
        except Exception as error:
            raise Rejection.of_error("a frame of extended XYZ", error) from None
    return read_json(
        {
            "numbers": atoms.numbers,
            "positions": atoms.positions,
            "cell": atoms.cell.array,
            "pbc": atoms.pbc,
        }
    )
