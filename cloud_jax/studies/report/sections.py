"""The parts of the report, in order."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from cloud_jax.studies import paper
from cloud_jax.studies.report import evidence
from cloud_jax.studies.report.benchmarks import (
    all_results,
    by_benchmark,
    paper_table,
    summary,
)
from cloud_jax.studies.report.gather import Problem, Run
from cloud_jax.studies.report.grids import (
    Entry,
    Grid,
    Section,
    duration,
    filled,
    number,
)
from cloud_jax.studies.report.runs import run_section

_SEGMENTS = ("", "_symmetry", "_wyckoff", "_composition")


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
    found = by_benchmark(runs)
    of_kind, own = defaultdict(list), defaultdict(list)
    for run in runs:
        of_kind[run.kind].append(run)
        own[run.kind].append(run_section(run, defaults))
    every = filled([all_results(found)])
    grids = {name: [paper_table(name, found)] for name in ("1", "S3", "S6")}
    title = "Heat capacity and internal energy (Table 1)"
    thermal = Section("thermal", title, grids=grids["1"], parts=own["phonon"])
    parts = [
        Section("summary", "Summary", grids=[summary(found)], folded=every),
        evidence.add_phonon(thermal, of_kind["phonon"]),
        Section("matbench", "MatBench (Table S3)", grids=grids["S3"]),
        Section("unconvbench", "UnconvBench (Table S6)", grids=grids["S6"]),
    ]
    for make in (evidence.discovery, evidence.scaling, evidence.attention):
        kind = make.__name__
        parts.append(make(of_kind[kind])._replace(parts=own[kind]))
    parts.append(_pretraining(of_kind["pretrain"]))
    if trained := [*own["finetune"], *own["pretrain"]]:
        parts.append(Section("runs", "Training runs", parts=trained))
    return [*parts, _not_shown(problems)]


def _pretraining(runs: Sequence[Run]) -> Section:
    head = (
        "run", "parameters, non-embedding", "loss", "symmetry", "Wyckoff positions",
        "composition", "epochs", "tokens/s", "wall time",
    )  # fmt: skip
    notes = ("Loss in nats per masked token of validation crystals.",)
    rows = [row for run in runs for row in _pretraining_rows(run)]
    found = paper.read_paper()["hyperparameters"]
    table = Grid(found["caption"], ("hyperparameter", "values"), found["rows"])
    table.notes = [found["note"]]
    return Section(
        "pretraining",
        "Pretraining (Table S1)",
        ["Of pretraining losses the paper prints only those of the scaling law."],
        filled([Grid("Masked-token pretraining", head, rows, notes)]),
        folded=[table],
    )


def _pretraining_rows(run: Run) -> list[list]:
    """Return the row of a run, and those of the n-gram baselines on the same masks."""
    value = run.numbers.get
    entries = []
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
    grids = filled([Grid(title, ("name", "reason"), problems)])
    return Section("problems", "Not shown", said, grids)
