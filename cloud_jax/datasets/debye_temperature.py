"""Debye temperatures of sound: AFLOW's, and those of elastic moduli.

Both are theta_D at T = 0, of all modes of the crystal: C_v goes as
12 pi^4 / 5 R (T / theta)^3 per mol of atoms. They say little of optical modes.

- AGL: Toher et al., Phys. Rev. Materials 1, 015401 (2017), PBE, as published with the
  Wyckoff Transformer: its training and validation rows; its test rows stay out. What
  AFLOW gives is 0.982 times Anderson's formula for AFLOW's own moduli (4,166 crystals,
  spread 1.2 %), hence an elastic theta too.
- Elastic: Voigt-Reuss-Hill moduli of the Materials Project, PBE (de Jong et al., Sci.
  Data 2, 150009 (2015)): 3,953 binaries as published with matcalc, and 374 other
  crystals, elements among them, as published with matminer 0.1.9; theta by Anderson,
  J. Phys. Chem. Solids 24, 909 (1963).

docs/thermal_labels.md says how they compare with each other and with phonons.
"""

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import constants

from cloud_jax.datasets.benchmark import read_columns
from cloud_jax.datasets.download import RemoteFile
from cloud_jax.structures.cell import Cell
from cloud_jax.structures.csv_table import csv_rows
from cloud_jax.structures.json_stream import split_rows
from cloud_jax.structures.source import SourceError

_RAW = "https://raw.githubusercontent.com"
_AFLOW = "SymmetryAdvantage/WyckoffTransformer"
_AFLOW_COMMIT = "1b7d0d133d2bf5fefcaec05c1bb4861f42b81ae3"  # later ones lack the data
_MATCALC = "materialsvirtuallab/matcalc"
_MATCALC_COMMIT = "27f2d5f44b2bc045ff47446c599a3b6aba298b7f"
_MATMINER = "hackingmaterials/matminer"
_MATMINER_COMMIT = "c24f193e8f18b8f0471ac75ea5726ef18912dbb1"


def _aflow(split: str, sha256: str) -> RemoteFile:
    url = f"{_RAW}/{_AFLOW}/{_AFLOW_COMMIT}/data/aflow/debye_temperature/{split}.csv.gz"
    page = f"https://github.com/{_AFLOW}"
    return RemoteFile(f"aflow_debye_{split}.csv.gz", url, sha256=sha256, page=page)


AGL = (
    _aflow("train", "726c9bc244a2ac992ae9637dfda247e9c5b9a4d6cedfb3e96f99bce31fbf5d1b"),
    _aflow("val", "e1c5d2f33c521ec66f0406b2861ec7cbd283f6414247b3d9746a43b55555c9d1"),
)
BINARIES = RemoteFile(
    "mp-binary-pbe-elasticity-2025.1.json.gz",
    f"{_RAW}/{_MATCALC}/{_MATCALC_COMMIT}/benchmark_data/"
    "mp-binary-pbe-elasticity-2025.1.json.gz",
    sha256="5689599491322805bda913663eeef8d567f64ada80c90173d50fb7b6fb0b5896",
    page=f"https://github.com/{_MATCALC}",
)
TENSORS = RemoteFile(
    "elastic_tensor.csv",
    f"{_RAW}/{_MATMINER}/{_MATMINER_COMMIT}/matminer/datasets/elastic_tensor.csv",
    sha256="f7a18c91fe5dcd51012e5b7e3a37f73aaee9087a036d61bdf9d6464b6fca51a6",
    page=f"https://github.com/{_MATMINER}",
)
# Below the first, van der Waals forces bind, which PBE lacks; ratios G / K of Poisson's
# ratios from 0.45 to 0: outside, a crystal is unstable or its calculation failed.
LEAST_BULK_GPA = 5.0
SHEAR_TO_BULK = (0.1034, 1.5)


class Sound(NamedTuple):
    """Hold what is published of a crystal's sound; NaN where nothing is.

    Attributes:
        id: of the publication.
        structure: CIF or POSCAR text, or JSON of pymatgen.
        agl_k: AFLOW's Debye temperature, K.
        bulk_gpa: Voigt-Reuss-Hill bulk modulus, GPa.
        shear_gpa: shear modulus, GPa.
    """

    id: str
    structure: dict[str, Any] | str
    agl_k: float = math.nan
    bulk_gpa: float = math.nan
    shear_gpa: float = math.nan

    @property
    def plausible(self) -> bool:
        """Return whether the moduli are those of a stable solid that PBE describes."""
        low, high = SHEAR_TO_BULK
        return (
            self.bulk_gpa >= LEAST_BULK_GPA
            and low <= self.shear_gpa / self.bulk_gpa <= high
        )

    def cell(self) -> Cell:
        """Return the structure, read."""
        # Here, as fine-tuning on other tables needs no package that reads structures.
        from cloud_jax.structures.cif import read_cif
        from cloud_jax.structures.poscar import read_poscar
        from cloud_jax.structures.structure_json import read_json

        if isinstance(self.structure, dict):
            return read_json(self.structure)
        return (read_poscar if math.isnan(self.agl_k) else read_cif)(self.structure)


def read_agl(path: Path) -> Iterator[Sound]:
    """Yield AFLOW's crystals.

    Raises:
        SourceError: the file is damaged or of another form.
    """
    with csv_rows(path) as (header, rows):
        if header != ["", "cif", "debye_temperature"]:
            raise SourceError(
                f"{path}: found columns {header}, expected AFLOW's number without a "
                "name, cif and debye_temperature: download the file again"
            )
        for _, (number, cif, theta) in rows:
            yield Sound(f"agl-{number}", cif, agl_k=float(theta))


def read_binaries(path: Path) -> Iterator[Sound]:
    """Yield the binaries with plausible moduli.

    Raises:
        SourceError: the file is damaged or of another form.
    """
    names = ("mp_id", "structure", "bulk_modulus_vrh", "shear_modulus_vrh")
    for number, row in enumerate(split_rows(path)):
        if not isinstance(row, dict) or not row.keys() >= {*names}:
            raise SourceError(
                f"{path}: row {number}: found {str(row)[:80]}, expected "
                f"{', '.join(names)}: download the file again"
            )
        name, structure, bulk, shear = (row[name] for name in names)
        sound = Sound(f"elastic-{name}", structure, bulk_gpa=bulk, shear_gpa=shear)
        if sound.plausible:
            yield sound


def read_tensors(path: Path) -> Iterator[Sound]:
    """Yield the crystals with plausible moduli that are not binaries.

    Raises:
        SourceError: the file is damaged or of another form.
    """
    columns = ["material_id", "formula", "poscar", "K_VRH", "G_VRH"]
    for name, (formula, poscar, *moduli) in read_columns(path, columns).items():
        bulk, shear = map(float, moduli)
        sound = Sound(f"elastic-{name}", poscar, bulk_gpa=bulk, shear_gpa=shear)
        if sound.plausible and len(re.findall("[A-Z]", formula)) != 2:
            yield sound


READERS: dict[RemoteFile, Callable[[Path], Iterator[Sound]]] = {
    **dict.fromkeys(AGL, read_agl),
    BINARIES: read_binaries,
    TENSORS: read_tensors,
}


def elastic_debye_temperature(cell: Cell, bulk_gpa: float, shear_gpa: float) -> float:
    """Return the Debye temperature [K] of an isotropic solid (Anderson 1963).

    Args:
        cell: says density and atoms per volume.
        bulk_gpa: bulk modulus, GPa.
        shear_gpa: shear modulus, GPa.
    """
    import gemmi

    masses = [gemmi.Element(str(symbol)).weight for symbol in cell.species]
    volume = cell.volume * 1e-30
    density = sum(masses) * constants.atomic_mass / volume
    transverse = math.sqrt(shear_gpa * 1e9 / density)
    longitudinal = math.sqrt((bulk_gpa + 4 / 3 * shear_gpa) * 1e9 / density)
    velocity = ((2 / transverse**3 + 1 / longitudinal**3) / 3) ** (-1 / 3)
    wave_number = (6 * np.pi**2 * len(masses) / volume) ** (1 / 3)
    return constants.hbar / constants.k * wave_number * velocity
