"""The numbers of the paper, read from paper_tables.toml beside this file."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

_CELL = re.compile(r"(-?[\d.]+)(?: \(([\d.]+)\))?")


class Cell(NamedTuple):
    """A number of the paper.

    Attributes:
        model: name of the row.
        kind: of the model: structure-based, structure-agnostic, coordinate-free ...;
            empty where the row is not a model.
        text: as printed.
        value: in the unit of its column.
        deviation: of the value; None where the paper prints none.
    """

    model: str
    kind: str
    text: str
    value: float
    deviation: float | None


class Benchmark(NamedTuple):
    """One task of the paper.

    Attributes:
        name: in a run's configuration, for instance `matbench_phonons`.
        title: shown to readers.
        property: that is predicted.
        metric: MAE or MAE/MAD; lower is better.
        unit: of the metric; empty where it has none.
        rows: of the official task; of the test set where that is separate.
        folds: of the official task.
        table: number of the table in the paper.
        cloud: row of the paper's own model to compare with.
        train_rows: of a separate training set; 0 where the folds make one.
        column: of the table, where it is not `name`.
        note: anything else that a reader must know.
    """

    name: str
    title: str
    property: str
    metric: str
    unit: str
    rows: int
    folds: int
    table: str
    cloud: str
    train_rows: int = 0
    column: str = ""
    note: str = ""

    @property
    def short(self) -> str:
        """Title without the name of the collection."""
        return self.title.split(" ", 1)[-1].split(",")[0]


class Table(NamedTuple):
    """One table of the paper.

    Attributes:
        number: in the paper, such as S3.
        caption: above it.
        columns: names of the columns.
        better: `lower` or `higher`, per column.
        cells: {row: cells in the order of the columns}.
        deviation: meaning of the numbers in brackets.
        remarks: repairs of damaged text, and contradictions in the paper.
    """

    number: str
    caption: str
    columns: list[str]
    better: list[str]
    cells: dict[str, list[Cell]]
    deviation: str
    remarks: list[str]

    def column(self, name: str) -> list[Cell]:
        """Return the cells of a column, in the order of the rows."""
        place = self.columns.index(name)
        return [cells[place] for cells in self.cells.values()]


@cache
def read_paper() -> dict[str, Any]:
    """Return the whole file, for parts that are not tables (`scaling`, `attention`)."""
    path = Path(__file__).parent / "paper_tables.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def benchmarks() -> dict[str, Benchmark]:
    """Return the tasks by name, in the paper's order."""
    found = read_paper()["benchmarks"]
    return {name: Benchmark(name, **fields) for name, fields in found.items()}


@cache
def table(number: str) -> Table:
    """Return a table by its number, such as S3."""
    paper = read_paper()
    kinds = {model: kind for kind, names in paper["kinds"].items() for model in names}
    found = paper["tables"][number]
    return Table(
        number,
        found["caption"],
        found["columns"],
        found["better"],
        {
            row: [_cell(row, kinds.get(row, ""), text) for text in texts]
            for row, texts in found["rows"].items()
        },
        found.get("deviation", ""),
        [f"Repaired: {line}." for line in found.get("repaired", [])]
        + found.get("notes", []),
    )


def _cell(model: str, kind: str, text: str) -> Cell:
    match = _CELL.fullmatch(text)
    value, deviation = match.groups()
    return Cell(model, kind, text, float(value), deviation and float(deviation))


def results(benchmark: Benchmark) -> list[Cell]:
    """Return the errors of all models of the paper in a task."""
    return table(benchmark.table).column(benchmark.column or benchmark.name)


def cloud(benchmark: Benchmark) -> Cell:
    """Return the error of the paper's own model."""
    return next(cell for cell in results(benchmark) if cell.model == benchmark.cloud)


def best_peer(benchmark: Benchmark) -> Cell | None:
    """Return the best coordinate-free model besides CLOUD; None where there is none."""
    peers = [
        cell
        for cell in results(benchmark)
        if cell.kind == "coordinate-free" and not cell.model.startswith("CLOUD")
    ]
    return min(peers, key=lambda cell: cell.value, default=None)


def best(benchmark: Benchmark) -> Cell:
    """Return the best model of the paper's table, CLOUD included."""
    return min(results(benchmark), key=lambda cell: cell.value)
