"""The parts of the report, in order."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from cloud_jax.studies import paper
from cloud_jax.studies.report import benchmarks, evidence
from cloud_jax.studies.report.gather import Problem, Run
from cloud_jax.studies.report.grids import Entry, Grid, Section, duration, number
from cloud_jax.studies.report.runs import run_section

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
    summary, every = benchmarks.summary(found), benchmarks.all_results(found)
    studies = {
        "phonon": evidence.phonon(of_kind["phonon"], table_1),
        "discovery": evidence.discovery(of_kind["discovery"]),
        "scaling": evidence.scaling(of_kind["scaling"]),
        "attention": evidence.attention(of_kind["attention"]),
    }
    for kind, section in studies.items():
        section.parts = own[kind]
    trained = [*own["finetune"], *own["pretrain"]]
    return [
        Section("summary", "Summary", grids=[summary], folded=[every]),
        studies.pop("phonon"),
        Section("matbench", "MatBench (Table S3)", grids=[s3]),
        Section("unconvbench", "UnconvBench (Table S6)", grids=[s6]),
        *studies.values(),
        _pretraining(of_kind["pretrain"]),
        *([Section("runs", "Training runs", parts=trained)] if trained else []),
        _not_shown(problems),
    ]


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
    said = [] if problems else ["Everything that was found is shown."]
    grid = Grid(title, ("name", "reason"), problems)
    return Section("problems", "Not shown", said, [grid])
