"""Thermal labels of crystals at several temperatures, joined from public data.

Rows come from three sources, each with a part's name:

- `phonons`: C_v, S, H(T) - H(0) and zero-point energy per mol of atoms, integrated from
  the phonon densities of `datasets.phonon` (see `phonon_density`), and the C_v and U
  that were published for 300 K, per mol of cells. The column `density` says what a
  density is worth:
  `whole`: it gives both published values within 2 %.
  `completed`: modes above the end of its grid are missing, and the published values
  say how many and where; they are added.
  `soft`: both published values are lower by the same factor, hence modes are missing
  in them (those of imaginary frequency). No integrals.
  `unchecked`: nothing is published for 300 K. No integrals.
- `agl`, `elastic`: Debye temperatures, see `datasets.debye_temperature`. AGL's is also
  in the column `debye_temperature_metal` where all elements are metals: without ions of
  opposite charge a crystal's optical modes are hardly stiffer than its sound, so that
  there it stands for C_v up to room temperature.

`fold` is that of `phonon`. Of the other sources' crystals, those whose formula a test
row has are test rows too.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float

from cloud_jax.datasets import debye_temperature as debye
from cloud_jax.datasets import phonon
from cloud_jax.datasets.benchmark import FOLD, ID, STRUCTURE, Benchmark, Target, where
from cloud_jax.datasets.download import RemoteFile
from cloud_jax.datasets.phonon_density import (
    LABELS_K,
    Thermal,
    complete,
    completed,
    spectrum,
    thermal,
)
from cloud_jax.structures.element_classes import is_metal
from cloud_jax.structures.source import Listing, Piece, SourceError
from cloud_jax.structures.species import ELEMENTS

TEMPERATURES_K = (50, 100, 200, 300, 600, 1000)
ZERO_POINT = "zero_point_energy"
THETA_AGL, THETA_ELASTIC = "debye_temperature_agl", "debye_temperature_elastic"
THETA_METAL = "debye_temperature_metal"
ORIGIN, DENSITY = "source", "density"
TOLERANCE = 0.02  # of the published C_v and U
Formula = frozenset[tuple[str, int]]
PARTS: dict[str, tuple[RemoteFile, ...]] = {
    "phonons": (phonon.DENSITIES,),
    "agl": debye.AGL,
    "elastic": (debye.BINARIES, debye.TENSORS),
}
_UNITS = {"heat_capacity": "J/(mol K)", "entropy": "J/(mol K)", "enthalpy": "J/mol"}
_INTEGRALS = tuple(
    Target(f"{name}_{kelvin}k", unit)
    for name, unit in _UNITS.items()
    for kelvin in TEMPERATURES_K
)
_LICENCE = f"{phonon.LICENCE}; Apache-2.0 (AGL); BSD and CC-BY-4.0 (moduli)"
_CITATION = (
    f"{phonon.CITATION}, 10.1103/PhysRevMaterials.1.015401, 10.1038/sdata.2015.9"
)


@dataclass(frozen=True)
class ThermalSource(Benchmark):
    """Read some of the three sources.

    Attributes:
        parts: names of `PARTS`.
    """

    kind: ClassVar[str] = "thermal"
    parts: tuple[str, ...] = tuple(PARTS)

    def __post_init__(self):
        if not set(self.parts) <= PARTS.keys() or len({*self.parts}) < len(self.parts):
            raise SourceError(
                f"thermal:{'+'.join(self.parts)}: expected some of {', '.join(PARTS)}, "
                "joined by +, each once"
            )
        self._describe(_LICENCE, _CITATION)

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "ThermalSource":
        """Return the source of `thermal` (all parts), `thermal:phonons+agl`, ..."""
        if not text:
            return cls(name="thermal", data_dir=data_dir)
        name = f"thermal_{text.replace('+', '_')}"
        return cls(name=name, data_dir=data_dir, parts=tuple(text.split("+")))

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """Return a listing of all parts."""
        return [
            Listing(
                "thermal",
                "C_v, S, H at 50 to 1000 K from phonons; Debye temperatures (AGL, "
                "elastic moduli), metals among them",
                "9,886 structures, 11 MB",
                _LICENCE,
                _CITATION,
                where(data_dir, *debye.AGL),
            )
        ]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Return all labels; those without a basis in their name are per atom."""
        return (
            *_INTEGRALS,
            Target(ZERO_POINT, "J/mol"),
            Target(phonon.CV, "J/(mol K)"),
            Target(phonon.U, "J/mol"),
            Target(THETA_AGL, "K"),
            Target(THETA_ELASTIC, "K"),
            Target(THETA_METAL, "K"),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that `rows` may hold."""
        return *super().columns, ORIGIN, DENSITY

    def wanted(self, columns: Sequence[str]) -> list[tuple[RemoteFile, ...]]:
        """Return the files of crystals, and of phonons where labels or folds are."""
        files = [file for part in self.parts for file in PARTS[part]]
        if _has_labels(columns):
            published = (phonon.CV, phonon.U, FOLD)
            files += [file for (file,) in self._phonon.wanted(published)]
        return [(file,) for file in dict.fromkeys(files)]

    def table_sha256(self, columns: Sequence[str]) -> str:
        """Return a hash of the files that some columns need, and of the parts.

        Labels need the files of phonons with and without the rows of that part.
        """
        found = super().table_sha256(columns)
        if "phonons" in self.parts:
            return found
        return hashlib.sha256(f"{found} {'+'.join(self.parts)}".encode()).hexdigest()

    def pieces(self) -> list[Piece]:
        """Return the files with the crystals."""
        paths = [self.path(*files) for files in self.wanted((STRUCTURE,))]
        return [Piece(path.name, path) for path in paths]

    def crystals(self, path: Path) -> Iterator[tuple[str, Any]]:
        """Yield id and structure of the rows of one file."""
        if _is(phonon.DENSITIES, path):
            yield from self._phonon.crystals(path)
        else:
            yield from ((sound.id, sound.structure) for sound in _read_sound(path))

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of each file."""
        labelled = _has_labels(columns)
        tests = self._test_formulas() if labelled else set()
        for part in self.parts:
            for path in (self.path(file) for file in PARTS[part]):
                if not labelled:
                    for name, structure in self.crystals(path):
                        yield {ID: name, STRUCTURE: structure}
                elif part == "phonons":
                    yield from _phonon_rows(self._phonon)
                else:
                    for row in _sound_rows(path, tests):
                        yield row | {ORIGIN: part}

    @property
    def _phonon(self) -> phonon.PhononSource:
        return phonon.PhononSource(name="phonon", data_dir=self.data_dir)

    def _test_formulas(self) -> set[Formula]:
        """Return the reduced formulas of the test rows with phonons."""
        folds = {row[ID]: row.get(FOLD) for row in self._phonon.rows((ID, FOLD))}
        densities = self._phonon.densities()
        return {
            reduced_formula([ELEMENTS[z - 1] for z in atoms])
            for name, atoms in zip(densities.ids, densities.atoms, strict=True)
            if folds[name] == "test"
        }


def _has_labels(columns: Sequence[str]) -> bool:
    """Return whether any column is not of the crystals themselves."""
    return not set(columns) <= {ID, STRUCTURE}


def _is(file: RemoteFile, path: Path) -> bool:
    """Return whether a path is that of a published file, compressed or not."""
    return path.name in (file.name, f"{file.name}.gz")


def _read_sound(path: Path) -> Iterator[debye.Sound]:
    """Yield the crystals of a file with Debye temperatures or moduli."""
    reader = next(read for file, read in debye.READERS.items() if _is(file, path))
    return reader(path)


def reduced_formula(symbols: Iterable[str]) -> Formula:
    """Return the reduced formula of some atoms."""
    counts = Counter(symbols)
    unit = gcd(*counts.values())
    return frozenset((symbol, n // unit) for symbol, n in counts.items())


def _sound_rows(path: Path, tests: set[Formula]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file with Debye temperatures or moduli.

    Args:
        path: the file.
        tests: formulas whose crystals are test rows.
    """
    for sound in _read_sound(path):
        cell = sound.cell()
        theta = debye.elastic_debye_temperature(cell, sound.bulk_gpa, sound.shear_gpa)
        metal = all(map(is_metal, cell.species))
        yield {
            ID: sound.id,
            STRUCTURE: sound.structure,
            FOLD: "test" if reduced_formula(cell.species) in tests else "train",
            THETA_AGL: _number(sound.agl_k),
            THETA_ELASTIC: _number(theta),
            THETA_METAL: _number(sound.agl_k) if metal else None,
        }


def _phonon_rows(source: phonon.PhononSource) -> Iterator[dict[str, Any]]:
    """Yield the rows of crystals with phonon densities."""
    rows = list(source.rows((ID, phonon.CV, phonon.U, FOLD)))
    curves, verdicts = integrals(
        source.densities(),
        np.array([float(row.get(phonon.CV, "nan")) for row in rows]),
        np.array([float(row.get(phonon.U, "nan")) for row in rows]),
    )
    per_column = np.hstack([*curves[:3], curves.zero_point_energy[:, None]])
    names = [target.column for target in _INTEGRALS] + [ZERO_POINT]
    for row, values, verdict in zip(rows, per_column, verdicts, strict=True):
        labels = dict(zip(names, map(_number, values.tolist()), strict=True))
        yield row | labels | {ORIGIN: "phonons", DENSITY: verdict}


def integrals(
    densities: phonon.Densities,
    heat_capacity: Float[np.ndarray, " N"],
    internal_energy: Float[np.ndarray, " N"],
) -> tuple[Thermal, list[str]]:
    """Return properties at `TEMPERATURES_K`, NaN where a density is not to be trusted.

    Args:
        densities: of N crystals.
        heat_capacity: published C_v at 300 K, J/(mol K) per mol of cells, or NaN.
        internal_energy: published U at 300 K, J/mol per mol of cells, or NaN.

    Returns:
        The properties, and of each crystal what the column `density` says.
    """
    n_atoms = np.array([len(atoms) for atoms in densities.atoms])
    capacity, energy = heat_capacity / n_atoms, internal_energy / n_atoms
    modes = spectrum(densities.frequency_cm, densities.density)
    kelvin = np.array(TEMPERATURES_K, dtype=float)
    curves = thermal(modes, kelvin)

    at = TEMPERATURES_K.index(LABELS_K)
    ratios = (
        curves.heat_capacity[:, at] / capacity,
        curves.internal_energy[:, at] / energy,
    )
    whole = np.all(np.abs(np.stack(ratios) - 1) <= TOLERANCE, axis=0)
    missing = complete(modes, np.where(whole, np.nan, capacity), energy)
    solved = ~np.isnan(missing.share)
    unknown = np.isnan(capacity + energy)
    verdicts = np.select(
        [whole, solved, unknown], ["whole", "completed", "unchecked"], "soft"
    )

    both = completed(curves, missing, kelvin)  # NaN where not solved
    chosen = (
        np.where(whole.reshape(-1, *[1] * (own.ndim - 1)), own, new)
        for own, new in zip(curves, both, strict=True)
    )
    return Thermal(*chosen), verdicts.tolist()


def _number(value: float) -> float | None:
    """Return a label, None where it is missing."""
    return None if math.isnan(value) else value
