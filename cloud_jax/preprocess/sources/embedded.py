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

from cloud_jax.preprocess.sources.source import RawItem, Source, SourceError

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

    @property
    def files(self) -> tuple[Path, ...]:
        """The two packaged files."""
        return _locate(*_AFLOW), _locate(*_MINERALS)

    def items(self) -> Iterator[RawItem]:
        """Yield 288 prototypes as pymatgen dicts, 1,081 minerals as JARVIS dicts."""
        aflow, minerals = self.files
        with gzip.open(aflow) as file:
            for number, row in enumerate(json.load(file)):
                name = f"aflow-{number:03d}-{row['tags']['aflow']}"
                yield RawItem(name, row["snl"], "auto")
        with zipfile.ZipFile(minerals) as archive:
            rows = json.loads(archive.read(archive.namelist()[0]))
        for prototype, entries in rows.items():
            for mineral, _, identifier, atoms in entries:
                name = f"{prototype}-{mineral}-{identifier}"
                yield RawItem(f"mineral-{name}", atoms, "auto")
