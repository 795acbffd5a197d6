"""The six general tasks of UnconvBench: unconventional crystals.

Wang et al., "CrysToGraph: a comprehensive predictive model for crystal material
properties and the benchmark" (2024). Names, sizes, ids and folds are those of its code
(github.com/howardwang1997/unconvbench, constant.py and utils.py); the files are in the
figshare article 26657428, which gives their addresses and MD5.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from cloud_jax.datasets.benchmark import OrderedBenchmark
from cloud_jax.datasets.download import RemoteFile

_ARTICLE = "https://api.figshare.com/v2/articles/26657428/files"
_PAGE = "https://figshare.com/articles/dataset/UnconvBench/26657428"
_LICENCE = "MIT (UnconvBench); the data of its origins"
_CITATION = "10.48550/arXiv.2407.16131"


class UnconvbenchTask(NamedTuple):
    """Describe a task as published.

    Attributes:
        dataset: name of the task in UnconvBench.
        column: name of the target in the file.
        unit: unit of the target.
        rows: number of rows in the file.
        what: description of the target, with its origin.
    """

    dataset: str
    column: str
    unit: str
    rows: int
    what: str


# Keys are the names of the CLOUD paper (Table S6).
TASKS = {
    "2d_e_exf": UnconvbenchTask(
        "unconvbench_exfoliation", "exfoliation_energy_per_atom", "eV/atom", 4527,
        "exfoliation energy of 2D materials (2DMatPedia)",
    ),
    "2d_e_tot": UnconvbenchTask(
        "unconvbench_2d_e_tot", "etot", "eV", 3520, "total energy of 2D crystals (C2DB)"
    ),
    "2d_gap": UnconvbenchTask(
        "unconvbench_2d_gap", "gap", "eV", 3520, "band gap of 2D crystals (C2DB)"
    ),
    "qmof": UnconvbenchTask(
        "unconvbench_qmof", "energy_total", "eV", 5106, "total energy of MOFs (QMOF)"
    ),
    "supercon": UnconvbenchTask(
        "unconvbench_supercon", "Tc", "K", 1058,
        "critical temperature of superconductors (JARVIS)",
    ),
    "defected": UnconvbenchTask(
        "unconvbench_defected", "ef", "eV", 530, "vacancy formation energy (JARVIS)"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class UnconvbenchSource(OrderedBenchmark):
    """Read one task, by its name in the CLOUD paper."""

    kind: ClassVar[str] = "unconvbench"
    title: ClassVar[str] = "UnconvBench"
    tasks: ClassVar[dict[str, UnconvbenchTask]] = TASKS
    fold_seed: ClassVar[int] = 42

    def __post_init__(self):
        super().__post_init__()
        self._describe(_LICENCE, _CITATION)

    @property
    def file(self) -> RemoteFile:
        """Return the file of the task."""
        return RemoteFile(f"ub_{self.id_prefix}.json", _ARTICLE, page=_PAGE)

    @property
    def id_prefix(self) -> str:
        """Return the prefix of the official ids, such as `unconvbench_supercon`."""
        return TASKS[self.task].dataset
