"""Training and test sets of MatBench Discovery: Materials Project and WBM.

Riebesell et al., arXiv:2308.14920; WBM: Wang, Botti and Marques, npj Comput. Mater. 7,
12 (2021). Names, addresses and MD5 are those of matbench_discovery/data-files.yml of
2026, whose figshare pages answer at `api.figshare.com/v2/file/download`. Columns are
`e_form_per_atom` (DFT, MP2020 corrections) and `e_above_hull` (of Materials Project's
hull), eV/atom, and of WBM `unique_prototype` (`True` or `False`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

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
from cloud_jax.structures.json_stream import column_pairs, line_rows
from cloud_jax.structures.source import Listing, Piece, RawItem, SourceError
from cloud_jax.structures.table import TableSource, open_npz

_URL = "https://api.figshare.com/v2/file/download/{}"
_PAGE = "https://figshare.com/articles/dataset/22715158"
_LICENCE = "CC-BY-4.0"
_CITATION = "10.48550/arXiv.2308.14920, 10.1038/s41524-020-00481-6, 10.1063/1.4812323"
E_FORM, E_HULL, UNIQUE = "e_form_per_atom", "e_above_hull", "unique_prototype"


def _file(name: str, number: int, md5: str) -> RemoteFile:
    return RemoteFile(name, _URL.format(number), md5=md5, page=_PAGE)


MP_ENTRIES = _file(
    "2023-02-07-mp-computed-structure-entries.json.gz",
    40344436,
    "76fc748db6b175bb80de4c276d27c235",
)
MP_ENERGIES = _file(
    "2025-02-01-mp-energies.csv.gz", 52080797, "7eb0c49fc169ba92783f2f6d0d19d741"
)
WBM_INITIAL = _file(
    "2022-10-19-wbm-init-structs.jsonl.gz", 53161835, "b809f101dd42a745ec2baabe7eb16f11"
)
WBM_INITIAL_OLD = _file(  # until 2025
    "2022-10-19-wbm-init-structs.json.bz2", 40344466, "ff2c40a3a7bf65468852b67f0dbc67df"
)
WBM_SUMMARY = _file(
    "2023-12-13-wbm-summary.csv.gz", 64706751, "1555268d3aa59d20262cb9d01ce0994b"
)
# The same cells and formation energies as arrays (those of `table:FILE.npz`, and
# e_form_per_atom_mp2020_corrected), which nobody publishes.
WBM_ARRAYS = RemoteFile("wbm_initial_structures.npz", "")

PARTS = {
    "mp": (MP_ENTRIES,),
    "wbm": (WBM_INITIAL, WBM_INITIAL_OLD, WBM_ARRAYS),
}
_ENERGIES = {  # file, and its columns
    "mp": (
        MP_ENERGIES,
        "material_id",
        "formation_energy_per_atom",
        "energy_above_hull",
    ),
    "wbm": (
        WBM_SUMMARY,
        "material_id",
        "e_form_per_atom_mp2020_corrected",
        "e_above_hull_mp2020_corrected_ppd_mp",
        "unique_prototype",
    ),
}


@dataclass(frozen=True)
class DiscoverySource(Benchmark):
    """Read the training set, the test set, or both.

    Attributes:
        part: `mp`, `wbm` or `mp+wbm`.
    """

    kind: ClassVar[str] = "discovery"
    part: str = ""

    def __post_init__(self):
        if not self.parts or not set(self.parts) <= PARTS.keys():
            raise SourceError(
                f"discovery:{self.part}: expected mp (training rows), wbm (test "
                "rows) or mp+wbm (both)"
            )
        self._describe(_LICENCE, _CITATION)

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "DiscoverySource":
        """Return the source of `discovery:mp`, `discovery:wbm` or both, `mp+wbm`."""
        name = f"discovery_{text.replace('+', '_')}"
        return cls(name=name, data_dir=data_dir, part=text)

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """Return a listing of the training set and one of the test set."""
        kinds = (
            ("mp", "training set: Materials Project 2022", "154,719 structures"),
            ("wbm", "test set: WBM, unrelaxed cells", "256,963 structures, 50 MB"),
        )
        return [
            Listing(
                f"discovery:{part}",
                f"MatBench Discovery {what}; e_form and hull distance, eV/atom",
                size,
                _LICENCE,
                _CITATION,
                where(data_dir, *PARTS[part]),
            )
            for part, what, size in kinds
        ]

    @property
    def parts(self) -> list[str]:
        """Return the parts, in order."""
        return self.part.split("+") if self.part else []

    @property
    def targets(self) -> tuple[Target, ...]:
        """Return formation energy and hull distance, eV/atom."""
        return Target(E_FORM, "eV/atom"), Target(E_HULL, "eV/atom")

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that `rows` may hold."""
        return ID, STRUCTURE, E_FORM, E_HULL, UNIQUE, FOLD

    def wanted(self, columns: Sequence[str]) -> list[tuple[RemoteFile, ...]]:
        """Return the files of cells, and of energies where a column needs them."""
        files = [PARTS[part] for part in self.parts]
        energies = [part for part in self.parts if self._wants_energies(part, columns)]
        return files + [_ENERGIES[part][:1] for part in energies]

    def pieces(self) -> list[Piece]:
        """Return the files with the crystals."""
        paths = [self.path(*PARTS[part]) for part in self.parts]
        return [Piece(path.name, path) for path in paths]

    def crystals(self, path: Path) -> Iterator[tuple[str, Any]]:
        """Yield the cells of a part."""
        return _structures(path)

    def rows(self, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Yield the rows of each part in the order of its cells."""
        for part in self.parts:
            path = self.path(*PARTS[part])
            if self._wants_energies(part, columns):
                file, *names = _ENERGIES[part]
                energies = read_columns(self.path(file), names)
            else:
                energies = _energies_of_arrays(path) if E_FORM in columns else {}
            fold = {FOLD: "train" if part == "mp" else "test"}
            for name, structure in self.crystals(path):
                values = [*energies.get(name, ()), None, None, None][:3]
                row = dict(zip((E_FORM, E_HULL, UNIQUE), values, strict=True))
                yield {ID: name, STRUCTURE: structure} | row | fold

    def _wants_energies(self, part: str, columns: Sequence[str]) -> bool:
        """Return whether a column comes from the file with a part's energies."""
        theirs = {E_FORM, E_HULL, UNIQUE} & set(columns)
        if part == "wbm" and theirs == {E_FORM}:
            return not where(self.data_dir, *PARTS[part]).endswith(".npz")
        return bool(theirs - ({UNIQUE} if part == "mp" else set()))


def _structures(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (id, structure or item) per crystal of a file.

    Raises:
        SourceError: the file is damaged or of another kind.
    """
    if path.suffix == ".npz":
        arrays = TableSource("wbm", paths=(str(path),))
        yield from ((item.id, item) for item in arrays.items())
    elif path.name == MP_ENTRIES.name:
        for name, entry in column_pairs(path, "material_id", "entry"):
            found = entry.get(STRUCTURE) if isinstance(entry, dict) else None
            yield name, found or _bad(name, "entry", entry)
    elif path.name == WBM_INITIAL_OLD.name:
        yield from column_pairs(path, "material_id", "initial_structure")
    else:
        for number, row in line_rows(path):
            if isinstance(row, dict) and {"material_id", "initial_structure"} <= set(
                row
            ):
                yield row["material_id"], row["initial_structure"]
            else:
                name = f"{path.name}:{number}"
                yield name, _bad(name, "material_id and initial_structure", row)


def _bad(name: str, expected: str, found: Any) -> RawItem:
    problem = f"found {str(found)[:80]}, expected {expected}"
    return RawItem(name, ("bad_row", problem), "reject")


def _energies_of_arrays(path: Path) -> dict[str, list[float]]:
    """Return the formation energies in an npz, eV/atom, by id."""
    keys = ("material_id", "e_form_per_atom_mp2020_corrected")
    with open_npz(path, keys) as data:
        names, energies = (data[key].tolist() for key in keys)
        return {n: [energy] for n, energy in zip(names, energies, strict=True)}
