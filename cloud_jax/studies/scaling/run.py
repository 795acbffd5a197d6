"""Train the grid of a scaling law and fit the law, or fit existing points."""

import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import jax

from cloud_jax.config import load_config, pretraining
from cloud_jax.evaluation.results import refuse_other_results
from cloud_jax.files import file_sha256, lock, read_json, write_json
from cloud_jax.studies.scaling.fitting import check_budget, fit, optimum
from cloud_jax.studies.scaling.grid import cell_config, check_grid, load_grid
from cloud_jax.studies.scaling.law import CONSTANTS, FLOPS_PER_TOKEN, Law
from cloud_jax.studies.scaling.points import (
    COLUMNS,
    SHAPE,
    describe,
    earlier_points,
    read_points,
    write_points,
)
from cloud_jax.training.backend import refuse_several_processes
from cloud_jax.training.errors import NonFiniteLossError
from cloud_jax.training.run import prepare
from cloud_jax.training.run import run as pretrain
from cloud_jax.training.workdir import environment, refuse_object_store

FIGURE = "scaling.png"
_CAPTION = (
    "Left: losses of the fitted law (contours), the trained models (points), and "
    "the best N and D for their compute. Right: loss over compute; thin lines are "
    "the law at the size of each model."
)


def run_grid(
    path: str,
    overrides: list[str],
    *,
    workdir: str | None,
    budgets: Sequence[float],
) -> tuple[dict[str, Any], Path]:
    """Train the cells of a grid that are not finished, then fit the law.

    Args:
        path: configuration file with `get_grid()`.
        overrides: `--config.KEY=VALUE` of all cells.
        workdir: folder of the grid; that of the configuration without it.
        budgets: see `analyse`.

    Returns:
        The content of results.json, and the folder.

    Raises:
        ValueError: settings, grid or points that cannot be used.
        InterruptedRunError: a signal stopped a cell; its state is saved.
    """
    config = load_config(path, overrides, kind=pretraining)
    folder = Path(workdir or config.workdir)
    cells = load_grid(path, overrides)
    for budget in budgets:
        check_budget(budget)
    check_grid(path, overrides, cells)
    refuse_several_processes("a grid")
    refuse_object_store(folder)
    refuse_other_results(folder, "scaling")
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        # A resumed run keeps the points of the cells that it has not reached yet.
        points, diverged, hashes = earlier_points(folder / "points.csv"), [], {}
        for number, (name, cell) in enumerate(cells.items(), 1):
            point = train(path, overrides, cell, folder / name)
            if point is None:
                points.pop(name, None)
                diverged.append(name)
                outcome = "diverged"
            else:
                hashes |= read_json(folder / name / "results.json")["hashes"]
                points[name] = {"cell": name} | point
                rows = [points[name] for name in cells if name in points]
                write_points(folder / "points.csv", rows)
                outcome = (
                    f"loss {point['loss']:.4f}, N {point['parameters']:,}, "
                    f"D {point['tokens']:,}, {point['seconds']:.0f} s"
                )
            print(f"{number} of {len(cells)}, {name}: {outcome}", flush=True)
        write_json(folder / "environment.json", environment(hashes))
        if len(diverged) == len(cells):
            raise ValueError(f"all {len(cells)} cells diverged: lower the rates")
        note = f"Diverged and left out: {', '.join(diverged)}. " if diverged else ""
        found, columns = analyse(folder / "points.csv", budgets, note=note)
        found["hashes"] |= hashes
        write(found, columns, folder)
    return found, folder


def train(
    path: str, overrides: list[str], cell: dict[str, Any], folder: Path
) -> dict[str, Any] | None:
    """Pretrain one cell unless that is done, and return its point.

    The schedule ends with the tokens of the cell (Hoffmann et al. 2022, section 3.1).

    Returns:
        A row of points.csv; None where the loss diverged.

    Raises:
        InterruptedRunError: a signal stopped it; its state is saved.
    """
    config = cell_config(path, overrides, cell)
    config.workdir = str(folder)
    jax.clear_caches()  # the programs of the cell before fit no other
    with redirect_stdout(io.StringIO()):  # one line per cell is enough
        job = prepare(config)
        unique = job.store.manifest["splits"]["train"]["n_tokens"]
        tokens_per_step = unique / job.train.steps_per_epoch  # on average
        config.optimizer.steps = max(1, round(cell["tokens"] / tokens_per_step))
        try:
            found = pretrain(job)
        except NonFiniteLossError as error:
            print(f"error: {error}", file=sys.stderr)
            return None
    parameters = found["parameters_non_embedding"]
    tokens = round(found["steps"] * tokens_per_step)
    return {
        "parameters": parameters,
        "tokens": tokens,
        "loss": found["validation_loss"],
        "tokens_unique": min(tokens, unique),
        "flops": FLOPS_PER_TOKEN * parameters * tokens,
        "model": config.model.preset,
        "layers": job.model.config.layers,
        "width": job.model.config.width,
        "parameters_total": found["parameters"],
        "learning_rate": config.optimizer.learning_rate,
        "batch_crystals": config.data.batch_crystals,
        "steps": found["steps"],
        "unigram_loss": found["unigram_loss"],
        "seconds": found["wall_seconds"],
    }


def fit_points(
    path: Path, *, budgets: Sequence[float], output: Path | None
) -> dict[str, Any]:
    """Fit the points of a file; return the content of results.json.

    Args:
        path: CSV of points, see `read_points`.
        budgets: see `analyse`.
        output: folder of results.json and the figure; nothing is written without it.

    Raises:
        ValueError: points, budgets or folder that cannot be used.
    """
    if output:
        refuse_other_results(output, "scaling")
    found, columns = analyse(path, budgets)
    if output:
        output.mkdir(parents=True, exist_ok=True)
        write(found, columns, output)
    return found


def analyse(
    path: Path, budgets: Sequence[float], *, note: str = ""
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Fit the law to a file of points.

    Args:
        path: CSV of points, see `read_points`.
        budgets: compute to find the optimum of, FLOPs; that of the most expensive
            point without any.
        note: what a reader must know of the points besides.

    Returns:
        The content of results.json, and the columns of the points.

    Raises:
        ValueError: points or budgets that cannot be used.
    """
    columns = read_points(path)
    try:
        fitted = fit(**{name: columns[name] for name in COLUMNS})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    spent = [
        FLOPS_PER_TOKEN * n * d
        for n, d in zip(columns["parameters"], columns["tokens"], strict=True)
    ]
    names = (*CONSTANTS, "a", "b")
    ranged = {name: columns[name] for name in (*COLUMNS, *SHAPE) if name in columns}
    ranged["flops"] = spent
    return {
        "kind": "scaling",
        **{name: float(getattr(fitted.law, name)) for name in (*names, "G")},
        "intervals": {name: fitted.interval(name) for name in names},
        "confidence": fitted.confidence,
        "bootstrap_samples": len(fitted.samples.E),
        "rms_log_error": fitted.error,
        "points": len(spent),
        "ranges": {name: [min(own), max(own)] for name, own in ranged.items()},
        "optima": [optimum(fitted, budget) for budget in budgets or [max(spent)]],
        "warnings": list(fitted.warnings),
        "figures": [],
        "hashes": {"points": file_sha256(path)},
        "note": note + describe(columns),
    }, columns


def write(found: dict[str, Any], columns: dict[str, list[float]], folder: Path) -> None:
    """Write the figure and results.json, which names it."""
    from cloud_jax.studies.scaling.figures import scaling_figure

    law = Law(*(found[name] for name in CONSTANTS))
    scaling_figure(folder / FIGURE, law, *(columns[name] for name in COLUMNS))
    found["figures"] = [{"file": FIGURE, "caption": _CAPTION}]
    write_json(folder / "results.json", found)
