"""The paper's tables, as data: paper_tables.toml beside this file."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

_CELL = re.compile(r"(-?[\d.]+)(?: \(([\d.]+)\))?")


class Cell(NamedTuple):
    """A number of the paper.

    Attributes:
        model: whose it is.
        kind: of the model: structure-based, structure-agnostic, coordinate-free ...;
            empty where a row is no model.
        text: as printed.
        value: in the unit of its column.
        deviation: of the value; None where there is none.
    """

    model: str
    kind: str
    text: str
    value: float
    deviation: float | None


class Benchmark(NamedTuple):
    """One task of the paper.

    Attributes:
        name: as runs name it, for instance `matbench_phonons`.
        title: for people.
        property: what is predicted.
        metric: MAE or MAE/MAD; lower is better.
        unit: of it; empty where there is none.
        rows: of the official task; of the test set where that is separate.
        folds: of the official task.
        table: number of the table in the paper.
        cloud: the row of the paper's own model to compare with.
        train_rows: of a separate training set; 0 where folds make one.
        column: of the table, where it is not `name`.
        note: what else a reader must know.
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
        """The title without that of the collection."""
        return self.title.split(" ", 1)[-1].split(",")[0]


class Table(NamedTuple):
    """One table of the paper.

    Attributes:
        number: in the paper, such as S3.
        caption: what it shows.
        columns: their names.
        better: of each column `lower` or `higher`.
        cells: {row: its cells, in the order of the columns}.
        deviation: what is in brackets.
        remarks: what was mended in the text that the numbers come from, and what does
            not fit in them.
    """

    number: str
    caption: str
    columns: list[str]
    better: list[str]
    cells: dict[str, list[Cell]]
    deviation: str
    remarks: list[str]

    def column(self, name: str) -> list[Cell]:
        """The cells of a column, in the order of the rows."""
        place = self.columns.index(name)
        return [cells[place] for cells in self.cells.values()]


@cache
def read_paper() -> dict[str, Any]:
    """All of the file: for what is not a table (`scaling`, `attention` ...)."""
    path = Path(__file__).parent / "paper_tables.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


@cache
def benchmarks() -> dict[str, Benchmark]:
    """The tasks, in the paper's order."""
    found = read_paper()["benchmarks"]
    return {name: Benchmark(name, **fields) for name, fields in found.items()}


@cache
def table(number: str) -> Table:
    """A table by its number, such as S3."""
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


def own(model: str) -> bool:
    """Whether a row is one of the paper's own models."""
    return model.startswith("CLOUD")


def results(benchmark: Benchmark) -> list[Cell]:
    """What all models of the paper reach in a task."""
    return table(benchmark.table).column(benchmark.column or benchmark.name)


def cloud(benchmark: Benchmark) -> Cell:
    """What the paper's own model reaches."""
    return next(cell for cell in results(benchmark) if cell.model == benchmark.cloud)


def best_peer(benchmark: Benchmark) -> Cell | None:
    """The best coordinate-free model that is not CLOUD; None where there is none."""
    peers = [c for c in results(benchmark) if c.kind == "coordinate-free"]
    return min(
        (c for c in peers if not own(c.model)), key=lambda c: c.value, default=None
    )


def best(benchmark: Benchmark) -> Cell:
    """The best model of the paper's table, CLOUD included."""
    return min(results(benchmark), key=lambda cell: cell.value)
