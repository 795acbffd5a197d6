"""`cloud-jax study discovery`: score a model on MatBench Discovery.

cloud-jax study discovery runs/discovery
cloud-jax study discovery predictions.csv --summary hull.csv --output out/
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, UsageError, run_command

EPILOG = """\
RUN is the work directory of a finished fine-tuning run whose test rows are WBM, or a
CSV of material_id and predicted formation energy. --output then holds results.json,
the figures, and the files of a submission to the leaderboard.

Which crystals are stable depends on their distance to the convex hull of Materials
Project: the published file 2023-12-13-wbm-summary.csv.gz, found in --data-dir, or a
table of your own (--summary) with material_id, e_above_hull (eV/atom), and if known
unique_prototype and e_form_per_atom. Without it the errors of the formation energy are
computed, with a line on what is missing and where it is published.

--metadata is a YAML file of what only you know, in the leaderboard's words: model_name,
model_key, authors (name, affiliation, email ...), doi, paper, repo, pr_url,
checkpoint_url, license, training_sets, training_cost, notes ...
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Compute the metrics of MatBench Discovery, draw figures, write a submission."
    )
    parser.epilog = EPILOG
    add = parser.add_argument
    add("run", type=Path, metavar="RUN", help="Work directory, or CSV of predictions.")
    add("--summary", type=Path, metavar="FILE", help="Hull distances, see below.")
    add(
        "--data-dir",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="Folder where the published files are looked for (default: data).",
    )
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="Folder of what is written (default: RUN/discovery).",
    )
    add(
        "--target",
        default="",
        metavar="NAME",
        help="Target of the run, or column of the CSV (default: e_form_per_atom).",
    )
    add(
        "--metadata",
        type=Path,
        metavar="FILE",
        help="Fields of the submission, see below.",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Score the predictions and print the summary."""
    output = arguments.output
    if output is None:
        if not arguments.run.is_dir() and arguments.run.exists():
            raise UsageError("argument --output: is needed where RUN is a file")
        output = arguments.run / "discovery"

    from cloud_jax.studies.discovery.run import run
    from cloud_jax.studies.discovery.summary import format_summary

    found = run(
        arguments.run,
        summary=arguments.summary,
        data_dir=arguments.data_dir,
        output=output,
        target=arguments.target,
        metadata=arguments.metadata,
    )
    print(format_summary(found, output))
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("study discovery", configure, execute, argv)


if __name__ == "__main__":
    sys.exit(main())
