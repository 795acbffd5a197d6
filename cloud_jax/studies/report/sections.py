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
from cloud_jax.studies.report.gather import Problem, Run, number
from cloud_jax.studies.report.grids import Entry, Grid, Section, duration, measured
from cloud_jax.studies.report.runs import run_section

_EVIDENCE = {
    "discovery": evidence.discovery,
    "scaling": evidence.scaling,
    "attention": evidence.attention,
}
_TABLES = {
    "1": ("thermal", "Heat capacity and internal energy (Table 1)"),
    "S3": ("matbench", "MatBench (Table S3)"),
    "S6": ("unconvbench", "UnconvBench (Table S6)"),
}


def sections(
    runs: Sequence[Run],
    problems: Sequence[Problem],
    defaults: dict[str, dict[str, Any]],
) -> list[Section]:
    """All parts; those of which there is neither a run nor a number are left out."""
    anchors = {run.name: f"run-{i}" for i, run in enumerate(runs, 1)}
    found = by_benchmark(runs)
    of_kind, own = defaultdict(list), defaultdict(list)
    for run in runs:
        of_kind[run.kind].append(run)
        own[run.kind].append(run_section(run, anchors[run.name], defaults))
    parts = [
        Section(
            "summary",
            "Summary",
            grids=[summary(found, anchors)],
            folded=[grid for grid in [all_results(found, anchors)] if grid.rows],
        )
    ]
    for number_, (anchor, title) in _TABLES.items():
        section = Section(anchor, title, grids=[paper_table(number_, found, anchors)])
        if number_ == "1":
            section = evidence.add_phonon(section, of_kind["phonon"])
            section = section._replace(parts=own["phonon"])
        parts.append(section)
    for kind, make in _EVIDENCE.items():
        parts.append(make(of_kind[kind], anchors)._replace(parts=own[kind]))
    parts.append(_pretraining(of_kind["pretrain"], anchors))
    if trained := [*own["finetune"], *own["pretrain"]]:
        parts.append(Section("runs", "Training runs", parts=trained))
    parts.append(_not_shown(problems))
    return parts


def _pretraining(runs: Sequence[Run], anchors: dict[str, str]) -> Section:
    segments = ("", "_symmetry", "_wyckoff", "_composition")
    rows = []
    for run in runs:
        losses = [
            [number(run.results, f"{what}_loss{s}") for s in segments]
            for what in ("validation", "unigram", "bigram")
        ]
        accuracy = [number(run.results, f"validation_accuracy{s}") for s in segments]
        first = Entry(run.name, link=anchors[run.name])
        size = number(run.results, "parameters_non_embedding")
        rows.append(
            [first, Entry(measured(size) or "-", numeric=True)]
            + [
                Entry(
                    measured(x) or "-",
                    f"{100 * a:.1f} % right" if a is not None else "",
                    numeric=True,
                )
                for x, a in zip(losses[0], accuracy, strict=True)
            ]
            + [
                Entry(measured(number(run.results, key)) or "-", numeric=True)
                for key in ("epochs", "tokens_per_second")
            ]
            + [
                Entry(
                    duration(number(run.results, "wall_seconds")) or "-", numeric=True
                )
            ]
        )
        for what, values in zip(("unigram", "bigram"), losses[1:], strict=True):
            if any(value is not None for value in values):
                entries = [Entry(measured(x) or "-", numeric=True) for x in values]
                blank = [Entry("")] * 3
                rows.append([Entry(f"{what}, same masks"), Entry(""), *entries, *blank])
    head = (
        "run", "parameters, non-embedding", "loss", "symmetry", "Wyckoff positions",
        "composition", "epochs", "tokens/s", "wall time",
    )  # fmt: skip
    notes = ("Loss in nats a masked token of validation crystals.",)
    found = paper.read_paper()["hyperparameters"]
    settings = [[Entry(text) for text in row] for row in found["rows"]]
    head_s1 = ("hyperparameter", "values")
    return Section(
        "pretraining",
        "Pretraining (Table S1)",
        ["The paper prints no loss of its pretraining but that of the scaling law."],
        [Grid("Masked-token pretraining", head, rows, notes)] if rows else [],
        folded=[Grid(found["caption"], head_s1, settings, [found["note"]])],
    )


def _not_shown(problems: Sequence[Problem]) -> Section:
    if not problems:
        return Section("problems", "Not shown", ["Everything that was found is shown."])
    rows = [[Entry(problem.name), Entry(problem.reason)] for problem in problems]
    grid = Grid(
        "Folders and files that are not shown, or not all of them",
        ("name", "reason"),
        rows,
    )
    return Section("problems", "Not shown", grids=[grid])
