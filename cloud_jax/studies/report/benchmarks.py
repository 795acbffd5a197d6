"""Fine-tuning runs beside the paper: the summary, and the paper's tables with ours."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from cloud_jax.studies import paper
from cloud_jax.studies.paper import Benchmark, Cell
from cloud_jax.studies.report.gather import Run, dig, many, number
from cloud_jax.studies.report.grids import (
    NOT_RUN,
    Entry,
    Grid,
    duration,
    figure_of,
    measured,
)

_METRICS = {"MAE": "mae", "MAE/MAD": "mae_over_mad_train_mean"}
_MOST_MISSING = 0.01  # share of the rows of a benchmark
STARTS = ("scratch", "pretrained")


class Result(NamedTuple):
    """What a run reached in a benchmark of the paper.

    Attributes:
        run: whose it is.
        benchmark: of the paper.
        target: of the run.
        unit: of the error where it is not that of the benchmark, else empty.
        start: scratch or pretrained.
        ensemble: mean over folds, in the unit of the benchmark.
        deviation: over the folds; None of one fold.
        single: mean over single members, None where a fold has one.
        folds: run.
        tested: test rows of all folds.
        rejected: rows of the table that could not be used.
        learned: rows that no fold tests, to learn from alone.
        validation: mean MAE/MAD on validation rows; None where it is not known.
        protocol: strict or paper.
    """

    run: Run
    benchmark: Benchmark
    target: str
    unit: str
    start: str
    ensemble: float | None
    deviation: float | None
    single: float | None
    folds: int
    tested: int
    rejected: float
    learned: float
    validation: float | None
    protocol: str

    @property
    def differs(self) -> str:
        """In which rows it differs from the benchmark; empty if it can be ranked.

        Rejected rows are forgiven, up to 1 %.
        """
        known = self.benchmark
        apart = self.learned if known.train_rows else 0
        missing = known.rows - (self.tested + self.learned - apart)
        if not 0 <= missing <= min(self.rejected, _MOST_MISSING * known.rows):
            return "other rows"
        if self.folds != known.folds:
            return f"{self.folds} of {known.folds} folds"
        far = abs(self.learned - known.train_rows) > _MOST_MISSING * known.train_rows
        return "other training rows" if far else ""

    @property
    def rank(self) -> tuple:
        """Least first: strict before paper, more test rows, lower validation error."""
        unknown = self.validation is None
        order = self.protocol != "strict", -self.tested, unknown, self.validation or 0.0
        return (*order, self.run.name)


def targets_of(run: Run) -> list[dict]:
    """Name, property and unit of each target, as far as a run says."""
    ensemble = dig(run.results, "ensemble")
    names = list(ensemble) if isinstance(ensemble, dict) else []
    described = {str(dig(t, "name")): t for t in many(run.results, "targets")}
    if not described:  # a run from before they were written
        columns = many(run.config, "targets", "columns")
        for i, column in enumerate(columns):
            values = (dig(run.config, "targets", key, i) for key in _PARTS.values())
            described[str(column)] = dict(zip(_PARTS, values, strict=True))
    return [{"name": name, **(described.get(name) or {})} for name in names]


_PARTS = {"property": "properties", "unit": "units", "basis": "bases"}


def results_of(run: Run) -> list[Result]:
    """The benchmarks of the paper that a fine-tuning run belongs to."""
    named = str(dig(run.results, "benchmark") or "")
    found = []
    for target in targets_of(run):
        for benchmark in paper.benchmarks().values():
            thermal = benchmark.name.startswith("thermal")
            if thermal and named.startswith("thermal"):
                matches = target.get("property") == benchmark.property
            else:
                matches = benchmark.name == named and not found
            if matches:
                found.append(_result(run, benchmark, target))
    return found


def _result(run: Run, benchmark: Benchmark, described: dict) -> Result:
    metric, target = _METRICS[benchmark.metric], described["name"]
    unit = str(described.get("unit") or "").replace("^-1", "⁻¹")
    same = benchmark.metric == "MAE/MAD" or unit == benchmark.unit
    folds = many(run.results, "folds")
    counts = [number(fold, "n_test") for fold in folds]
    tested = sum(n for n in counts if isinstance(n, int))
    several = any(len(many(fold, "members")) > 1 for fold in folds)
    return Result(
        run=run,
        benchmark=benchmark,
        target=target,
        unit="" if same else unit,
        start="pretrained" if dig(run.results, "checkpoint") else "scratch",
        ensemble=number(run.results, "ensemble", target, metric, "mean"),
        deviation=number(run.results, "ensemble", target, metric, "std"),
        single=number(run.results, "single", target, metric, "mean")
        if several
        else None,
        folds=len(folds),
        tested=tested,
        rejected=number(run.results, "rows_rejected") or 0,
        learned=(number(run.results, "rows_used") or tested) - tested,
        validation=number(run.results, "validation_mae_over_mad"),
        protocol=str(dig(run.results, "protocol") or "unknown"),
    )


def by_benchmark(runs: Sequence[Run]) -> dict[tuple[str, str], list[Result]]:
    """Results by (benchmark, start), the chosen one first."""
    found = defaultdict(list)
    for run in runs:
        if run.kind == "finetune":
            for result in results_of(run):
                found[result.benchmark.name, result.start].append(result)
    return {
        key: sorted(results, key=lambda r: r.rank) for key, results in found.items()
    }


def value_of(result: Result) -> str:
    """An ensemble's number, with its deviation over folds."""
    return measured(result.ensemble, result.deviation)


def how(result: Result) -> str:
    """In which way a result was measured."""
    benchmark, run = result.benchmark, result.run
    rows = f"{result.tested:,} of {benchmark.rows:,} rows tested"
    if result.tested > benchmark.rows:
        rows = f"{result.tested:,} rows tested, the task has {benchmark.rows:,}"
    if benchmark.train_rows:
        learned = figure_of(result.learned)
        rows += f", learned from {learned} of {benchmark.train_rows:,}"
    elif result.learned and result.learned + result.tested != benchmark.rows:
        rows += f", {figure_of(result.learned + result.tested)} used"
    if result.rejected:
        rows += f", {figure_of(result.rejected)} rejected"
    folds = f"{result.folds} of {benchmark.folds} folds"
    dialect = str(dig(run.results, "dialect") or "unknown")
    return f"{result.protocol} protocol, {folds}, {rows}, {dialect} dialect"


def summary(
    found: dict[tuple[str, str], list[Result]], anchors: dict[str, str]
) -> Grid:
    """One row a benchmark: ours, the paper's, and how ours was measured."""
    head = (
        "task", "error", "ours, from scratch", "ours, pretrained", "paper's CLOUD",
        "best coordinate-free peer", "best of the paper's table",
        "how ours was measured",
    )  # fmt: skip
    rows = [_summary_row(b, found, anchors) for b in paper.benchmarks().values()]
    notes = (
        "Errors: lower is better; in brackets the deviation over folds. Ours is the "
        "mean over an ensemble's members where a fold has several, and the mean of "
        "single members below it.",
        "Of several runs of a task the one shown is chosen without looking at test "
        "rows: protocol strict before paper, then more rows tested, then the lower "
        "validation error. All are in the table of runs.",
        "MAE/MAD divides by the deviation from the mean of the training targets, as "
        "the reference pipeline does; the runs below give it for the mean of the test "
        "targets too.",
        '"best" marks the lowest number of a row; ours takes part only if it was '
        "learned from and was tested on the benchmark's own rows and folds (up to 1 % "
        "may be rejected), and else says what differs. A stand-in has other rows.",
    )
    return Grid("Our runs beside the paper", head, rows, notes, cards=True)


def _summary_row(benchmark: Benchmark, found: dict, anchors: dict) -> list[Entry]:
    ours = {start: found.get((benchmark.name, start)) for start in STARTS}
    chosen = {start: results[0] for start, results in ours.items() if results}
    cells = {
        "cloud": paper.cloud(benchmark),
        "peer": paper.best_peer(benchmark),
        "best": paper.best(benchmark),
    }
    values = [cell.value for cell in cells.values() if cell]
    values += [r.ensemble for r in chosen.values() if not r.differs and r.ensemble]
    least = min(values)
    table = f"Table {benchmark.table}"
    entries = [
        Entry(benchmark.title, f"{benchmark.property.replace('_', ' ')}; {table}"),
        Entry(", ".join(filter(None, (benchmark.metric, benchmark.unit)))),
    ]
    entries += [_ours(chosen.get(start), least, anchors) for start in STARTS]
    for cell in cells.values():
        name = cell.model if cell else ""
        entries.append(_theirs(cell, least)._replace(detail=name))
    return [*entries, _how(benchmark, chosen)]


def _ours(result: Result | None, least: float, anchors: dict) -> Entry:
    if result is None:
        return Entry(NOT_RUN, numeric=True)
    mark = result.differs or ("best" if result.ensemble == least else "")
    below = [f"single {measured(result.single)}"] if result.single else []
    below += [f"in {result.unit}"] if result.unit else []
    text = value_of(result) or "no number"
    return Entry(text, ", ".join(below), mark, True, anchors[result.run.name])


def _how(benchmark: Benchmark, chosen: dict[str, Result]) -> Entry:
    ways = {start: how(result) for start, result in chosen.items()}
    notes = [str(dig(r.run.results, "note") or "") for r in chosen.values()]
    if len(set(ways.values())) == 1:
        text = next(iter(ways.values()))
    else:
        text = "; ".join(f"{start}: {way}" for start, way in ways.items())
    # What the longer note of the other run begins with is said there.
    notes = [n for n in notes if not any(o != n and o.startswith(n) for o in notes)]
    notes = dict.fromkeys(filter(None, [*notes, benchmark.note]))
    return Entry(text or NOT_RUN, " ".join(f"{note.rstrip('.')}." for note in notes))


def all_results(
    found: dict[tuple[str, str], list[Result]], anchors: dict[str, str]
) -> Grid:
    """Every run of every benchmark; the chosen one is marked."""
    rows = []
    for benchmark in paper.benchmarks().values():
        for start in STARTS:
            for i, result in enumerate(found.get((benchmark.name, start), [])):
                rows.append(
                    (
                        Entry(result.run.name, link=anchors[result.run.name]),
                        Entry(benchmark.title),
                        Entry(start),
                        _size(result.run),
                        Entry(
                            measured(result.validation), "", "" if i else "chosen", True
                        ),
                        Entry(value_of(result), "", result.differs, True),
                        Entry(measured(result.single) or "-", numeric=True),
                        _time(result.run),
                        Entry(how(result), str(dig(result.run.results, "note") or "")),
                    )
                )
    head = (
        "run", "task", "start", "parameters", "validation MAE/MAD", "test",
        "test, single members", "training time", "how",
    )  # fmt: skip
    return Grid("All runs of the paper's tasks", head, rows)


def _size(run: Run) -> Entry:
    parameters = number(run.results, "parameters_of_a_member")
    return Entry(figure_of(parameters) or "-", numeric=True)


def _time(run: Run) -> Entry:
    seconds = number(run.timing, "training_seconds")
    return Entry(duration(seconds) or "-", numeric=True)


def paper_table(
    number_: str, found: dict[tuple[str, str], list[Result]], anchors: dict[str, str]
) -> Grid:
    """A table of the paper with rows of ours below its own."""
    table = paper.table(number_)
    tasks = [paper.benchmarks()[name] for name in table.columns]
    chosen = {
        start: [next(iter(found.get((b.name, start), [])), None) for b in tasks]
        for start in STARTS
    }
    least = [min(cell.value for cell in paper.results(task)) for task in tasks]
    for results in chosen.values():
        for i, result in enumerate(results):
            if result and not result.differs and result.ensemble is not None:
                least[i] = min(least[i], result.ensemble)
    rows = [
        [
            Entry(model, cells[0].kind),
            *(_narrow(_theirs(c, x)) for c, x in zip(cells, least, strict=True)),
        ]
        for model, cells in table.cells.items()
    ]
    for start, results in chosen.items():
        ours = [_ours(r, x, anchors) for r, x in zip(results, least, strict=True)]
        entries = [_narrow(entry) for entry in ours]
        rows.append([Entry(f"ours, {start}", "coordinate-free"), *entries])
    head = ["model", *(task.short for task in tasks)]
    return Grid(f"Table {number_}. {table.caption}", head, rows, table.remarks)


def _theirs(cell: Cell | None, least: float) -> Entry:
    if cell is None:
        return Entry("none in the table", numeric=True)
    return Entry(cell.text, mark="best" if cell.value == least else "", numeric=True)


def _narrow(entry: Entry) -> Entry:
    """An entry with the deviation below the value."""
    value, _, deviation = entry.text.partition(" (")
    below = [f"({deviation}" if deviation else "", entry.detail]
    return entry._replace(text=value, detail="; ".join(filter(None, below)))
