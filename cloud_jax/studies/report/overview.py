"""One's own runs at a glance: a row for each, the first thing on the page."""

from collections.abc import Sequence

from cloud_jax.studies import paper
from cloud_jax.studies.report.benchmarks import Result, results_of
from cloud_jax.studies.report.gather import Run
from cloud_jax.studies.report.grids import (
    Entry,
    Grid,
    duration,
    format_number,
    measured,
)
from cloud_jax.studies.report.records import Spread
from cloud_jax.studies.report.runs import KINDS

_RATIO = "mae_over_mad_train_mean"
_HEAD = (
    "run", "learned", "result", "paper's CLOUD",
    "rows or crystals", "parameters", "training time",
)  # fmt: skip
_NOTES = (
    "Below an error its ratio to the mean absolute deviation of the labels (MAE/MAD): "
    "1 is what the mean of the labels would give. Each name leads to all of its run.",
)


def overview(runs: Sequence[Run]) -> Grid:
    """Return a row per run; columns that no run fills are left out."""
    rows = [_row(run) for run in runs]
    kept = [i for i in range(len(_HEAD)) if any(row[i].text != "-" for row in rows)]
    head = [_HEAD[i] for i in kept]
    rows = [[row[i] for i in kept] for row in rows]
    notes = _NOTES if any(run.kind == "finetune" for run in runs) else ()
    return Grid("Your runs", head, rows, notes, cards=True)


def _row(run: Run) -> list[Entry]:
    value = run.numbers.get
    seconds = value("training_seconds") or value("wall_seconds")
    parameters = run.results.parameters_of_a_member or value("parameters")
    return [
        Entry(run.name, KINDS[run.kind], link=run.anchor),
        _learned(run),
        _result(run),
        _paper(run),
        _number(run.results.rows_used),
        _number(parameters),
        Entry(duration(seconds) or "-", numeric=True),
    ]


def _number(value: float | None) -> Entry:
    return Entry(format_number(value) or "-", numeric=True)


def _learned(run: Run) -> Entry:
    if run.kind == "pretrain":
        return Entry("masked tokens")
    if run.kind != "finetune":
        return Entry("-")
    names = [target.name for target in run.targets]
    more = f" and {len(names) - 2} more" if len(names) > 3 else ""
    return Entry(", ".join(names[: 2 if more else 3]) + more, run.results.table)


def _result(run: Run) -> Entry:
    """Return the error of one target, the range of several, or the loss."""
    if run.kind == "pretrain":
        right = run.numbers.get("validation_accuracy")
        detail = "" if right is None else f"{100 * right:.1f} % of masked tokens right"
        loss = format_number(run.numbers.get("validation_loss"))
        return Entry(f"loss {loss}", detail, numeric=True)
    if run.kind != "finetune":
        return Entry(_headline(run) or "-", numeric=True)
    found = run.results.ensemble
    ratios = [found[t.name].get(_RATIO, Spread()).mean for t in run.targets]
    ratios = sorted({ratio for ratio in ratios if ratio is not None})
    texts = [format_number(ratio, 3) for ratio in ratios]
    if len(found) > 1 and texts:
        ends = dict.fromkeys((texts[0], texts[-1]))
        return Entry(f"MAE/MAD {' to '.join(ends)}", f"{len(found)} targets", "", True)
    for target in run.targets:
        error = measured(found[target.name].get("mae", Spread()))
        ratio = f"MAE/MAD {texts[0]}" if texts else ""
        if error:
            mark = next((task.differs for task in _tasks(run)), "")
            unit = target.unit.replace("^-1", "⁻¹")
            return Entry(f"{error} {unit}".strip(), ratio, mark, True)
        if area := measured(found[target.name].get("roc_auc", Spread())):
            return Entry(f"ROC-AUC {area}", "", "", True)
    return Entry("-", numeric=True)


def _headline(run: Run) -> str:
    """Return the result of a study in a few words; empty if it has none."""
    results, value = run.results, run.numbers.get
    if run.kind == "discovery":
        scores = next(iter(results.stability.values()), {})
        found = {"F1": scores.get("f1"), "MAE": results.formation_energy.get("mae")}
    elif run.kind == "scaling":
        found = {"N grows as C^": value("a"), "D as C^": value("b")}
    else:
        return next(iter(results.verdict.values()), "")
    texts = {name: format_number(number, 3) for name, number in found.items()}
    return ", ".join(f"{k} {texts[k]}".replace("^ ", "^") for k in texts if texts[k])


def _paper(run: Run) -> Entry:
    """Return the paper's number of the task, the first if a run has several."""
    known = next((result.benchmark for result in _tasks(run)), None)
    if known is None:
        return Entry("-", numeric=True)
    cloud, best = paper.cloud(known), paper.best(known)
    best = (
        "the best of its table" if cloud == best else f"best: {best.model} {best.text}"
    )
    return Entry(cloud.text, f"{known.title}; {best}", numeric=True)


def _tasks(run: Run) -> list[Result]:
    return results_of(run) if run.kind == "finetune" else []
