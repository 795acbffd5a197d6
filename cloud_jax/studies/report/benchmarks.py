"""Fine-tuning runs beside the paper: the summary, and the paper's tables with ours."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from cloud_jax.studies import paper
from cloud_jax.studies.paper import Benchmark, Cell
from cloud_jax.studies.report.gather import Run
from cloud_jax.studies.report.grids import (
    Entry,
    Grid,
    duration,
    format_number,
    measured,
    number,
)
from cloud_jax.studies.report.records import Number, Spread, Target

_METRICS = {"MAE": "mae", "MAE/MAD": "mae_over_mad_train_mean"}
_MOST_MISSING = 0.01  # share of the rows of a benchmark
STARTS = ("scratch", "pretrained")
_STARTS = {"scratch": "ours, from scratch", "pretrained": "ours, pretrained"}
_THEIRS = ("paper's CLOUD", "best coordinate-free peer", "best of the paper's table")
_NOTES = (
    "Errors: lower is better; in brackets the deviation over folds. Ours is the mean "
    "over an ensemble's members where a fold has several, and the mean of single "
    "members below it.",
    "Of several runs of a task the one shown is chosen without looking at test rows: "
    "protocol strict before paper, then more rows tested, then the lower validation "
    "error. All are in the table of runs.",
    "MAE/MAD divides by the deviation from the mean of the training targets, as the "
    "reference pipeline does; the runs below give it for the mean of the test targets "
    "too.",
    '"best" marks the lowest number of a row. Ours takes part only if it learned from '
    "and was tested on the benchmark's own rows and folds (up to 1 % may be rejected); "
    "otherwise its mark says what differs. A stand-in has other rows.",
)
_ALL_HEAD = (
    "run", "task", "start", "parameters", "validation MAE/MAD", "test",
    "test, single members", "training time", "how",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One target of a run, paired with its benchmark of the paper."""

    run: Run
    benchmark: Benchmark
    target: Target

    @property
    def start(self) -> str:
        """Return one of `STARTS`."""
        return "pretrained" if self.run.results.checkpoint else "scratch"

    @property
    def ensemble(self) -> Spread:
        """Return the error over folds, in the unit of the run."""
        return self._error(self.run.results.ensemble)

    @property
    def single(self) -> Number:
        """Return the mean error of single members; None where no fold has several."""
        several = any(len(fold.members) > 1 for fold in self.run.results.folds)
        return self._error(self.run.results.single).mean if several else None

    def _error(self, found: dict[str, dict[str, Spread]]) -> Spread:
        metric = _METRICS[self.benchmark.metric]
        return found.get(self.target.name, {}).get(metric, Spread())

    @property
    def other_unit(self) -> str:
        """Return the unit of the error if it is not that of the benchmark, else ""."""
        unit = self.target.unit.replace("^-1", "⁻¹")
        same = self.benchmark.metric == "MAE/MAD" or unit == self.benchmark.unit
        return "" if same else unit

    @property
    def tested(self) -> float:
        """Return the number of test rows with a label, of all folds."""
        return sum(
            fold.labels.get("test", {}).get(self.target.name, fold.n_test) or 0
            for fold in self.run.results.folds
        )

    @property
    def learned(self) -> float:
        """Return the number of rows with a label that no fold tests."""
        results = self.run.results
        labels = results.labels.get(self.target.name, results.rows_used)
        return (labels or self.tested) - self.tested

    @property
    def differs(self) -> str:
        """Return the difference that keeps the run from being ranked; empty if none."""
        known, folds = self.benchmark, len(self.run.results.folds)
        used = self.tested + (0 if known.train_rows else self.learned)
        rejected = self.run.results.rows_rejected or 0
        if not 0 <= known.rows - used <= min(rejected, _MOST_MISSING * known.rows):
            return "other rows"
        if folds != known.folds:
            return f"{folds} of {known.folds} folds"
        far = abs(self.learned - known.train_rows) > _MOST_MISSING * known.train_rows
        return "other training rows" if far else ""

    @property
    def rank(self) -> tuple:
        """Return the key by which the result to show is chosen, the lowest first."""
        # Test errors have no part in it: the best of several would flatter.
        error = self.run.results.validation_mae_over_mad
        other_protocol = self.run.results.protocol != "strict"
        return other_protocol, -self.tested, error is None, error or 0, self.run.name

    @property
    def how(self) -> str:
        """Return protocol, folds, rows and dialect of the measurement."""
        known, run = self.benchmark, self.run.results
        tested, used = format_number(self.tested), self.tested + self.learned
        rows = f"{tested} of {known.rows:,} rows tested"
        if self.tested > known.rows:
            rows = f"{tested} rows tested, the task has {known.rows:,}"
        if known.train_rows:
            learned = format_number(self.learned)
            rows += f", learned from {learned} of {known.train_rows:,}"
        elif self.learned and used != known.rows:
            rows += f", {format_number(used)} used"
        if run.rows_rejected:
            rows += f", {format_number(run.rows_rejected)} rejected"
        protocol, dialect = run.protocol or "unknown", run.dialect or "unknown"
        folds = f"{len(run.folds)} of {known.folds} folds"
        return f"{protocol} protocol, {folds}, {rows}, {dialect} dialect"


Found = dict[tuple[str, str], list[Result]]


def results_of(run: Run) -> list[Result]:
    """Return a result for each benchmark of the paper that a run belongs to."""
    named, found = run.results.benchmark, []
    for target in run.targets:
        for benchmark in paper.benchmarks().values():
            if benchmark.name.startswith("thermal") and named.startswith("thermal"):
                matches = target.property == benchmark.property
            else:
                matches = benchmark.name == named and not found
            if matches:
                found.append(Result(run, benchmark, target))
    return found


def by_benchmark(runs: Sequence[Run]) -> Found:
    """Return results by (benchmark, start), the chosen one first."""
    found = defaultdict(list)
    for run in runs:
        for result in results_of(run) if run.kind == "finetune" else ():
            found[result.benchmark.name, result.start].append(result)
    return {key: sorted(found[key], key=lambda result: result.rank) for key in found}


def summary(found: Found) -> Grid:
    """Return a row per benchmark that was run: ours, the paper's, and how measured."""
    starts = [start for start in STARTS if any(key[1] == start for key in found)]
    tasks = [task for task in paper.benchmarks().values() if was_run(task, found)]
    rows = [_summary_row(task, starts, found) for task in tasks]
    ours = (_STARTS[start] for start in starts)
    head = ("task", "error", *ours, *_THEIRS, "how ours was measured")
    return Grid("Our runs beside the paper", head, rows, _NOTES, cards=True)


def was_run(benchmark: Benchmark, found: Found) -> bool:
    """Return whether a run of ours has results of a benchmark."""
    return any((benchmark.name, start) in found for start in STARTS)


def has_ours(number: str, found: Found) -> bool:
    """Return whether a run of ours has a column of a table of the paper."""
    tasks = paper.benchmarks()
    return any(was_run(tasks[name], found) for name in paper.table(number).columns)


def _chosen(benchmark: Benchmark, found: Found) -> list[Result | None]:
    """Return the result shown for each of `STARTS`."""
    return [next(iter(found.get((benchmark.name, s), [])), None) for s in STARTS]


def _least(benchmark: Benchmark, chosen: Sequence[Result | None]) -> float:
    """Return the lowest error among the paper's models and those of ours that rank."""
    ours = [r.ensemble.mean for r in chosen if r and not r.differs and r.ensemble.mean]
    return min([cell.value for cell in paper.results(benchmark)] + ours)


def _summary_row(
    benchmark: Benchmark, starts: Sequence[str], found: Found
) -> list[Entry]:
    chosen = _chosen(benchmark, found)
    least = _least(benchmark, chosen)
    what = f"{benchmark.property.replace('_', ' ')}; Table {benchmark.table}"
    cells = paper.cloud(benchmark), paper.best_peer(benchmark), paper.best(benchmark)
    return [
        Entry(benchmark.title, what),
        Entry(", ".join(filter(None, (benchmark.metric, benchmark.unit)))),
        *(
            _ours(result, least)
            for start, result in zip(STARTS, chosen, strict=True)
            if start in starts
        ),
        *(theirs(cell, least, cell.model if cell else "") for cell in cells),
        _how(benchmark, [result for result in chosen if result]),
    ]


def _ours(result: Result | None, least: float) -> Entry:
    if result is None:
        return Entry("-", numeric=True)
    error, unit = result.ensemble, result.other_unit
    mark = result.differs or ("best" if error.mean == least else "")
    single = result.single and f"single {format_number(result.single)}"
    detail = ", ".join(filter(None, (single, unit and f"in {unit}")))
    text = measured(error) or "no number"
    return Entry(text, detail, mark, True, result.run.anchor)


def theirs(cell: Cell | None, best: float, detail: str = "") -> Entry:
    """Return a number of the paper, marked if it is the best of its column."""
    if cell is None:
        return Entry("none in the table", numeric=True)
    mark = "best" if cell.value == best else ""
    return Entry(cell.text, detail, mark, numeric=True)


def _how(benchmark: Benchmark, chosen: Sequence[Result]) -> Entry:
    text = "; ".join(f"{result.start}: {result.how}" for result in chosen)
    if len({result.how for result in chosen}) == 1:
        text = chosen[0].how
    notes = [result.run.results.note for result in chosen]
    # A note that another one begins with is said there.
    notes = [n for n in notes if not any(o != n and o.startswith(n) for o in notes)]
    notes = dict.fromkeys(filter(None, [*notes, benchmark.note]))
    return Entry(text, " ".join(f"{note.rstrip('.')}." for note in notes))


def all_results(found: Found) -> Grid:
    """Return a row per run and benchmark; the chosen ones are marked."""
    rows = []
    for key in ((name, start) for name in paper.benchmarks() for start in STARTS):
        for i, result in enumerate(found.get(key, [])):
            run, results = result.run, result.run.results
            validation = number(results.validation_mae_over_mad)
            test = number(result.ensemble)
            time = duration(run.numbers.get("training_seconds"))
            rows.append(
                [
                    Entry(run.name, link=run.anchor),
                    result.benchmark.title,
                    result.start,
                    results.parameters_of_a_member,
                    validation._replace(mark="" if i else "chosen"),
                    test._replace(mark=result.differs),
                    result.single,
                    Entry(time or "-", numeric=True),
                    Entry(result.how, results.note),
                ]
            )
    return Grid("All runs of the paper's tasks", _ALL_HEAD, rows)


def paper_table(name: str, found: Found) -> Grid:
    """Return a table of the paper with the rows of ours that there are below it."""
    table = paper.table(name)
    tasks = [paper.benchmarks()[column] for column in table.columns]
    chosen = [_chosen(task, found) for task in tasks]
    least = list(map(_least, tasks, chosen))
    rows = [
        [Entry(model, cells[0].kind), *map(_narrow, map(theirs, cells, least))]
        for model, cells in table.cells.items()
    ]
    for start, results in zip(STARTS, zip(*chosen, strict=True), strict=True):
        if not any(results):
            continue
        first = Entry(f"ours, {start}", "coordinate-free")
        rows.append([first, *map(_narrow, map(_ours, results, least))])
    head = ["model", *(task.short for task in tasks)]
    return Grid(f"Table {name}. {table.caption}", head, rows, table.remarks)


def _narrow(entry: Entry) -> Entry:
    """Return an entry with the deviation below the value."""
    value, _, deviation = entry.text.partition(" (")
    below = [f"({deviation}" if deviation else "", entry.detail]
    return entry._replace(text=value, detail="; ".join(filter(None, below)))
