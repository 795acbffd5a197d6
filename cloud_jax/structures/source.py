"""The interface of a source, which yields raw items and does not parse them."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from cloud_jax.files import file_sha256

MAX_ITEM_BYTES = 16 * 2**20  # of text; the largest CIF of a real crystal is below 2 MB

EXCLUDED = "excluded"  # code of a crystal that exclude_ids names
_SHOWN = 10  # names of skipped files in a message


class SourceError(ValueError):
    """The error of a source that cannot be used; the message says which and why."""


def refuse_rest(word: str, text: str) -> None:
    """Raise SourceError if a text follows the word of a source that takes none."""
    if text:
        raise SourceError(f"{word}:{text}: expected {word} alone")


class RawItem(NamedTuple):
    """One crystal as found, to be parsed by a worker.

    Attributes:
        id: name of the crystal inside its source.
        payload: text, bytes, dict, arrays or `Cell`; what `kind` says.
        kind: `cif`, `poscar`, `json`, `extxyz`, `optimade`, `auto`, `arrays`, `cell` or
            `sentence` (see `pipeline.read_cell`), or `reject`: the payload is the
            (code, message) of something unreadable.
    """

    id: str
    payload: Any
    kind: str


class Piece(NamedTuple):
    """A part of a source that any machine can read on its own.

    Attributes:
        name: what its crystals' ids may begin with; different for each piece.
        path: the file.
    """

    name: str
    path: Path


class Listing(NamedTuple):
    """A public data set, for `cloud-jax datasets`.

    Attributes:
        word: how to ask for it on the command line.
        what: description in a few words.
        size: structures and bytes, in words.
        licence: of the data.
        citation: DOI, or where to read whom to cite.
        here: the file or folder that was found, or empty.
    """

    word: str
    what: str
    size: str
    licence: str
    citation: str
    here: str = ""


def skipped_line(names: Sequence[str]) -> str:
    """Return the sentence that names the files that were found and are not read."""
    shown = ", ".join(map(writable, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    files = "file that is" if len(names) == 1 else "files that are"
    return f"skipped {len(names):,} {files} not a structure file: {shown}{more}"


def writable(text: str) -> str:
    """Return the text with escapes for what cannot be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class Source:
    """One origin of crystals with its provenance.

    Attributes:
        name: short name, the prefix of every record id.
        licence: under which the rows may be used.
        citation: whom to cite.
        reserved: the crystals of this source must not enter the dataset, nor any
            crystal of another source with the same de-duplication key.
        exclude_ids: ids of crystals to leave out; one that the source does not have is
            an error.
    """

    name: str
    licence: str = ""
    citation: str = ""
    reserved: bool = False
    exclude_ids: frozenset[str] = frozenset()

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "Source":
        """Build the source that a word on the command line means.

        Args:
            text: what follows `kind:`.
            data_dir: folder of public data sets: looked in first, downloaded to.

        Raises:
            SourceError: the word does not say what is needed.
        """
        raise NotImplementedError

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """Return the public data sets that this class reads."""
        return []

    def fetch(self) -> None:
        """Download the files that are missing; by default a source needs none.

        Raises:
            SourceError: a file cannot be downloaded; the message says where to put it.
        """

    @classmethod
    def fetch_all(cls, sources: Sequence["Source"]) -> None:
        """Download the files that are missing for some sources of this class.

        Raises:
            SourceError: as `fetch`.
        """
        for source in sources:
            source.fetch()

    def pieces(self) -> Sequence[Piece]:
        """Return the files that hold the crystals, in reading order.

        Raises:
            SourceError: one is missing.
        """
        raise NotImplementedError

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield every crystal of a piece in a fixed order; constant memory per item.

        Raises:
            SourceError: the file as a whole cannot be read.
        """
        raise NotImplementedError

    def count(self) -> int | None:
        """Return the number of crystals, None if only reading them all would tell."""
        return None

    def skipped(self) -> list[str]:
        """Return the names of files that were found and are not read."""
        return []

    @property
    def location(self) -> str:
        """Return where the rows came from, without the folders of this machine."""
        names = [writable(piece.path.name) for piece in self.pieces()]
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        return ", ".join(names[:3]) + more

    def items(self) -> Iterator[RawItem]:
        """Yield every crystal of every piece."""
        for piece in self.pieces():
            yield from self.kept(piece)

    def kept(self, piece: Piece) -> Iterator[RawItem]:
        """Yield a piece's crystals; an excluded one as a reject that says so."""
        for item in self.read(piece):
            if item.id in self.exclude_ids:
                item = RawItem(item.id, (EXCLUDED, "named in exclude_ids"), "reject")
            yield item._replace(id=writable(item.id))

    def sha256(self) -> str:
        """Return the SHA-256 of the names and bytes of all files, in hexadecimal."""
        digest = hashlib.sha256()
        for piece in self.pieces():
            digest.update(writable(piece.name).encode() + b"\0")
            if piece.path.is_file():  # reading a named pipe may never end
                digest.update(bytes.fromhex(file_sha256(piece.path)))
        return digest.hexdigest()


@dataclass(frozen=True)
class PathSource(Source):
    """A source of files that the user names.

    Attributes:
        paths: files or patterns.
    """

    paths: tuple[str, ...] = ()

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "PathSource":
        """Build the source of one path; its name is the file's, without suffixes."""
        if not text:
            raise SourceError("expected a path after the colon")
        stem = Path(text.rstrip("/")).name.split(".")[0].replace("*", "")
        return cls(name=stem or "files", paths=(text,))
