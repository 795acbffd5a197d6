"""Predict the properties of crystals from their structure files.

    cloud-jax predict quartz.cif --temperature 0:1000:10 --plot quartz.png
    cloud-jax predict --checkpoint runs/mine cifs/ --output predictions.csv

Rows go to --output (or to standard output), in the order of the files: id, formula,
property, temperature_k, value, unit, basis, spread, lower, upper, notes. Rejected
crystals are listed beside it, in X.rejects.csv.
"""

import argparse
import sys
import textwrap
from pathlib import Path

from cloud_jax.arguments import MODEL_HELP
from cloud_jax.cli import Exit, UsageError, run_command, sigterm_as_interrupt
from cloud_jax.compiled import keep_compiled_programs
from cloud_jax.structures.flags import FLAGS

_EPILOG = """\
FILE is a structure file (CIF, POSCAR, extended XYZ, the JSON of pymatgen, ASE, JARVIS
or OPTIMADE, each also .gz, .bz2 or .xz), a folder, a quoted pattern, or a zip or tar
archive. Files of a folder or archive that are not structure files are named.

A model with a physical law gives, in the harmonic approximation at zero pressure:
heat_capacity (C_v), entropy, enthalpy H(T) - H(0), gibbs_energy G(T) - H(0),
internal_energy and helmholtz (both with the zero-point energy), debye_temperature (of
the Debye solid with the same C_v at T), and zero_point_energy once per crystal.
Energies are in kJ; values have five significant digits.

spread is the standard deviation over the members of the ensemble; lower and upper bound
the interval that held the stated share of the calibration rows. notes say what is
unusual:
  {flags}
      how the file was read; `cloud-jax scope FILE` says it in words
  unseen_space_group, unseen_element:X, unseen_wyckoff:X, unseen_count:X,
  unseen_fraction:X, unseen_token:X, longer_than_trained
      absent from the labelled training rows: do not rely on the interval
  not_calibrated:few_neighbours, not_calibrated:elemental_crystal,
  not_calibrated:X_in_metal
      far from the training rows, one element, or a metal with an element that no
      labelled metal holds: too few labels tested intervals there

The exit code is 0 if at least one crystal was predicted; a warning counts the rest.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.description = "Predict the properties of crystals, with uncertainty."
    flags = textwrap.fill(", ".join(FLAGS), 84, subsequent_indent="  ")
    parser.epilog = _EPILOG.format(flags=flags)
    add = parser.add_argument
    add("files", nargs="+", metavar="FILE", help="Structures, as described below.")
    add(
        "--checkpoint",
        metavar="MODEL",
        help=MODEL_HELP,
    )
    add(
        "--temperature",
        type=_temperatures,
        metavar="T",
        help="Temperatures in kelvin: 300, or 100,200,300, or FIRST:LAST:STEP; for "
        "models with a physical law (default: those of the training labels).",
    )
    add(
        "--basis",
        choices=("cell", "atom", "formula", "gram"),
        help="Amount that values refer to: formula is that of the column formula, cell "
        "the primitive cell (default: formula for models with a physical law, as the "
        "training labels for others).",
    )
    add(
        "--symmetry",
        choices=("spglib", "moyopy"),
        help="Library that searches the symmetry (default: that of the training rows). "
        "moyopy is several times as fast, and may find more in crystals that nearly "
        "have it.",
    )
    add(
        "--output",
        type=_path_of(".csv", ".jsonl"),
        metavar="X.csv",
        help="Write the rows to this CSV file, or one JSON object per crystal to a "
        ".jsonl file.",
    )
    add(
        "--json",
        action="store_true",
        help="Print one JSON object per crystal instead of CSV rows.",
    )
    add(
        "--wide",
        action="store_true",
        help="Write one row per crystal and temperature, with columns such as "
        "heat_capacity_j_per_mol_k and heat_capacity_lower_j_per_mol_k.",
    )
    add(
        "--plot",
        type=_path_of(".png", ".pdf", ".svg"),
        metavar="X.png",
        help="Draw the heat capacity against temperature with its interval, beside "
        "measured points of well-known crystals; at a single temperature, crystals "
        "ranked by value.",
    )
    add(
        "--plot-property",
        type=_names,
        metavar="NAME",
        help="Draw this property instead, such as entropy, or several: "
        "heat_capacity,enthalpy,gibbs_energy.",
    )
    add(
        "--embed",
        type=_path_of(".parquet"),
        metavar="X.parquet",
        help="Write the encoder's [CLS] vectors; of an ensemble, those of its first "
        "member.",
    )


def _path_of(*suffixes: str):
    def convert(text: str) -> Path:
        path = Path(text)
        if path.suffix.lower() not in suffixes:
            names = " or ".join(suffixes)
            raise argparse.ArgumentTypeError(
                f"{text}: expected a file name ending in {names}"
            )
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


def _names(text: str) -> list[str]:
    names = [word.strip() for word in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected names with a comma between them, such as "
            "entropy,enthalpy"
        )
    return names


def _temperatures(text: str):
    from cloud_jax.inference.temperatures import parse_temperatures

    try:
        return parse_temperatures(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def execute(arguments: argparse.Namespace) -> int:
    """Check that the arguments go together, and predict; return the exit code."""
    if arguments.plot_property and not arguments.plot:
        raise UsageError("--plot-property: needs --plot")
    if arguments.output and arguments.output.suffix.lower() == ".jsonl":
        arguments.json = True
    if arguments.wide and arguments.json:
        raise UsageError("--wide: JSON has no wide form: leave one of them out")
    keep_compiled_programs()
    from cloud_jax.inference.properties import PredictionError
    from cloud_jax.inference.run import run

    try:
        with sigterm_as_interrupt():
            return run(arguments)
    except PredictionError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.USAGE


def main(argv: list[str] | None = None) -> int:
    """Run `cloud-jax predict`; return the exit code."""
    return run_command("predict", configure, execute, argv)


if __name__ == "__main__":
    sys.exit(main())
