"""One run of `python -m cloud_jax.predict`: files in, files out."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from tqdm import tqdm

from cloud_jax.cores import usable_cores
from cloud_jax.files import atomic_open
from cloud_jax.inference.crystals import Crystal, to_crystals
from cloud_jax.inference.inputs import parse, path_items
from cloud_jax.inference.outputs import (
    write_header,
    write_rejects,
    write_rows,
    write_vectors,
)
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.inference.properties import Estimate, Question, amounts, ask
from cloud_jax.inference.tables import COLUMNS, rows
from cloud_jax.physics.constants import GAS_CONSTANT
from cloud_jax.scope.pipeline import Reject

_OF = {
    "cell": " of the primitive cell",
    "atom": " of an atom",
    "formula": " of the formula unit",
    "gram": "",  # its unit says it
}
_SHOWN = 10  # rejects on the terminal where no file lists them


def run(arguments: argparse.Namespace) -> int:
    """Predict and write; returns the exit status.

    Raises:
        ModelFolderError, EstimateError: the model is unusable, or not for this.
        EngineError, OSError: the machine is in the way.
    """
    started = time.monotonic()
    predictor = load(arguments.checkpoint)
    to_stdout = not (arguments.out or arguments.plot or arguments.embed)
    question = None
    if to_stdout or arguments.out or arguments.plot:
        question = ask(
            predictor.model.description, arguments.temperature, arguments.basis
        )
    loaded = time.monotonic()
    with ExitStack() as stack:
        # Opened before the work, so that a file that cannot be is known at once.
        table = vectors = None
        if arguments.out:
            table = stack.enter_context(atomic_open(arguments.out))
        elif to_stdout:
            table = sys.stdout.buffer
        if arguments.embed:
            vectors = stack.enter_context(atomic_open(arguments.embed))
        crystals, rejects = _read(arguments.files, predictor)
        read = time.monotonic()
        if vectors:
            write_vectors(vectors, crystals, predictor.states(crystals))
        if question:
            crystals, raw, odd = predictor.outputs(crystals)
            rejects += odd
            chunks = predictor.estimates(crystals, raw, question)
            curves = list(_write(table, chunks, keep=bool(arguments.plot)))
            if curves and arguments.plot:
                _plot(arguments.plot, crystals, curves, question)
        beside = arguments.out or arguments.embed
        if beside:
            write_rejects(beside.with_name("rejects.csv"), rejects)
    if to_stdout:
        sys.stdout.flush()
    _report(crystals, rejects, beside)
    spent = loaded - started, read - loaded, time.monotonic() - read
    print("loading {:.1f} s, reading {:.1f} s, predicting {:.1f} s".format(*spent),
          file=sys.stderr)  # fmt: skip
    return 0 if crystals else 1


def _read(
    files: Sequence[str], predictor: Predictor
) -> tuple[list[Crystal], list[Reject]]:
    seen: set[str] = set()  # a file may be named twice, or by two patterns
    items = (i for i in path_items(files) if not (i.id in seen or seen.add(i.id)))
    with tqdm(desc="reading", unit=" files", leave=False, disable=None) as bar:
        results = parse(
            items,
            predictor.options,
            workers=usable_cores(),
            progress=lambda n, _: bar.update(n),
        )
    return to_crystals(results, predictor.model)


def _write(table, chunks, *, keep: bool) -> Iterator[list[Estimate]]:
    """Write the rows of every chunk, and yield what the plot needs of it."""
    if table:
        write_header(table, COLUMNS)
    for crystals, estimates in chunks:
        if table:
            write_rows(table, rows(crystals, estimates))
        if keep:
            yield estimates


def _plot(
    path: Path,
    crystals: Sequence[Crystal],
    chunks: list[list[Estimate]],
    question: Question,
) -> None:
    from cloud_jax.evaluation.figures import Curve, Panel, curves

    panels = []
    for estimates in zip(*chunks, strict=True):  # one property of all chunks
        first = estimates[0]
        if len(first.temperature_k) < 2:
            continue
        value, lower, upper = (
            np.concatenate([getattr(estimate, name) for estimate in estimates])
            for name in ("value", "lower", "upper")
        )
        has_interval = not np.isnan(lower).any()
        lines = [
            Curve(
                crystal.id,
                first.temperature_k,
                value[i],
                lower[i] if has_interval else None,
                upper[i] if has_interval else None,
            )
            for i, crystal in enumerate(crystals)
        ]
        limit = None
        if first.property == "heat_capacity" and len(crystals) == 1:
            high = 3 * GAS_CONSTANT * amounts(question.basis, crystals)[0]
            limit = ("Dulong-Petit", high)
        quantity = first.property.replace("_", " ") + _OF[first.basis]
        panels.append(Panel(quantity, first.unit, lines, limit))
    curves(path, panels)


def _report(
    crystals: Sequence[Crystal], rejects: Sequence[Reject], beside: Path | None
) -> None:
    """Say on the terminal what became of the files."""

    def say(line: str) -> None:
        print(line, file=sys.stderr)

    n = len(crystals) + len(rejects)
    say(f"predicted {len(crystals):,} of {n:,} structures")
    outside = Counter(
        flag
        for crystal in crystals
        for flag in {flag.partition(":")[0] for flag in crystal.flags}
        if flag.startswith("unseen") or flag == "longer_than_trained"
    )
    if outside:
        counts = ", ".join(f"{flag} {count:,}" for flag, count in outside.most_common())
        say(f"warning: outside the training rows (column flags): {counts}")
    if rejects:
        where = f", see {beside.with_name('rejects.csv')}" if beside else ""
        say(f"warning: {len(rejects):,} of {n:,} rejected{where}")
        for reject in rejects[:_SHOWN]:
            say(f"  {reject.id}: {reject.code}: {reject.message}")
        if len(rejects) > _SHOWN:
            say(f"  and {len(rejects) - _SHOWN:,} more")
