"""`cloud-jax study phonon`: heat capacity and energy beside the paper and experiment.

cloud-jax study phonon runs/debye_cv runs/debye_u
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, run_command

EPILOG = """\
RUN is the work directory of a finished cloud-jax finetune on C_v or U at 300 K, through
a law or by plain regression; tasks cv and u of configs/debye.py make two.
Give all runs that are to be compared.

--output then holds results.json, violin.png, volume.png, symmetry.png and
heat_capacity.png (Table 1, Figures 4 and 5 of the paper). What cannot be made is left
out, with a line that says what it needs.

Measured heat capacities are those of Al2O3, Li2O, CaTiO3, GaN, MgO, CaO, LiF and NaCl
in the package, cloud_jax/evaluation/measured_heat_capacities.json, with their sources.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Compare runs on heat capacity and phonon energy with the paper, with phonons "
        "and with measurement."
    )
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN",
        help="Finished runs, see below.",
    )
    add(
        "--data-dir",
        default="data",
        metavar="DIR",
        help="Folder where the phonon densities of states are looked for (default: "
        "data).",
    )
    add(
        "--output",
        type=Path,
        default=Path("runs/phonon"),
        metavar="DIR",
        help="Folder for results.json and the figures (default: runs/phonon).",
    )


def execute(arguments: argparse.Namespace) -> int:
    """Compare the runs and print the summary."""
    from cloud_jax.studies.phonon.run import run
    from cloud_jax.studies.phonon.summary import format_summary

    found = run(
        arguments.runs,
        data_dir=arguments.data_dir,
        output=arguments.output,
    )
    print(format_summary(found, arguments.output))
    for line in found["missing"]:
        print(f"left out: {line}", file=sys.stderr)
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("study phonon", configure, execute, argv)


if __name__ == "__main__":
    sys.exit(main())
