"""Real crystals inside two packages from PyPI: nothing to download.

pymatgen ships 288 AFLOW prototypes (Mehl et al., Comput. Mater. Sci. 136, S1, 2017)
and jarvis-tools 1,081 minerals (Choudhary et al., npj Comput. Mater. 6, 173, 2020).
"""

import gzip
import importlib.util
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cloud_jax.structures.source import (
    Listing,
    Piece,
    RawItem,
    Source,
    SourceError,
)

# package, file inside it
_AFLOW = ("pymatgen", "analysis/prototypes/aflow_prototypes.json.gz")
_MINERALS = ("jarvis", "core/mineral_name_prototype.json.zip")


def _locate(package: str, file: str) -> Path:
    """Find a package's file without importing the package."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / file
        if path.is_file():
            return path
    raise SourceError(
        f"source embedded: found no {file} in package {package}; "
        "install requirements.txt (pymatgen and jarvis-tools hold the crystals)"
    )


@dataclass(frozen=True)
class EmbeddedSource(Source):
    """AFLOW prototypes of pymatgen, then minerals of jarvis-tools."""

    licence: str = "MIT (pymatgen, jarvis-tools)"
    citation: str = "10.1016/j.commatsci.2017.01.017, 10.1038/s41524-020-00440-1"

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "EmbeddedSource":
        """Build the source; nothing may follow the word."""
        if text:
            raise SourceError(f"embedded:{text}: expected just embedded")
        return cls(name="embedded")

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """The one set."""
        return [
            Listing(
                "embedded",
                "AFLOW prototypes of pymatgen and minerals of jarvis-tools",
                "1,369 structures",
                cls.licence,
                cls.citation,
                "in the installed packages",
            )
        ]

    def pieces(self) -> tuple[Piece, Piece]:
        """The two packaged files."""
        return (
            Piece("aflow", _locate(*_AFLOW)),
            Piece("mineral", _locate(*_MINERALS)),
        )

    def count(self) -> int:
        """288 prototypes and 1,081 minerals."""
        return 1369

    def read(self, piece: Piece) -> Iterator[RawItem]:
        """Yield prototypes as pymatgen dicts, minerals as JARVIS dicts."""
        if piece.name == "aflow":
            with gzip.open(piece.path) as file:
                for number, row in enumerate(json.load(file)):
                    name = f"aflow-{number:03d}-{row['tags']['aflow']}"
                    yield RawItem(name, row["snl"], "auto")
            return
        with zipfile.ZipFile(piece.path) as archive:
            rows = json.loads(archive.read(archive.namelist()[0]))
        for prototype, entries in rows.items():
            for mineral, _, identifier, atoms in entries:
                name = f"{prototype}-{mineral}-{identifier}"
                yield RawItem(f"mineral-{name}", atoms, "auto")
