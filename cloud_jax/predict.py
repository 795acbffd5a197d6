"""Ask a trained model about structures.

    python -m cloud_jax.predict quartz.cif --temperature 0:1000:10 --plot cv.png
    python -m cloud_jax.predict --checkpoint runs/mine cifs/ --out predictions.csv

Rows go to --out (or to standard output), in the order of the files: id, property,
temperature_k, value, unit, basis, std, lower, upper, flags. What could not be predicted
is listed in rejects.csv beside --out.
"""

import argparse
import os
import sys
from pathlib import Path

_EPILOG = """\
FILE is a structure file (CIF, POSCAR, pymatgen, ASE or JARVIS JSON), a folder, a quoted
pattern, or a zip or tar archive.

std is the spread over the members of the ensemble; lower and upper bound the interval
that held the stated share of the calibration rows. flags say what is unusual:
  disordered, decorated, isotope, first_of_several, formula_differs, symprec_lowered
      how the file was read; see python -m cloud_jax.scope FILE
  unseen_space_group, unseen_element:X, unseen_wyckoff:X, unseen_count:X,
  unseen_fraction:X, unseen_token:X, longer_than_trained
      no labelled training row had this: do not rely on the interval

exit status: 0 something was predicted (a warning says what was not), 1 nothing was or
a file could not be written, 2 wrong usage
"""


def _path_of(*suffixes: str):
    def convert(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            names = " or ".join(suffixes)
            raise argparse.ArgumentTypeError(f"{text}: expected a name in {names}")
        if not path.parent.is_dir():
            raise argparse.ArgumentTypeError(
                f"{text}: there is no folder {path.parent}"
            )
        if (path.parent / "results.json").exists():
            raise argparse.ArgumentTypeError(
                f"{text}: {path.parent} is the work directory of a training run, whose "
                "predictions.csv and rejects.csv are its own: give another folder"
            )
        return path

    return convert


def _temperatures(text: str):
    from cloud_jax.inference.temperatures import parse_temperatures

    try:
        return parse_temperatures(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line without importing anything heavy."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.predict",
        description="Predict the properties of crystals, with uncertainty.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="see below")
    add(
        "--checkpoint",
        metavar="DIR",
        help="model folder, or work directory of a finished run (the packaged model)",
    )
    add(
        "--temperature",
        type=_temperatures,
        metavar="T",
        help="kelvin: 300, or 100,200,300, or FIRST:LAST:STEP; of models with a "
        "physical law (the temperatures of the training labels)",
    )
    add(
        "--basis",
        choices=("cell", "atom", "formula", "gram"),
        help="what to count in; cell is the primitive cell (as the training labels)",
    )
    add("--out", type=_path_of(".csv"), metavar="X.csv", help="the rows")
    add(
        "--plot",
        type=_path_of(".png", ".pdf", ".svg"),
        metavar="X.png",
        help="curves against temperature, with the interval",
    )
    add(
        "--embed",
        type=_path_of(".parquet"),
        metavar="X.parquet",
        help="the encoder's [CLS] vectors, of an ensemble those of its first member",
    )
    arguments = parser.parse_args(words)
    if arguments.out and arguments.out.name == "rejects.csv":
        parser.error("argument --out: rejects.csv is the name of the list of rejects")
    if arguments.plot and (
        arguments.temperature is None or len(arguments.temperature) < 2
    ):
        parser.error("argument --plot: needs --temperature with two or more, 0:1000:10")
    return arguments


def main(words: list[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = parse_arguments(words)
    from cloud_jax.inference.properties import EstimateError
    from cloud_jax.inference.run import run
    from cloud_jax.models.folder import ModelFolderError
    from cloud_jax.scope.pool import EngineError

    try:
        return run(arguments)
    except EstimateError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ModelFolderError, EngineError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of standard output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
