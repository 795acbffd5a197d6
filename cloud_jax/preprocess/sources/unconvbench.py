"""The six general tasks of UnconvBench: crystals that are not ordinary.

Wang et al., "CrysToGraph: a comprehensive predictive model for crystal material
properties and the benchmark" (2024). Names, sizes, ids and folds are those of its code
(github.com/howardwang1997/unconvbench, constant.py and utils.py); the files are in the
figshare article 26657428, which gives their addresses and MD5.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from cloud_jax.preprocess.sources.benchmark import (
    OrderedBenchmark,
    Target,
    fold_names,
    where,
)
from cloud_jax.preprocess.sources.download import RemoteFile
from cloud_jax.preprocess.sources.source import Listing, SourceError

FOLD_SEED = 42  # UnconvBench's, of every task
_ARTICLE = "https://api.figshare.com/v2/articles/26657428/files"
_PAGE = "https://figshare.com/articles/dataset/UnconvBench/26657428"
_LICENCE = "MIT (UnconvBench); the data of its origins"
_CITATION = "10.48550/arXiv.2407.16131"


class Task(NamedTuple):
    """A task as published.

    Attributes:
        dataset: its name in UnconvBench.
        column: of the target, in the file.
        unit: of the target.
        rows: of the file.
        what: the target is, and where it is from.
    """

    dataset: str
    column: str
    unit: str
    rows: int
    what: str


# By the names of the CLOUD paper (Table S6).
TASKS = {
    "2d_e_exf": Task(
        "unconvbench_exfoliation", "exfoliation_energy_per_atom", "eV/atom", 4527,
        "exfoliation energy of 2D materials (2DMatPedia)",
    ),
    "2d_e_tot": Task(
        "unconvbench_2d_e_tot", "etot", "eV", 3520, "total energy of 2D crystals (C2DB)"
    ),
    "2d_gap": Task(
        "unconvbench_2d_gap", "gap", "eV", 3520, "band gap of 2D crystals (C2DB)"
    ),
    "qmof": Task(
        "unconvbench_qmof", "energy_total", "eV", 5106, "total energy of MOFs (QMOF)"
    ),
    "supercon": Task(
        "unconvbench_supercon", "Tc", "K", 1058,
        "critical temperature of superconductors (JARVIS)",
    ),
    "defected": Task(
        "unconvbench_defected", "ef", "eV", 530, "vacancy formation energy (JARVIS)"
    ),
}  # fmt: skip


def task_file(name: str) -> RemoteFile:
    """The published file of a task."""
    return RemoteFile(f"ub_{TASKS[name].dataset}.json", _ARTICLE, page=_PAGE)


def official_ids(name: str) -> list[str]:
    """The ids of a task's rows, `unconvbench_supercon-0001` and so on."""
    n = TASKS[name].rows
    width = len(str(n))
    return [f"{TASKS[name].dataset}-{i:0{width}d}" for i in range(1, n + 1)]


def official_folds(name: str) -> list[str]:
    """Of each row of a task the name of the fold that tests it."""
    return fold_names(TASKS[name].rows, FOLD_SEED)


@dataclass(frozen=True)
class UnconvbenchSource(OrderedBenchmark):
    """One task.

    Attributes:
        task: its name in the CLOUD paper.
    """

    kind: ClassVar[str] = "unconvbench"
    task: str = ""

    def __post_init__(self):
        if self.task not in TASKS:
            raise SourceError(
                f"unconvbench:{self.task}: expected one of {', '.join(TASKS)}"
            )
        self._describe(_LICENCE, _CITATION)

    @classmethod
    def from_word(cls, text: str, data_dir: str) -> "UnconvbenchSource":
        """`unconvbench:supercon` and so on."""
        return cls(name=f"unconvbench_{text}", data_dir=data_dir, task=text)

    @classmethod
    def listings(cls, data_dir: str) -> list[Listing]:
        """The six tasks."""
        return [
            Listing(
                f"unconvbench:{name}",
                f"UnconvBench: {task.what}, {task.unit}",
                f"{task.rows:,} structures",
                _LICENCE,
                _CITATION,
                where(data_dir, task_file(name)),
            )
            for name, task in TASKS.items()
        ]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The task's one target."""
        return (Target(TASKS[self.task].column, TASKS[self.task].unit),)

    @property
    def file(self) -> RemoteFile:
        """The task's file."""
        return task_file(self.task)

    def ids(self) -> list[str]:
        """UnconvBench's ids."""
        return official_ids(self.task)

    def folds(self) -> list[str]:
        """UnconvBench's folds."""
        return official_folds(self.task)

    def count(self) -> int:
        """Rows of the file."""
        return TASKS[self.task].rows
