"""`cloud-jax study leaderboard`: runs on several tasks as one file for MatBench.

    cloud-jax study leaderboard runs/phonons runs/jdft2d --output results.json.gz

A finished fine-tuning run on all five folds of a MatBench task leaves
matbench_results.json.gz. The files of several runs are checked field by field against
MatBench's format and its official folds (evaluation/leaderboard_file.py), and merged.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, run_command

EPILOG = """\
A submission is this file in a folder benchmarks/matbench_v0.1_NAME of a pull request to
github.com/materialsproject/matbench, beside info.json and code; its README says how.
"""
NAME = "matbench_results.json.gz"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = "Check the MatBench results of several runs and merge them."
    parser.epilog = EPILOG
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="Work directory, or the file."
    )
    parser.add_argument(
        "--output",
        type=_gz,
        default=Path("results.json.gz"),
        metavar="X.json.gz",
        help="Name of the merged file (default: results.json.gz).",
    )


def _gz(text: str) -> Path:
    if not text.endswith(".json.gz"):
        raise argparse.ArgumentTypeError(f"{text}: expected a name in .json.gz")
    return Path(text)


def execute(arguments: argparse.Namespace) -> int:
    """Check, merge, and print the scores."""
    from cloud_jax.datasets.matbench import TASKS, MatbenchSource
    from cloud_jax.evaluation.leaderboard_file import check_matbench, merge_matbench

    folder = arguments.output.parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder}: there is no such folder to write {arguments.output.name} to"
        )
    files = [path / NAME if path.is_dir() else path for path in arguments.runs]
    for file in files:
        if not file.exists():
            raise FileNotFoundError(
                f"{file}: there is no such file; a run of cloud-jax finetune on a "
                "table matbench:TASK with all five folds leaves it"
            )
    named = {task for file in files for task in check_matbench(file)["tasks"]}
    known = {f"matbench_{task}": task for task in TASKS}
    official = {
        name: MatbenchSource.from_word(known[name], "").official_folds()
        for name in named & known.keys()
    }
    merged = merge_matbench(arguments.output, files, official)
    for task, scores in merged.items():
        text = ", ".join(
            f"{name} {scores[name]['mean']:.4g} ± {scores[name]['std']:.2g}"
            for name in ("mae", "rmse")
        )
        print(f"{task}: {text} {TASKS[known[task]].unit}".rstrip())
    print(arguments.output)
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("study leaderboard", configure, execute, argv)


if __name__ == "__main__":
    sys.exit(main())
