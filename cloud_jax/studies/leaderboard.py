"""Several tasks' results as one file for MatBench's leaderboard.

    python -m cloud_jax.leaderboard runs/phonons runs/jdft2d --output results.json.gz

A finished fine-tuning run on all five folds of a MatBench task leaves
matbench_results.json.gz. This checks those of several runs field by field against
matbench's format and against its official folds, and writes them as one.
"""

import argparse
import sys
from pathlib import Path

EPILOG = """\
A submission is this file in a folder benchmarks/matbench_v0.1_NAME of a pull request to
github.com/materialsproject/matbench, beside info.json and code; its README says how.

exit codes
  0  written
  1  a run without the file, or a file that is damaged or not whole
  2  wrong arguments
130  stopped: nothing was written
"""
NAME = "matbench_results.json.gz"


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Command-line arguments, without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.leaderboard",
        description="Check MatBench results of several runs and write them as one.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="its folder, or the file")
    add(
        "--output",
        type=_gz,
        default=Path("results.json.gz"),
        metavar="X.json.gz",
        help="default: results.json.gz",
    )
    return parser.parse_args(argv)


def _gz(text: str) -> Path:
    if not text.endswith(".json.gz"):
        raise argparse.ArgumentTypeError(f"{text}: expected a name in .json.gz")
    return Path(text)


def main(argv: list[str] | None = None) -> int:
    """Run the command; return the exit code."""
    arguments = parse(argv)
    from cloud_jax.datasets.matbench import TASKS, MatbenchSource
    from cloud_jax.evaluation.matbench import check_matbench, merge_matbench

    if not arguments.output.parent.is_dir():
        print(
            f"error: {arguments.output.parent}: there is no such folder to write "
            f"{arguments.output.name} to",
            file=sys.stderr,
        )
        return 1
    files = [path / NAME if path.is_dir() else path for path in arguments.runs]
    try:
        named = {task for file in files for task in check_matbench(file)["tasks"]}
        known = {f"matbench_{task}": task for task in TASKS}
        official = {
            name: MatbenchSource.from_word(known[name], "").official_folds()
            for name in named & known.keys()
        }
        found = merge_matbench(arguments.output, files, official)
    except FileNotFoundError as error:
        print(
            f"error: {error.filename}: there is no such file; a run of "
            "cloud_jax.finetune on a table matbench:TASK with all five folds leaves it",
            file=sys.stderr,
        )
        return 1
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: nothing was written", file=sys.stderr)
        return 130
    for task, scores in found.items():
        unit = TASKS[task.removeprefix("matbench_")].unit
        text = ", ".join(
            f"{name} {scores[name]['mean']:.4g} ± {scores[name]['std']:.2g}"
            for name in ("mae", "rmse")
        )
        print(f"{task}: {text} {unit}".rstrip())
    print(arguments.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
