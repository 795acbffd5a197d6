"""`cloud-jax study scaling`: train a grid of models, fit the scaling law.

cloud-jax study scaling run --config configs/scaling.py
cloud-jax study scaling fit runs/scaling/points.csv --budget 1e18
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import EXIT_CODES, Exit, run_command

DESCRIPTION = """\
Train a grid of models and fit L(N, D) = A/N^alpha + B/D^beta + E to their losses.

`run` trains each cell of the grid that get_grid() of the configuration file returns;
the same command again resumes. Its work directory then holds points.csv, results.json,
the figure, and the pretraining folder of each cell. `fit` needs points.csv alone: the
columns parameters (N, without embeddings), tokens (D, seen) and loss.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of both subcommands."""
    parser.description = DESCRIPTION
    form = {"epilog": EXIT_CODES}
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    run = commands.add_parser(
        "run",
        help="train a grid, then fit",
        description="Train every cell of a grid, then fit. --config.KEY=VALUE changes "
        "a setting of all cells; cloud-jax pretrain --help lists them.",
        **form,
    )
    run.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="File of the grid, such as configs/scaling.py.",
    )
    run.add_argument(
        "--workdir", metavar="DIR", help="Folder of the grid (default: runs/NAME)."
    )
    run.set_defaults(subcommand=_run)
    fit = commands.add_parser(
        "fit", help="fit existing points", description="Fit existing points.", **form
    )
    fit.add_argument(
        "points", type=Path, help="CSV with the columns parameters, tokens and loss."
    )
    fit.add_argument("--json", action="store_true", help="Print the result as JSON.")
    fit.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        help="Folder for results.json and figures.",
    )
    fit.set_defaults(subcommand=_fit, usage_error=fit.error)
    for command in (run, fit):
        command.add_argument(
            "--budget",
            type=float,
            nargs="+",
            default=[],
            metavar="FLOPS",
            help="Compute budgets, 6 N D, to find the best N and D of.",
        )
        # After the subcommand too; what stands before it is not overwritten.
        quiet = {"action": "store_true", "default": argparse.SUPPRESS}
        command.add_argument("--quiet", help="Show no progress and no notes.", **quiet)


def execute(arguments: argparse.Namespace) -> int:
    """Run the subcommand."""
    return arguments.subcommand(arguments)


def _run(arguments: argparse.Namespace) -> int:
    from cloud_jax.studies.scaling.run import run_grid
    from cloud_jax.studies.scaling.summary import format_summary
    from cloud_jax.training.errors import InterruptedRunError

    try:
        found, folder = run_grid(
            arguments.config,
            arguments.overrides,
            workdir=arguments.workdir,
            budgets=arguments.budget,
        )
    except (InterruptedRunError, KeyboardInterrupt):
        print("stopped; every finished step is saved: run it again to resume")
        return Exit.RESUMABLE
    print(format_summary(found, folder, "points.csv"))
    return Exit.DONE


def _fit(arguments: argparse.Namespace) -> int:
    from cloud_jax.studies.scaling.run import fit_points
    from cloud_jax.studies.scaling.summary import format_summary

    if arguments.overrides:
        arguments.usage_error(f"{arguments.overrides[0]}: fit takes no settings")
    found = fit_points(
        arguments.points, budgets=arguments.budget, output=arguments.output
    )
    if arguments.json:
        print(json.dumps(found, indent=2))
    else:
        print(format_summary(found, arguments.output))
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("study scaling", configure, execute, argv, settings=True)


if __name__ == "__main__":
    sys.exit(main())
