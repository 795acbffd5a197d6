"""Real crystals that are installed with the program, without a download.

pymatgen holds 288 AFLOW prototypes (Mehl et al., Comput. Mater. Sci. 136, S1, 2017),
and this package 1,081 minerals (Choudhary et al., npj Comput. Mater. 6, 173, 2020; see
NOTICE beside this file).
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
    refuse_rest,
)

_AFLOW = "analysis/prototypes/aflow_prototypes.json.gz"  # inside pymatgen
# Byte for byte the file of jarvis-tools: hashes of data sets made from it stay valid.
_MINERALS = Path(__file__).with_name("mineral_name_prototype.json.zip")


def _prototypes() -> Path:
    """Return pymatgen's file of prototypes without importing pymatgen.

    Raises:
        SourceError: pymatgen is not installed.
    """
    spec = importlib.util.find_spec("pymatgen")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / _AFLOW
        if path.is_file():
            return path
    raise SourceError(
        f"source embedded: found no {_AFLOW} of pymatgen: "
        'pip install "cloud-jax[preprocess]"'
    )


@dataclass(frozen=True)
class EmbeddedSource(Source):
    """Read AFLOW prototypes of pymatgen, then minerals of jarvis-tools."""

    licence: str = "MIT (pymatgen, jarvis-tools)"
    citation: str = "10.1016/j.commatsci.2017.01.017, 10.1038/s41524-020-00440-1"

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "EmbeddedSource":
        """Return the source; nothing may follow the word."""
        refuse_rest("embedded", text)
        return cls(name="embedded")

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """Return the listing of the only data set."""
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
        """Return the two installed files."""
        return Piece("aflow", _prototypes()), Piece("mineral", _MINERALS)

    def count(self) -> int:
        """Return the number of crystals: 288 prototypes and 1,081 minerals."""
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
