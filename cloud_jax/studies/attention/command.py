"""`cloud-jax study attention`: measure and draw what [CLS] attends to.

cloud-jax study attention --checkpoint runs/mine NaCl.cif --output runs/nacl
cloud-jax study attention --checkpoint runs/mine table:elastic.csv.gz
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.arguments import MODEL_HELP
from cloud_jax.cli import Exit, run_command

DESCRIPTION = """\
Measure and draw what [CLS] attends to. One crystal becomes a heat map, head by token,
of every layer. For a set it is tested whether space-group tokens receive more attention
than their number alone explains.
"""
EPILOG = """\
FILE is a structure file (CIF, POSCAR, pymatgen, ASE or JARVIS JSON), a folder, a quoted
pattern, a zip or tar archive, or a source of cloud-jax preprocess: table:FILE (CSV,
Parquet, JSON with structures), strings:FILE (CSV of ready sentences in the model's
dialect), matbench:phonons and the other public data sets, embedded, a corpus.toml.

p1 is the share of crystals with a space-group token among the k that [CLS] attends to
most, p2 the share of space-group tokens among the k; heads are averaged, [CLS] itself
does not count. Both are given with the other special tokens ([SEP] and the bars) and
without them. The null is what the number of space-group tokens in each sentence gives
by chance (exact, hypergeometric). Each sentence counts once. Crystals of one space
group are not independent: intervals and p-values are bootstrapped over space groups, of
which p < 0.001 takes at least ten. The paper's t-test is given beside.

Exit code 0 where anything was read (a warning lists what was not), 1 where nothing was.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description, parser.epilog = DESCRIPTION, EPILOG
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="Crystals, as described below.")
    add(
        "--checkpoint",
        metavar="MODEL",
        help=MODEL_HELP,
    )
    add(
        "--output",
        type=Path,
        default=Path("runs/attention"),
        metavar="DIR",
        help="Folder of what is written (default: runs/attention).",
    )
    add(
        "--layer",
        type=_from_one,
        default=1,
        help="Layer of the verdict and of the marked tokens (default: 1, the paper's).",
    )
    add(
        "--member",
        type=_from_one,
        default=1,
        help="Member of an ensemble, as heads of different members are not averaged "
        "(default: 1).",
    )


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1, 2, ...")
    return int(text)


def execute(arguments: argparse.Namespace) -> int:
    """Measure, and print the summary."""
    from cloud_jax.studies.attention.run import run
    from cloud_jax.studies.attention.summary import format_summary

    found = run(
        arguments.files,
        checkpoint=arguments.checkpoint,
        output=arguments.output,
        layer=arguments.layer,
        member=arguments.member,
    )
    if found is None:
        return Exit.FAILED
    print(format_summary(found, arguments.output))
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("study attention", configure, execute, argv)


if __name__ == "__main__":
    sys.exit(main())
