"""Structure files: their kind by name, and the crystals of a file of several."""

import io
import re
from collections import Counter
from collections.abc import Iterator

from cloud_jax.structures.compressed import decompressed, uncompressed_name
from cloud_jax.structures.extxyz import frames
from cloud_jax.structures.rejection import Rejection
from cloud_jax.structures.source import RawItem, SourceError

KNOWN_NAMES = (
    "*.cif, *.mcif, *.json, *.xyz, *.extxyz, *.vasp, *.poscar, POSCAR* or CONTCAR*, "
    "each also with .gz, .bz2 or .xz"
)
# A line that opens or closes a text field, starts a data block or lists atoms.
_MARK = re.compile(
    rb"^(?:;|[ \t]*(?:data_(?P<block>\S*)|(?P<atoms>_atom_site_fract_x)\b))",
    re.MULTILINE | re.IGNORECASE,
)


def kind_of(name: str) -> str | None:
    """Return the kind of `RawItem` in a file of this name, None if unknown."""
    name = uncompressed_name(name.replace("\\", "/").rpartition("/")[2].lower())
    if name.startswith("._"):  # what macOS keeps beside a file, not the file
        return None
    if name.endswith((".cif", ".mcif")):
        return "cif"
    if name.endswith(".json"):
        return "json"
    if name.endswith((".xyz", ".extxyz")):
        return "extxyz"
    if name.endswith((".vasp", ".poscar")) or name.startswith(("poscar", "contcar")):
        return "poscar"
    return None


def file_items(name: str, data: bytes) -> Iterator[RawItem]:
    """Yield a file as one item; a CIF or XYZ with several crystals as one item each.

    Args:
        name: id of the file; a name of unknown kind is taken for a CIF.
        data: its bytes, perhaps compressed. If there are several, each data block with
            atoms becomes `name#block`, the second of one name `name#block.2`, and each
            frame `name#id`, or `name#number` from 0.
    """
    kind = kind_of(name) or "cif"
    try:
        data = decompressed(name, data)
    except Rejection as rejection:
        yield RawItem(name, (rejection.code, rejection.message), "reject")
        return
    parts: list[RawItem] = []
    if kind == "cif":
        parts = list(_blocks(data))
    elif kind == "extxyz":
        parts = list(_frames(data))
    if len(parts) < 2:
        yield RawItem(name, data, kind)
        return
    seen: Counter[str] = Counter()
    for part in parts:
        seen[part.id] += 1
        times = f".{seen[part.id]}" if seen[part.id] > 1 else ""
        yield part._replace(id=f"{name}#{part.id}{times}")


def _frames(data: bytes) -> Iterator[RawItem]:
    """Yield the frames of an XYZ file, and a reject for text that is not a frame."""
    try:
        yield from frames(io.StringIO(data.decode("utf-8-sig", "replace")))
    except SourceError as error:
        yield RawItem("rest", ("unreadable", str(error)), "reject")


def _blocks(data: bytes) -> Iterator[RawItem]:
    """Yield the name and the bytes of each data block that lists atoms."""
    starts, with_atoms, in_text = [], set(), False
    for mark in _MARK.finditer(data):
        if mark[0] == b";":
            in_text = not in_text
        elif not in_text and mark["atoms"]:
            with_atoms.add(len(starts) - 1)
        elif not in_text:
            starts.append(mark)
    bounds = [*(mark.start() for mark in starts), len(data)]
    for i, mark in enumerate(starts):
        if i in with_atoms:
            name = mark["block"].decode("utf-8", "replace")
            yield RawItem(name, data[bounds[i] : bounds[i + 1]], "cif")
