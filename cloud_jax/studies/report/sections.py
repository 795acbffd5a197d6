"""The parts of the report, in order."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from cloud_jax.studies import paper
from cloud_jax.studies.report import benchmarks, evidence
from cloud_jax.studies.report.gather import Problem, Run
from cloud_jax.studies.report.grids import Entry, Grid, Section, duration, number
from cloud_jax.studies.report.overview import overview
from cloud_jax.studies.report.runs import run_section

_SOURCES = (
    "Numbers of the paper (CLOUD, arXiv 2506.17345) are those of its tables and text; "
    "ours are those of the runs' results.json. Nothing else was computed."
)
_SEGMENTS = ("", "_symmetry", "_wyckoff", "_composition")
_PRETRAINING_HEAD = (
    "run", "parameters, non-embedding", "loss", "symmetry", "Wyckoff positions",
    "composition", "epochs", "tokens/s", "wall time",
)  # fmt: skip


def sections(
    runs: Sequence[Run],
    problems: Sequence[Problem],
    defaults: dict[str, dict[str, Any]],
) -> list[Section]:
    """Return all parts.

    Args:
        runs: shown.
        problems: listed in the last part.
        defaults: {kind of run: the defaults of its configuration}.
    """
    of_kind, own = defaultdict(list), defaultdict(list)
    for run in runs:
        of_kind[run.kind].append(run)
        own[run.kind].append(run_section(run, defaults))
    found = benchmarks.by_benchmark(of_kind["finetune"])
    table_1, s3, s6 = (benchmarks.paper_table(n, found) for n in ("1", "S3", "S6"))
    studies = {
        "phonon": evidence.phonon(of_kind["phonon"], table_1),
        "discovery": evidence.discovery(of_kind["discovery"]),
        "scaling": evidence.scaling(of_kind["scaling"]),
        "attention": evidence.attention(of_kind["attention"]),
        "matbench": Section("matbench", "MatBench (Table S3)", grids=[s3]),
        "unconvbench": Section("unconvbench", "UnconvBench (Table S6)", grids=[s6]),
        "pretrain": _pretraining(of_kind["pretrain"]),
    }
    ours = {name for name in studies if of_kind[name]}
    tables = {"phonon": "1", "matbench": "S3", "unconvbench": "S6"}
    ours |= {name for name in tables if benchmarks.has_ours(tables[name], found)}
    for kind in ("phonon", "discovery", "scaling", "attention"):
        studies[kind].parts = own[kind]
    trained = [*own["finetune"], *own["pretrain"]]
    return [
        Section("summary", "Your runs", grids=[overview(runs)]),
        *([_comparison(found)] if found else []),
        *([Section("runs", "Training runs", parts=trained)] if trained else []),
        *(section for name, section in studies.items() if name in ours),
        _absent(found, [studies[name] for name in studies if name not in ours]),
        *([_not_shown(problems)] if problems else []),
    ]


def _comparison(found: benchmarks.Found) -> Section:
    """Return the tasks of the paper that were run, and all runs where some have two."""
    several = any(len(results) > 1 for results in found.values())
    every = [benchmarks.all_results(found)] if several else []
    grids = [benchmarks.summary(found)]
    return Section("comparison", "Beside the paper", [_SOURCES], grids, folded=every)


def _absent(found: benchmarks.Found, studies: Sequence[Section]) -> Section:
    """Return the tasks without a run on one line, and the paper's tables of them."""
    tasks = [
        task.title
        for task in paper.benchmarks().values()
        if not benchmarks.was_run(task, found)
    ]
    tables = [grid for section in studies for grid in section.grids + section.folded]
    line = f"Tasks of the paper that no run has: {', '.join(tasks) or 'none'}."
    return Section("absent", "Without a run", [line], folded=tables)


def _pretraining(runs: Sequence[Run]) -> Section:
    notes = ("Loss in nats per masked token of validation crystals.",)
    rows = [row for run in runs for row in _pretraining_rows(run)]
    found, head = paper.read_paper()["hyperparameters"], ("hyperparameter", "values")
    return Section(
        "pretraining",
        "Pretraining (Table S1)",
        ["Of pretraining losses the paper prints only those of the scaling law."],
        [Grid("Masked-token pretraining", _PRETRAINING_HEAD, rows, notes)],
        folded=[Grid(found["caption"], head, found["rows"], [found["note"]])],
    )


def _pretraining_rows(run: Run) -> list[list]:
    """Return the row of a run, and those of the n-gram baselines on the same masks."""
    value, entries = run.numbers.get, []
    for segment in _SEGMENTS:
        right = value(f"validation_accuracy{segment}")
        detail = "" if right is None else f"{100 * right:.1f} % right"
        entries.append(number(value(f"validation_loss{segment}"), detail))
    time = Entry(duration(value("wall_seconds")) or "-", numeric=True)
    first = Entry(run.name, link=run.anchor), value("parameters_non_embedding")
    rows = [[*first, *entries, value("epochs"), value("tokens_per_second"), time]]
    for baseline in ("unigram", "bigram"):
        losses = [value(f"{baseline}_loss{segment}") for segment in _SEGMENTS]
        if losses != [None] * len(losses):
            rows.append([f"{baseline}, same masks", "", *losses, "", "", ""])
    return rows


def _not_shown(problems: Sequence[Problem]) -> Section:
    title = "Folders and files that are not shown, or only in part"
    grid = Grid(title, ("name", "reason"), problems)
    return Section("problems", "Not shown", grids=[grid])
