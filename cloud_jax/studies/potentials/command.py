"""`cloud-jax study potentials`: C_v beside universal potentials on their benchmark.

cloud-jax study potentials alexandria-binary-pbe-phonon-2025.1.json.gz
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.arguments import MODEL_HELP
from cloud_jax.cli import Exit, run_command

EPILOG = """\
FILE holds C_v at 300 K of PBE phonons, J/(mol K) per cell, of binary crystals of
Alexandria: alexandria-binary-pbe-phonon-2025.1.json.gz of MatCalc
(github.com/materialsvirtuallab/matcalc, folder benchmark_data), or lines of JSON
(.jsonl, .jsonl.gz) with id, lattice (rows, angstrom), frac, Z and heat_capacity.

--output is JSON: the errors of all crystals and of those whose sentence the model has
not learned from, in total, by class of elements and by size of the cell; the share of
labels inside the intervals; seconds per crystal; published errors of potentials.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Predict heat capacities of MatCalc's phonon benchmark, and print their errors "
        "beside those of universal potentials."
    )
    parser.epilog = EPILOG
    add = parser.add_argument
    add(
        "benchmark",
        type=Path,
        metavar="FILE",
        help="The benchmark, see below.",
    )
    add(
        "--checkpoint",
        metavar="MODEL",
        help=MODEL_HELP,
    )
    add("--output", type=Path, metavar="FILE.json", help="File of the errors.")


def execute(arguments: argparse.Namespace) -> int:
    """Predict, measure, and print the table."""
    from cloud_jax.files import write_json
    from cloud_jax.inference.predictor import load
    from cloud_jax.studies.potentials.run import run
    from cloud_jax.studies.potentials.summary import format_summary

    found = run(load(arguments.checkpoint), arguments.benchmark)
    if arguments.output:
        write_json(arguments.output, found)
    print(format_summary(found))
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("study potentials", configure, execute, argv)


if __name__ == "__main__":
    sys.exit(main())
