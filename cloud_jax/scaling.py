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
import hashlib
import importlib.util
import io
import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from cloud_jax import configuration
from cloud_jax.configuration import ConfigurationError
from cloud_jax.finetune import EXIT_FAILED, EXIT_INTERRUPTED, refuse_several_processes
from cloud_jax.whole_file import write_whole

EPILOG = """\
exit codes
  0   finished (also when it had finished before)
  1   something to correct: settings, grid, data, points that cannot be fitted, disk
  2   wrong arguments
  75  stopped by SIGTERM or SIGINT with its state saved: run it again to go on
"""
COLUMNS = ("parameters", "tokens", "loss")
FIGURE = "scaling.png"
NO_OTHERS = {  # a cell is trained by this process alone
    "distributed": "off",
    "coordinator": None,
    "num_processes": None,
    "process_id": None,
}


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
    arguments, rest = configuration.parse_arguments(parser, argv)
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
        print("every finished step is saved; run it again to go on")
        return EXIT_INTERRUPTED
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Train what is left of the grid; return the exit code."""
    from cloud_jax.lock import lock
    from cloud_jax.training.logging import read_json, write_json
    from cloud_jax.training.workdir import environment, refuse_object_store

    config = configuration.load(arguments.config, overrides)
    folder = Path(arguments.workdir or config.workdir)
    cells = load_grid(arguments.config, overrides)
    refuse_several_processes()
    refuse_object_store(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        points, failed, hashes = [], [], {}
        for number, (name, cell) in enumerate(cells.items(), 1):
            code, point = train(arguments.config, overrides, cell, folder / name)
            if code in (EXIT_FAILED, EXIT_INTERRUPTED):
                return code
            if point is None:
                failed.append(name)
                outcome = "diverged"
            else:
                hashes |= read_json(folder / name / "results.json")["hashes"]
                points.append({"cell": name} | point)
                write_points(folder / "points.csv", points)
                outcome = (
                    f"loss {point['loss']:.4f}, N {point['parameters']:,}, "
                    f"D {point['tokens']:,}, {point['seconds']:.0f} s"
                )
            print(f"{number} of {len(cells)}, {name}: {outcome}", flush=True)
        write_json(folder / "environment.json", environment(hashes))
        if not points:
            raise ValueError(f"all {len(cells)} cells diverged: lower the rates")
        note = f"Diverged and left out: {', '.join(failed)}. " if failed else ""
        found, columns = analyse(folder / "points.csv", arguments.budget, note=note)
        found["hashes"] |= hashes
        write(found, columns, folder)
    print(screen(found), f"\n{folder}/: points.csv, results.json, {FIGURE}", sep="\n")
    return 0


def load_grid(path: str, overrides: list[str]) -> dict[str, dict[str, Any]]:
    """Run `get_grid()` of a configuration file and check every cell.

    A cell is a dictionary: `tokens` to see, and the keys in which it differs from
    `get_config()`, such as `model.preset`.

    Returns:
        The cells by name, `PRESET_TOKENS`.

    Raises:
        ConfigurationError: no such function, a cell without `tokens`, one that a
            configuration does not take, or two of one name.
    """
    cells = {}
    for number, cell in enumerate(declared(path), 1):
        where = f"get_grid() of {path}, cell {number}"
        tokens = cell.get("tokens") if isinstance(cell, dict) else None
        if type(tokens) is not int or tokens < 1:
            raise ConfigurationError(
                f"{where}: expected a dictionary with `tokens`, a whole number from 1, "
                f"found {cell!r}"
            )
        try:
            config = cell_config(path, overrides, cell)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        name = f"{config.model.preset}_{tokens}"
        if name in cells:
            raise ConfigurationError(f"{where}: there is already one called {name}")
        cells[name] = cell
    return cells


def declared(path: str) -> list:
    """What `get_grid()` of a configuration file returns.

    Raises:
        ConfigurationError: it has none, or that fails or returns no list.
    """
    file = Path(path)
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)  # `configuration.load` has run it before
    if not hasattr(module, "get_grid"):
        raise ConfigurationError(
            f"--config: {file} does not define get_grid(), which returns such as "
            '[{"tokens": 1_000_000, "model.preset": "2x64"}]'
        )
    try:
        grid = module.get_grid()
    except Exception as error:  # whatever somebody's file may raise
        raise ConfigurationError(
            f"get_grid() of {file}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(grid, list) or not grid:
        raise ConfigurationError(
            f"get_grid() of {file} must return a list of cells, found {grid!r}"
        )
    return grid


def cell_config(path: str, overrides: list[str], cell: dict[str, Any]) -> Any:
    """The configuration of one cell; its number of steps is not known yet."""
    from cloud_jax.tuning.space import argument

    chosen = [argument(key, value) for key, value in cell.items() if key != "tokens"]
    return configuration.load(path, chosen + overrides)


def train(
    path: str, overrides: list[str], cell: dict[str, Any], folder: Path
) -> tuple[int, dict[str, Any] | None]:
    """Pretrain one cell unless that was done before.

    Its schedule ends with its tokens (Hoffmann et al. 2022, section 3.1).

    Returns:
        The exit code of pretraining, and the point; None unless it finished.
    """
    import jax

    from cloud_jax import pretrain
    from cloud_jax.training.logging import read_json

    config = cell_config(path, overrides, cell)
    config.workdir = str(folder)
    jax.clear_caches()  # of the cell before: its programs fit no other
    with redirect_stdout(io.StringIO()):  # a line a cell is enough
        job = pretrain.prepare(config, argparse.Namespace(**NO_OTHERS))
        unique = job.store.manifest["splits"]["train"]["n_tokens"]
        a_step = unique / job.train.steps_per_epoch  # tokens, on average
        config.optimizer.steps = max(1, round(cell["tokens"] / a_step))
        code = pretrain.execute(job)
    if code:
        return code, None
    found = read_json(folder / "results.json")
    parameters = found["parameters_non_embedding"]
    tokens = round(found["steps"] * a_step)
    return code, {
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
    found, columns = analyse(arguments.points, arguments.budget)
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        write(found, columns, arguments.output)
    print(json.dumps(found, indent=2) if arguments.json else screen(found))
    return 0


def analyse(
    path: Path, budgets: list[float], *, note: str = ""
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The content of results.json, and the columns of the points.

    Args:
        path: of the points.
        budgets: FLOPs to spend; empty: those of the costliest point.
        note: what else a reader must know of the points.

    Raises:
        ValueError: points or budgets that cannot be used.
    """
    from cloud_jax.evaluation import scaling

    columns = read_points(path)
    try:
        fitted = scaling.fit(**{name: columns[name] for name in COLUMNS})
    except scaling.ScalingError as error:
        raise ValueError(f"{path}: {error}") from None
    spent = [
        scaling.FLOPS_A_TOKEN * n * d
        for n, d in zip(columns["parameters"], columns["tokens"], strict=True)
    ]
    unique = max(columns.get("tokens_unique", [0]))
    note += "N without embeddings, D tokens seen" + (
        f", at most {unique:,.0f} of them unique." if unique else "."
    )
    optima = [scaling.optimum(fitted, budget) for budget in budgets or [max(spent)]]
    names = (*scaling.CONSTANTS, "a", "b")
    return {
        "kind": "scaling",
        **{name: float(getattr(fitted.law, name)) for name in (*names, "G")},
        "intervals": {name: fitted.interval(name) for name in names},
        "confidence": fitted.confidence,
        "bootstrap_samples": len(fitted.samples.E),
        "rms_log_error": fitted.error,
        "points": len(spent),
        "ranges": {name: [min(columns[name]), max(columns[name])] for name in COLUMNS}
        | {"flops": [min(spent), max(spent)]},
        "optima": optima,
        "warnings": list(fitted.warnings),
        "figures": [],
        "hashes": {"points": hashlib.sha256(path.read_bytes()).hexdigest()},
        "note": note,
    }, columns


def read_points(path: Path) -> dict[str, list[float]]:
    """The columns of a file of points that hold numbers, by name.

    Raises:
        ValueError: a column is missing, or holds something else than a number.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path}: there is no column {missing[0]!r}; expected "
                f"{', '.join(COLUMNS)}, found {', '.join(reader.fieldnames or ())}"
            )
        wanted = [n for n in (*COLUMNS, "tokens_unique") if n in reader.fieldnames]
        columns = {name: [] for name in wanted}
        for row in reader:
            for name in wanted:
                try:
                    columns[name].append(float(row[name]))
                except (TypeError, ValueError):
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {name} is {row[name]!r}, "
                        "expected a number; leave out runs that diverged"
                    ) from None
    return columns


def write(found: dict[str, Any], columns: dict[str, list[float]], folder: Path) -> None:
    """Write the figure and results.json, which names it."""
    from cloud_jax.evaluation.figures_scaling import scaling_figure
    from cloud_jax.evaluation.scaling import CONSTANTS, Law
    from cloud_jax.training.logging import write_json

    law = Law(*(found[name] for name in CONSTANTS))
    scaling_figure(folder / FIGURE, law, *(columns[name] for name in COLUMNS))
    caption = (
        "Left: losses of the fitted law (contours), the trained models (points), and "
        "the best N and D for their compute. Right: loss over compute; thin lines are "
        "the law at the size of each model."
    )
    found["figures"] = [{"file": FIGURE, "caption": caption}]
    write_json(folder / "results.json", found)


def screen(found: dict[str, Any]) -> str:
    """What a person reads."""
    lines = [
        f"L(N, D) = A/N^alpha + B/D^beta + E fitted to {found['points']} points, "
        f"r.m.s. error {found['rms_log_error']:.2%}; {found['confidence']:.0%} "
        "intervals\n"
    ]
    for name, (low, high) in found["intervals"].items():
        lines.append(f"{name:6}{found[name]:12.5g}   {low:.5g} to {high:.5g}")
    lines += ["", f"{'FLOPs':>10}{'best N':>12}{'best D':>12}{'loss':>9}"]
    for best in found["optima"]:
        low, high = best["loss_interval"]
        lines.append(
            f"{best['flops']:10.3g}{best['parameters']:12.4g}{best['tokens']:12.4g}"
            f"{best['loss']:9.4f}   {low:.4f} to {high:.4f}"
        )
    lines += [f"\nwarning: {warning}" for warning in found["warnings"]]
    return "\n".join([*lines, f"\n{found['note']}"])


def write_points(path: Path, points: list[dict[str, Any]]) -> None:
    """Write points.csv."""
    text = io.StringIO()
    writer = csv.DictWriter(text, points[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    write_whole(path, text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
