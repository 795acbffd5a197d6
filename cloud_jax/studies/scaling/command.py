"""The scaling law: train a grid of models, fit L(N, D) = A/N^alpha + B/D^beta + E.

    python -m cloud_jax.scaling run --config configs/scaling.py
    python -m cloud_jax.scaling fit runs/scaling/points.csv --budget 1e18

`run` trains each cell of the grid that the configuration file declares in get_grid();
run it again and it goes on where it was. Its work directory then holds points.csv,
results.json, the figures, and each cell's ordinary pretraining folder. `fit` needs
points.csv alone: columns parameters (N, without embeddings), tokens (D, seen) and loss.
"""

import argparse
import csv
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from cloud_jax.cli import Exit, parse_settings
from cloud_jax.config import load_config, pretraining
from cloud_jax.files import atomic_write
from cloud_jax.training.backend import refuse_several_processes

EPILOG = """\
exit codes
  0   finished (also when it had finished before)
  1   something to correct: settings, grid, data, points that cannot be fitted, disk
  2   wrong arguments
  75  stopped by SIGTERM or SIGINT with its state saved: run it again to go on
  130 `fit` was stopped by SIGINT: nothing was written
"""
FIGURE = "scaling.png"


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Command-line arguments, and those that start with `--config.`."""
    form = {"formatter_class": argparse.RawDescriptionHelpFormatter, "epilog": EPILOG}
    form |= {"allow_abbrev": False}
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.scaling", description=__doc__, **form
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="train a grid, then fit",
        description="Train every cell of a grid, then fit. --config.KEY=VALUE changes "
        "a setting of all cells; python -m cloud_jax.pretrain --help lists them.",
        **form,
    )
    run.add_argument("--config", required=True, help="such as configs/scaling.py")
    run.add_argument("--workdir", help="folder of the grid (default: runs/NAME)")
    fit = commands.add_parser("fit", help="fit points that are there", **form)
    fit.add_argument("points", type=Path, help="CSV: parameters, tokens, loss")
    fit.add_argument("--json", action="store_true", help="print the result as JSON")
    fit.add_argument("--output", type=Path, help="folder for results.json and figures")
    for command in (run, fit):
        command.add_argument(
            "--budget",
            type=float,
            nargs="+",
            default=[],
            metavar="FLOPS",
            help="compute budgets, 6 N D, to find the best N and D of",
        )
    arguments = parse_settings(parser, argv)
    rest = arguments.overrides
    if rest and arguments.command == "fit":
        fit.error(f"{rest[0]}: fit takes no settings")
    return arguments, rest


def main(argv: list[str] | None = None) -> int:
    """Parse, run, and turn what went wrong into a message and an exit code."""
    arguments, overrides = parse(argv)
    try:
        if arguments.command == "fit":
            return fit(arguments)
        return run(arguments, overrides)
    except KeyboardInterrupt:
        if arguments.command == "fit":
            print("stopped: nothing was written", file=sys.stderr)
            return 130
        print("every finished step is saved; run it again to go on")
        return Exit.RESUMABLE
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.FAILED


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Train what is left of the grid; return the exit code."""
    from cloud_jax.evaluation.results import refuse_other_results
    from cloud_jax.files import lock, read_json, write_json
    from cloud_jax.studies.scaling.grid import load_grid
    from cloud_jax.studies.scaling.points import analyse, format_summary
    from cloud_jax.training.workdir import environment, refuse_object_store

    config = load_config(arguments.config, overrides, kind=pretraining)
    folder = Path(arguments.workdir or config.workdir)
    cells = load_grid(arguments.config, overrides)
    check(arguments, cells, overrides)
    refuse_several_processes("a grid")
    refuse_object_store(folder)
    refuse_other_results(folder, "scaling")
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        # A run that goes on keeps the points of cells that it has not come to yet.
        points, failed, hashes = earlier_points(folder), [], {}
        for number, (name, cell) in enumerate(cells.items(), 1):
            code, point = train(arguments.config, overrides, cell, folder / name)
            if code in (Exit.FAILED, Exit.RESUMABLE):
                return code
            if point is None:
                points.pop(name, None)
                failed.append(name)
                outcome = "diverged"
            else:
                hashes |= read_json(folder / name / "results.json")["hashes"]
                points[name] = {"cell": name} | point
                there = [points[name] for name in cells if name in points]
                write_points(folder / "points.csv", there)
                outcome = (
                    f"loss {point['loss']:.4f}, N {point['parameters']:,}, "
                    f"D {point['tokens']:,}, {point['seconds']:.0f} s"
                )
            print(f"{number} of {len(cells)}, {name}: {outcome}", flush=True)
        write_json(folder / "environment.json", environment(hashes))
        if len(failed) == len(cells):
            raise ValueError(f"all {len(cells)} cells diverged: lower the rates")
        note = f"Diverged and left out: {', '.join(failed)}. " if failed else ""
        found, columns = analyse(folder / "points.csv", arguments.budget, note=note)
        found["hashes"] |= hashes
        write(found, columns, folder)
    print(
        format_summary(found),
        f"\n{folder}/: points.csv, results.json, {FIGURE}",
        sep="\n",
    )
    return 0


def check(
    arguments: argparse.Namespace, cells: dict[str, dict], overrides: list[str]
) -> None:
    """Refuse what hours of training would end in: too few cells, a wrong budget.

    Raises:
        ValueError: the law could not be fitted even if every cell finished.
    """
    from cloud_jax.models.bert import preset
    from cloud_jax.studies.scaling import law as scaling
    from cloud_jax.studies.scaling.grid import cell_config

    for budget in arguments.budget:
        scaling.check_budget(budget)
    sizes = [
        preset(
            cell_config(arguments.config, overrides, cell).model.preset,
            vocab_size=1,
            max_positions=1,
        )
        for cell in cells.values()
    ]
    try:
        scaling.check_points(
            [size.layers * size.width**2 for size in sizes],  # N goes as that
            [cell["tokens"] for cell in cells.values()],
            [1.0] * len(cells),
        )
    except scaling.ScalingError as error:
        raise ValueError(f"get_grid() of {arguments.config}: {error}") from None


def earlier_points(folder: Path) -> dict[str, dict[str, Any]]:
    """The points of an earlier call, by cell."""
    path = folder / "points.csv"
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row.get("cell"): row for row in csv.DictReader(file)}


def train(
    path: str, overrides: list[str], cell: dict[str, Any], folder: Path
) -> tuple[int, dict[str, Any] | None]:
    """Pretrain one cell unless that was done before.

    Its schedule ends with its tokens (Hoffmann et al. 2022, section 3.1).

    Returns:
        The exit code of pretraining, and the point; None unless it finished.
    """
    import jax

    from cloud_jax.studies.scaling.grid import cell_config
    from cloud_jax.training.errors import InterruptedRunError, NonFiniteLossError
    from cloud_jax.training.run import prepare
    from cloud_jax.training.run import run as pretrain

    config = cell_config(path, overrides, cell)
    config.workdir = str(folder)
    jax.clear_caches()  # of the cell before: its programs fit no other
    with redirect_stdout(io.StringIO()):  # a line a cell is enough
        job = prepare(config)
        unique = job.store.manifest["splits"]["train"]["n_tokens"]
        a_step = unique / job.train.steps_per_epoch  # tokens, on average
        config.optimizer.steps = max(1, round(cell["tokens"] / a_step))
        try:
            found = pretrain(job)
        except InterruptedRunError:
            return Exit.RESUMABLE, None
        except NonFiniteLossError as error:
            print(f"error: {error}", file=sys.stderr)
            return Exit.DOUBTFUL, None
    parameters = found["parameters_non_embedding"]
    tokens = round(found["steps"] * a_step)
    return 0, {
        "parameters": parameters,
        "tokens": tokens,
        "loss": found["validation_loss"],
        "tokens_unique": min(tokens, unique),
        "flops": 6 * parameters * tokens,
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


def fit(arguments: argparse.Namespace) -> int:
    """Fit points that are there; return the exit code."""
    from cloud_jax.evaluation.results import refuse_other_results
    from cloud_jax.studies.scaling.points import analyse, format_summary

    if arguments.output:
        refuse_other_results(arguments.output, "scaling")
    found, columns = analyse(arguments.points, arguments.budget)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        write(found, columns, arguments.output)
    print(json.dumps(found, indent=2) if arguments.json else format_summary(found))
    return 0


def write(found: dict[str, Any], columns: dict[str, list[float]], folder: Path) -> None:
    """Write the figure and results.json, which names it."""
    from cloud_jax.files import write_json
    from cloud_jax.studies.scaling.figures import scaling_figure
    from cloud_jax.studies.scaling.law import CONSTANTS, Law
    from cloud_jax.studies.scaling.points import COLUMNS

    law = Law(*(found[name] for name in CONSTANTS))
    scaling_figure(folder / FIGURE, law, *(columns[name] for name in COLUMNS))
    caption = (
        "Left: losses of the fitted law (contours), the trained models (points), and "
        "the best N and D for their compute. Right: loss over compute; thin lines are "
        "the law at the size of each model."
    )
    found["figures"] = [{"file": FIGURE, "caption": caption}]
    write_json(folder / "results.json", found)


def write_points(path: Path, points: list[dict[str, Any]]) -> None:
    """Write points.csv."""
    columns = dict.fromkeys(name for point in points for name in point)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    atomic_write(path, text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
