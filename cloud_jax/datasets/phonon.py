"""C_v and U at 300 K of Gong et al. with structures, and curves from phonons.

Labels: Gong et al., Sci. Adv. 9, eadi3245 (2023), J per mol of primitive cells (the
CLOUD paper's Table 2 says kJ for U). Structures and phonon densities of states:
Petretto et al., Sci. Data 5, 180065 (2018), as published with Chen et al., Adv. Sci. 8,
2004214 (2021). `fold` is the CLOUD release's split, which it gives by sentence and
C_v: the values of its test rows are found again among the labels. `split_gong` is that
of Gong et al.
"""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float

from cloud_jax.datasets.benchmark import (
    FOLD,
    ID,
    STRUCTURE,
    Benchmark,
    Target,
    read_columns,
    where,
)
from cloud_jax.datasets.download import RemoteFile
from cloud_jax.datasets.phonon_density import spectrum, thermal
from cloud_jax.structures.columns import column_index
from cloud_jax.structures.csv_table import csv_rows
from cloud_jax.structures.source import Listing, SourceError, refuse_rest

CV, U, SPLIT_GONG = "cv_j_per_mol_cell_k", "u_j_per_mol_cell", "split_gong"
_RAW = "https://raw.githubusercontent.com"
_GONG = "shenggong1996/examining-GNN-for-crystal-periodicity"
_GONG_COMMIT = (
    "a9265db88c7c183b44a6dd246801ee3c4e56878c"  # later commits lack the labels
)
_CLOUD = "ChangwenXu98/CLOUD"
_CLOUD_COMMIT = "043de9e2cb71efa454a2a9a167ed77df3d769bda"
_DOS = "ninarina12/phononDoS_tutorial"
_DOS_COMMIT = "39baaac815d414ffebff9695c6dcf62270526cb2"
LICENCE = "MIT and CC-BY-4.0 (structures, phonons); not stated (labels)"
CITATION = "10.1126/sciadv.adi3245, 10.1038/sdata.2018.65, 10.1002/advs.202004214"


def _gong(name: str, sha256: str) -> RemoteFile:
    url = f"{_RAW}/{_GONG}/{_GONG_COMMIT}/datasets/property/{name}"
    return RemoteFile(name, url, sha256=sha256, page=f"https://github.com/{_GONG}")


DENSITIES = RemoteFile(
    "data.csv",
    f"{_RAW}/{_DOS}/{_DOS_COMMIT}/data/data.csv",
    sha256="fe19bbabc4d49f13a3fb336ee6adff9d70d66e20375cabf56fbfa31cf4da1754",
    page=f"https://github.com/{_DOS}",
)
LABELS = {  # file per label and split
    (CV, "train"): _gong(
        "cv_training.csv",
        "17e77feb2c7c88dc6c346f2a922ba43ec87ecc341699a90046dca4bf0ef8ee7b",
    ),
    (CV, "test"): _gong(
        "cv_test.csv",
        "caa4d19e51a020ce5191cd797fe853983c59dddcd7e086a3b98cb1b8f5bf5c68",
    ),
    (U, "train"): _gong(
        "internal_energy_training.csv",
        "d39be2668e37756e96a0e3907def4029128751d3407d67caacbe47e69e2611af",
    ),
    (U, "test"): _gong(
        "internal_energy_test.csv",
        "e574ea782f031dadc2c336ce7048732f052e202bb4306491ec564a53fd962949",
    ),
}
CLOUD_TEST = RemoteFile(
    "cloud_cv_test.csv",
    f"{_RAW}/{_CLOUD}/{_CLOUD_COMMIT}/example_data/cloud_cv_test.csv",
    sha256="972e5dfc876232883b8d7129550fd44e612d3ba454dd3c1961ab3fe3049d8c54",
    page=f"https://github.com/{_CLOUD}",
)


class Curves(NamedTuple):
    """Hold the thermal properties that harmonic phonons of N crystals give.

    Attributes:
        ids: ids of the crystals, in the order of the rows.
        heat_capacity: C_v, J/(mol K), per mol of cells.
        internal_energy: U with its zero-point part, J/mol, per mol of cells.
        n_atoms: atoms per cell.
    """

    ids: list[str]
    heat_capacity: Float[np.ndarray, "N T"]
    internal_energy: Float[np.ndarray, "N T"]
    n_atoms: Float[np.ndarray, " N"]


class Densities(NamedTuple):
    """Hold the phonon densities of states of N crystals.

    Attributes:
        ids: ids of the crystals, in the order of the rows.
        atoms: atomic numbers of the atoms in the cell.
        frequency_cm: wave numbers, cm^-1.
        density: on a scale per crystal.
    """

    ids: list[str]
    atoms: list[list[int]]
    frequency_cm: Float[np.ndarray, " F"]
    density: Float[np.ndarray, "N F"]


@dataclass(frozen=True)
class PhononSource(Benchmark):
    """Read 1,521 crystals, 1,512 of them with labels."""

    kind: ClassVar[str] = "phonon"

    def __post_init__(self):
        self._describe(LICENCE, CITATION)

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "PhononSource":
        """Return the source; nothing may follow the word."""
        refuse_rest("phonon", text)
        return cls(name="phonon", data_dir=data_dir)

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """Return the listing of the only data set."""
        return [
            Listing(
                "phonon",
                "C_v (J/(mol K)) and U (J/mol) of cells at 300 K; phonon densities",
                "1,521 structures, 1,512 labels, 2.5 MB",
                LICENCE,
                CITATION,
                where(data_dir, DENSITIES),
            )
        ]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Return C_v and U at 300 K, per mol of primitive cells."""
        return Target(CV, "J/(mol K)"), Target(U, "J/mol")

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that `rows` may hold."""
        return ID, STRUCTURE, CV, U, FOLD, SPLIT_GONG

    def wanted(self, columns: Sequence[str]) -> list[tuple[RemoteFile, ...]]:
        """Return the file of structures, and those of labels and splits if needed."""
        files = [(DENSITIES,)]
        names = {CV if name in (FOLD, SPLIT_GONG) else name for name in columns}
        files += [(file,) for (name, _), file in LABELS.items() if name in names]
        return files + ([(CLOUD_TEST,)] if FOLD in columns else [])

    def count(self) -> int:
        """Return the number of structures, with labels or without."""
        return 1521

    def crystals(self, path: Path) -> Iterator[tuple[str, str]]:
        """Yield all structures, with labels or without."""
        yield from map(tuple, _read(path, 2))

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield all crystals; nine of them have no labels."""
        path, labels = self.path(DENSITIES), self._labels(columns)
        missing = set(labels)
        for name, structure in self.crystals(path):
            missing.discard(name)
            yield {ID: name, STRUCTURE: structure} | labels.get(name, {})
        if missing:
            raise SourceError(
                f"{path}: found no structure of {len(missing)} labelled crystals, "
                f"{', '.join(sorted(missing)[:5])}"
            )

    def _labels(self, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
        labels: dict[str, dict[str, Any]] = {}
        wanted = [file for (file, *_) in self.wanted(columns)]
        for (column, split), file in LABELS.items():
            if file in wanted:
                path = self.path(file)
                for name, (value,) in read_columns(
                    path, ["cif_id", "property"]
                ).items():
                    labels.setdefault(name, {})[column] = value
                    if column == CV:
                        labels[name][SPLIT_GONG] = split
        if CLOUD_TEST in wanted:
            path = self.path(CLOUD_TEST)
            tested = {_rounded(value) for value in read_columns(path, ["cv"])}
            for row in labels.values():
                known = CV in row and _rounded(row[CV]) in tested
                row[FOLD] = "test" if known else "train"
            n = sum(row[FOLD] == "test" for row in labels.values())
            if n != len(tested):
                raise SourceError(
                    f"{path}: {len(tested)} values of C_v are those of {n} labels, "
                    "expected one label each"
                )
        return labels

    def densities(self) -> Densities:
        """Return the phonon densities of all crystals.

        Raises:
            SourceError: the file is missing or damaged.
        """
        path = self.path(DENSITIES)
        ids, atoms, densities, grids = [], [], [], set()
        for name, structure, grid, density in _read(path, 4):
            ids.append(name)
            atoms.append(_literal(path, name, structure)["numbers"])
            grids.add(grid)
            densities.append(_literal(path, name, density))
        if len(grids) != 1:
            raise SourceError(f"{path}: found {len(grids)} grids of frequencies, not 1")
        grid = np.array(_literal(path, ids[0], grids.pop()))
        return Densities(ids, atoms, grid, np.array(densities))

    def curves(self, temperatures_k: Sequence[float]) -> Curves:
        """Return C_v and U of all crystals, integrated over their phonon densities.

        A density ends at 1000 cm^-1, where hydrogen and carbonates have modes left.

        Args:
            temperatures_k: temperatures, K, above 0.

        Raises:
            SourceError: the file is missing or damaged.
        """
        found, temperatures = self.densities(), np.asarray(temperatures_k, dtype=float)
        n_atoms = np.array([len(atoms) for atoms in found.atoms], dtype=float)
        per_atom = thermal(spectrum(found.frequency_cm, found.density), temperatures)
        return Curves(
            found.ids,
            n_atoms[:, None] * per_atom.heat_capacity,
            n_atoms[:, None] * per_atom.internal_energy,
            n_atoms,
        )


def _read(path: Path, n_columns: int) -> Iterator[list[str]]:
    """Yield the first n of id, structure, frequencies and density per row."""
    names = ("mp_id", "structure", "phfreq", "phdos")[:n_columns]
    with csv_rows(path) as (header, rows):
        places = [column_index(header, name, (), path) for name in names]
        for line, row in rows:
            if len(row) != len(header):
                raise SourceError(
                    f"{path}: line {line}: found {len(row)} fields, expected "
                    f"{len(header)}: download the file again"
                )
            yield [row[place] for place in places]


def _rounded(value: str) -> str:
    """Return a number without the last digits, where the two publications differ."""
    return f"{float(value):.10g}"


def _literal(path: Path, name: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError) as error:
        raise SourceError(f"{path}: {name}: found {text[:40]!r} ({error})") from error
