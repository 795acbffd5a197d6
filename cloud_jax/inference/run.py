"""One run of `cloud-jax predict`, from files to files."""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from cloud_jax.cores import usable_cores
from cloud_jax.files import atomic_open
from cloud_jax.inference.crystals import NOT_CALIBRATED, Crystal, to_crystals
from cloud_jax.inference.inputs import count_paths, parse, path_items, skipped_files
from cloud_jax.inference.outputs import (
    CsvWriter,
    JsonWriter,
    write_rejects,
    write_vectors,
)
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.inference.properties import PredictionRequest, make_request
from cloud_jax.inference.tables import rows, wide_rows
from cloud_jax.progress import progress
from cloud_jax.scope.pipeline import Reject
from cloud_jax.structures.source import skipped_line

_SHOWN = 10  # rejects printed to the terminal


def run(arguments: argparse.Namespace) -> int:
    """Predict, write the files, and report; return the exit code.

    Raises:
        ModelFolderError: the model is unusable.
        PredictionError: the model cannot answer the request.
        EngineError: the workers cannot start or keep failing.
        OSError: a file cannot be written.
    """
    started = time.monotonic()
    predictor = load(arguments.checkpoint, symmetry=arguments.symmetry)
    to_stdout = not (arguments.output or arguments.plot or arguments.embed)
    to_stdout = to_stdout or (arguments.json and not arguments.output)
    request = None
    if to_stdout or arguments.output or arguments.plot:
        request = make_request(
            predictor.model.description, arguments.temperature, arguments.basis
        )
    plotted: list[str] = []
    if arguments.plot:
        from cloud_jax.inference.figures import properties_to_plot

        plotted = properties_to_plot(
            predictor.model.description, arguments.plot_property
        )
    loaded = time.monotonic()
    with ExitStack() as stack:
        # Opened before the work, so that an unwritable file is reported at once.
        table = vectors = None
        if arguments.output:
            table = stack.enter_context(atomic_open(arguments.output))
        elif to_stdout:
            table = sys.stdout.buffer
        if arguments.embed:
            vectors = stack.enter_context(atomic_open(arguments.embed))
        crystals, rejects = _read(arguments.files, predictor)
        read = time.monotonic()
        if vectors:
            write_vectors(vectors, crystals, predictor.cls_states(crystals))
        if request:
            crystals, not_finite = _predict(
                arguments, predictor, request, crystals, table, plotted
            )
            rejects += not_finite
        beside = arguments.output or arguments.embed
        if beside:
            write_rejects(_rejects_file(beside), rejects)
    if to_stdout:
        sys.stdout.flush()
    spent = loaded - started, read - loaded, time.monotonic() - read
    for line in _summary(crystals, rejects, beside, spent, quiet=arguments.quiet):
        print(line, file=sys.stderr)
    if not arguments.quiet and (skipped := skipped_files(arguments.files)):
        print(skipped_line(skipped), file=sys.stderr)
    return 0 if crystals else 1


def _read(
    files: Sequence[str], predictor: Predictor
) -> tuple[list[Crystal], list[Reject]]:
    seen: set[str] = set()  # a file may be named twice, or match two patterns
    items = (i for i in path_items(files) if not (i.id in seen or seen.add(i.id)))
    total = count_paths(files)
    with progress("reading", total=total, unit="crystals", leave=False) as bar:
        results = parse(
            items,
            predictor.options,
            workers=usable_cores(),
            progress=lambda n, _: bar.update(n),
        )
    return to_crystals(results, predictor.model)


def _predict(
    arguments: argparse.Namespace,
    predictor: Predictor,
    request: PredictionRequest,
    crystals: Sequence[Crystal],
    table: IO[bytes] | None,
    plotted: Sequence[str],
) -> tuple[list[Crystal], list[Reject]]:
    """Write the rows and the figure; return what was predicted, and rejects.

    Args:
        arguments: of the command.
        predictor: the model.
        request: temperatures and basis.
        crystals: to predict.
        table: where rows go, or None.
        plotted: properties of the figure.
    """
    predicted, raw, rejects = predictor.outputs(crystals)
    writer = None
    if table and arguments.json:
        writer = JsonWriter(table)
    elif table:
        writer = CsvWriter(table, wide_rows if arguments.wide else rows)
    curves = []
    for chunk, properties in predictor.properties(predicted, raw, request):
        if writer:
            writer.write(chunk, properties)
        if plotted and chunk:
            named = {one.property: one for one in properties}
            curves.append([named[name] for name in plotted])
    if curves:
        from cloud_jax.inference.figures import plot

        plot(arguments.plot, predicted, curves)
    return predicted, rejects


def _rejects_file(output: Path) -> Path:
    """Return where the rejects of a run are listed: another run's have another name."""
    return output.with_suffix(".rejects.csv")


def _summary(
    crystals: Sequence[Crystal],
    rejects: Sequence[Reject],
    beside: Path | None,
    seconds: tuple[float, float, float],
    *,
    quiet: bool,
) -> list[str]:
    """Return the lines that report counts, warnings, rejects and times."""
    n = len(crystals) + len(rejects)
    lines = [] if quiet else [f"predicted {len(crystals):,} of {n:,} structures"]
    outside = Counter(
        flag
        for crystal in crystals
        for flag in {flag.partition(":")[0] for flag in crystal.flags}
        if flag.startswith(("unseen", NOT_CALIBRATED)) or flag == "longer_than_trained"
    )
    if outside:
        counts = ", ".join(f"{flag} {count:,}" for flag, count in outside.most_common())
        lines.append(f"warning: outside the training rows (column notes): {counts}")
    if rejects:
        where = f", see {_rejects_file(beside)}" if beside else ""
        lines.append(f"warning: {len(rejects):,} of {n:,} rejected{where}")
        lines += [f"  {r.id}: {r.code}: {r.message}" for r in rejects[:_SHOWN]]
        if len(rejects) > _SHOWN:
            lines.append(f"  and {len(rejects) - _SHOWN:,} more")
    if not quiet:
        times = "loading {:.1f} s, reading {:.1f} s, predicting {:.1f} s"
        lines.append(times.format(*seconds))
    return lines
