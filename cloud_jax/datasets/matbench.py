"""The eight regression tasks of MatBench v0.1 that have structures.

Dunn, Wang, Ganose, Dopp and Jain, npj Comput. Mater. 6, 138 (2020). Addresses and
SHA-256 are those of matminer's dataset_metadata.json (v0.9), targets and units those
of matbench's matbench_v0.1_dataset_metadata.json, ids and folds those of its code.
"""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from cloud_jax.datasets.benchmark import OrderedBenchmark
from cloud_jax.datasets.download import RemoteFile

_URL = "https://ml.materialsproject.org/projects/{}"
_PAGE = "https://matbench.materialsproject.org"
_DUNN = "10.1038/s41524-020-00406-3"


class MatbenchTask(NamedTuple):
    """Describe a task as published.

    Attributes:
        column: name of the target in the file.
        unit: unit of the target.
        rows: number of rows in the file.
        sha256: hash of the file.
        what: description of the target.
        licence: licence of the data.
        citation: DOI of the data.
    """

    column: str
    unit: str
    rows: int
    sha256: str
    what: str
    licence: str
    citation: str


_MP = "CC-BY-4.0 (Materials Project)", "10.1063/1.4812323"
_ELASTIC = "CC-BY-4.0 (Materials Project)", "10.1038/sdata.2015.9"
TASKS = {
    "jdft2d": MatbenchTask(
        "exfoliation_en", "meV/atom", 636,
        "26057dc4524e193e32abffb296ce819b58b6e11d1278cae329a2f97817a4eddf",
        "exfoliation energy of layered crystals",
        "public domain (NIST JARVIS)", "10.1038/s41598-017-05402-0",
    ),
    "phonons": MatbenchTask(
        "last phdos peak", "cm^-1", 1265,
        "4db551f21ec5f577e6202725f10e34dfc509aa7df3a6bdaac497da7f6dbbb9b3",
        "frequency of the last peak of the phonon density of states",
        "CC-BY-4.0", "10.1038/sdata.2018.65",
    ),
    "dielectric": MatbenchTask(
        "n", "", 4764,
        "83befa09bc2ec2f4b6143afc413157827a90e5e2e42c1eb507ccfa01bf26a1d6",
        "refractive index",
        "CC-BY-4.0 (Materials Project)", "10.1038/sdata.2016.134",
    ),
    "log_gvrh": MatbenchTask(
        "log10(G_VRH)", "log10(GPa)", 10987,
        "098af941f4c663270f1fe21abf20ffad6fb85ecbfcba5786ceac03983ac29da7",
        "logarithm of the shear modulus", *_ELASTIC,
    ),
    "log_kvrh": MatbenchTask(
        "log10(K_VRH)", "log10(GPa)", 10987,
        "44b113ddb7e23aa18731a62c74afa7e5aa654199e0db5f951c8248a00955c9cd",
        "logarithm of the bulk modulus", *_ELASTIC,
    ),
    "perovskites": MatbenchTask(
        "e_form", "eV/unit cell", 18928,
        "4641e2417f8ec8b50096d2230864468dfa08278dc9d257c327f65d0305278483",
        "formation energy of perovskites",
        "not stated (Computational Materials Repository)", "10.1039/C2EE22341D",
    ),
    "mp_gap": MatbenchTask(
        "gap pbe", "eV", 106113,
        "58b65746bd88329986ed66031a2ac1369c7c522f7bc9f9081528e07097c2c057",
        "band gap", *_MP,
    ),
    "mp_e_form": MatbenchTask(
        "e_form", "eV/atom", 132752,
        "dedcb1d4ba2e3e50dbdd45ba5bc647a00e9c2bcf8f8bf556dc8e92caa39eb21f",
        "formation energy", *_MP,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class MatbenchSource(OrderedBenchmark):
    """Read one task, named without `matbench_`."""

    kind: ClassVar[str] = "matbench"
    title: ClassVar[str] = "MatBench v0.1"
    tasks: ClassVar[dict[str, MatbenchTask]] = TASKS
    fold_seed: ClassVar[int] = 18012019

    def __post_init__(self):
        super().__post_init__()
        task = TASKS[self.task]
        self._describe(task.licence, f"{_DUNN}, {task.citation}")

    @property
    def file(self) -> RemoteFile:
        """Return the file of the task."""
        name = f"matbench_{self.task}.json.gz"
        sha256 = TASKS[self.task].sha256
        return RemoteFile(name, _URL.format(name), sha256=sha256, page=_PAGE)

    @property
    def id_prefix(self) -> str:
        """Return the prefix of the official ids, such as `mb-log-gvrh`."""
        return f"mb-{self.task.replace('_', '-')}"
