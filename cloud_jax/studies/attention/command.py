"""What a trained encoder looks at: attention from [CLS], for a crystal or a set.

    python -m cloud_jax.attention --checkpoint runs/mine NaCl.cif --output runs/nacl
    python -m cloud_jax.attention --checkpoint runs/mine table:elastic.csv.gz

One crystal becomes a heat map, head by token, of every layer. Of a set it is measured
whether space-group tokens are looked at more than their number alone would have it.
"""

import argparse
import sys
from pathlib import Path

_EPILOG = """\
FILE is a structure file (CIF, POSCAR, pymatgen, ASE or JARVIS JSON), a folder, a quoted
pattern, a zip or tar archive, or a source of cloud_jax.preprocess: table:FILE (CSV,
Parquet, JSON with structures), strings:FILE (CSV of ready sentences in the model's
dialect), matbench:phonons and the other public data sets, embedded, a corpus.toml.

p1 is the share of crystals with a space-group token among the k that [CLS] attends to
most, p2 the share of space-group tokens among the k; heads are averaged, [CLS] itself
does not count. Both are given with the other special tokens ([SEP] and the bars) and
without them. The null is what the number of space-group tokens in each sentence gives
by chance (exact, hypergeometric). Each sentence counts once. Crystals of one space
group are no independent witnesses: intervals and p-values are bootstrapped over space
groups, of which p < 0.001 takes ten at least. The paper's t-test is given beside.

exit status: 0 measured (a warning says what was not read), 1 nothing was read or
something is to correct, 2 wrong usage
"""


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.attention",
        description="Measure and draw what [CLS] attends to.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="see below")
    add(
        "--checkpoint",
        metavar="DIR",
        help="model folder, or work directory of a finished run (the packaged model)",
    )
    add(
        "--output",
        type=Path,
        default=Path("runs/attention"),
        metavar="DIR",
        help="folder of what is written (runs/attention)",
    )
    add(
        "--layer",
        type=_from_one,
        default=1,
        help="the layer that the verdict and the marked tokens are of (1, the paper's)",
    )
    add(
        "--member",
        type=_from_one,
        default=1,
        help="of an ensemble, whose heads are never averaged with another's (1)",
    )
    return parser.parse_args(words)


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1, 2, ...")
    return int(text)


def main(words: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = parse_arguments(words)
    from cloud_jax.scope.pool import EngineError
    from cloud_jax.studies.attention.run import run

    try:
        return run(
            arguments.files,
            checkpoint=arguments.checkpoint,
            output=arguments.output,
            layer=arguments.layer,
            member=arguments.member,
        )
    except (ValueError, EngineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped: no results were written", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
