"""The interface of a source: it yields raw items and parses nothing."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

MAX_ITEM_BYTES = 16 * 2**20  # of text; the largest CIF of a real crystal is below 2 MB


class SourceError(ValueError):
    """A source as a whole cannot be used; the message says which and why."""


class RawItem(NamedTuple):
    """One crystal as found, to be parsed by a worker.

    Attributes:
        id: name of the crystal inside its source.
        payload: text, bytes, dict, arrays or `Cell`; what `kind` says.
        kind: `cif`, `poscar`, `json`, `auto`, `arrays`, `cell` or `sentence` (see
            `pipeline.read_cell`), or `reject`: the payload is the (code, message) of
            something unreadable.
    """

    id: str
    payload: Any
    kind: str


@dataclass(frozen=True)
class Source:
    """One origin of crystals with its provenance.

    Attributes:
        name: short name, the prefix of every record id.
        licence: under which the rows may be used.
        citation: whom to cite.
        reserved: the crystals of this source must not enter the dataset, nor any
            crystal of another source with the same de-duplication key.
        exclude_ids: rows to leave out.
    """

    name: str
    licence: str = ""
    citation: str = ""
    reserved: bool = False
    exclude_ids: frozenset[str] = frozenset()

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that hold the crystals."""
        raise NotImplementedError

    @property
    def location(self) -> str:
        """Where the rows came from, without the folders of this machine."""
        return ", ".join(path.name for path in self.files[:3]) + (
            f" and {len(self.files) - 3} more" if len(self.files) > 3 else ""
        )

    def items(self) -> Iterator[RawItem]:
        """Yield every crystal in a fixed order; constant memory per item.

        Raises:
            SourceError: the file as a whole cannot be read.
        """
        raise NotImplementedError

    def kept_items(self) -> Iterator[RawItem]:
        """Yield `items` without the excluded ids.

        Raises:
            SourceError: an excluded id was never met, or as `items`.
        """
        missing = set(self.exclude_ids)
        item = None
        for item in self.items():
            if item.id in self.exclude_ids:
                missing.discard(item.id)
            else:
                yield item
        if missing:
            raise SourceError(
                f"source {self.name}: exclude_ids: {len(missing)} not found in "
                f"it: {', '.join(sorted(missing)[:5])}; "
                + (f"its ids are like {item.id}" if item else "it is empty")
            )

    def sha256(self) -> str:
        """Hash of the names and bytes of all files."""
        digest = hashlib.sha256()
        for path in self.files:
            digest.update(path.name.encode() + b"\0")
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()
