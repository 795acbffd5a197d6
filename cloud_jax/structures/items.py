"""Structure files: what the name says, and the data blocks of a CIF of several."""

import re
from collections import Counter
from collections.abc import Iterator

from cloud_jax.structures.source import RawItem

# A line that opens or closes a text field, starts a data block or lists atoms.
_MARK = re.compile(
    rb"^(?:;|[ \t]*(?:data_(?P<block>\S*)|(?P<atoms>_atom_site_fract_x)\b))",
    re.MULTILINE | re.IGNORECASE,
)


def kind_of(name: str) -> str | None:
    """Return the kind of `RawItem` in a file of this name, None if unknown."""
    name = name.replace("\\", "/").rpartition("/")[2].lower()
    if name.endswith((".cif", ".mcif")):
        return "cif"
    if name.endswith(".json"):
        return "json"
    if name.endswith((".vasp", ".poscar")) or name.startswith(("poscar", "contcar")):
        return "poscar"
    return None


def file_items(name: str, data: bytes) -> Iterator[RawItem]:
    """Yield a file as one item; a CIF with several crystals as one item each.

    Args:
        name: id of the file; a name that says nothing is taken for a CIF.
        data: its bytes; each data block with atoms becomes `name#block` if there are
            several, the second of one name `name#block.2`.
    """
    kind = kind_of(name) or "cif"
    blocks = list(_blocks(data)) if kind == "cif" else []
    if len(blocks) > 1:
        seen: Counter[str] = Counter()
        for block, text in blocks:
            seen[block] += 1
            times = f".{seen[block]}" if seen[block] > 1 else ""
            yield RawItem(f"{name}#{block}{times}", text, kind)
    else:
        yield RawItem(name, data, kind)


def _blocks(data: bytes) -> Iterator[tuple[str, bytes]]:
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
            yield name, data[bounds[i] : bounds[i + 1]]
