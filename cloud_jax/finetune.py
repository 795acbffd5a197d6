"""`cloud-jax finetune`: train on a table of labelled crystals, all folds in one run.

    cloud-jax finetune my.csv --target band_gap --unit eV
    cloud-jax finetune --config configs/thermal.py

The first finds the columns and chooses the settings by the size of the table; they are
in WORKDIR/config.py then, which `--config` takes. Run the same command again and it
resumes. The work directory then holds results.json, predictions.csv, rejects.csv,
parity.png, and in model/ what `cloud-jax predict` takes.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cloud_jax.arguments import command_line
from cloud_jax.cli import Exit, UsageError, run_command
from cloud_jax.compiled import keep_compiled_programs

_OF_A_TABLE = ("target", "structure", "id", "group", "folds", "unit", "classify")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from cloud_jax.config import finetuning, settings_help

    parser.description = (
        "Fine-tune CLOUD on a table of labelled crystals: an ensemble per fold.\n"
        "Give your table and the columns to learn, or a file of settings with --config."
        "\nAn interrupted run resumes when the same command is given again."
    )
    parser.epilog = settings_help(finetuning)
    parser.add_argument(
        "table",
        nargs="?",
        metavar="TABLE",
        help="Table of your crystals, one per row: .csv, .json, .jsonl or .parquet.",
    )
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="File of settings instead of a table, such as configs/thermal.py.",
    )
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        help="Folder of this run (default: runs/TABLE_TARGET, or that of the "
        "settings).",
    )
    own = parser.add_argument_group("of a table")
    own.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="COLUMN",
        help="Column to learn; repeat it or separate columns by commas for several.",
    )
    own.add_argument(
        "--structure",
        metavar="COLUMN",
        default="",
        help="Column of crystals: CIF or POSCAR text, paths, JSON, or sentences "
        "(default: the one that looks like it).",
    )
    own.add_argument(
        "--id",
        metavar="COLUMN",
        default="",
        help="Column with a different name in each row (default: a known one, or the "
        "line of the row).",
    )
    own.add_argument(
        "--group",
        metavar="COLUMN",
        default="",
        help="Column whose equal values keep rows together, in training or in test "
        "(default: rows of one reduced formula stay together).",
    )
    own.add_argument(
        "--folds",
        type=fold_count,
        default=0,
        metavar="N",
        help="Number of random folds (default: a column named fold or split, or 5).",
    )
    own.add_argument(
        "--unit",
        action="append",
        default=[],
        metavar="UNIT",
        help="Unit of the target, for people; one per numeric target, or none.",
    )
    own.add_argument(
        "--classify",
        action="store_true",
        help="Take targets of two numbers, such as 0 and 1, for two classes.",
    )


def fold_count(text: str) -> int:
    """Return a whole number from 2."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 2 or more")
    return int(text)


def settings_of_table(arguments: argparse.Namespace) -> "tuple[Any, Callable]":
    """Return the settings of a run on a table, and a function that writes them down.

    Raises:
        UsageError: units that do not fit the targets.
        ValueError: a table that cannot be used, or an override.
    """
    from cloud_jax.finetuning import own_config, own_table

    asked = own_table.Asked(
        targets=arguments.target,
        structure=arguments.structure,
        id=arguments.id,
        group=arguments.group,
        folds=arguments.folds,
        units=[unit for text in arguments.unit for unit in text.split(",")],
        classify=arguments.classify,
    )
    found = own_table.survey(arguments.table, asked)
    numbers = [target.name for target in found.targets if not target.positive]
    if asked.units and len(asked.units) != len(numbers):
        raise UsageError(
            f"--unit: found {len(asked.units)}, expected one for each numeric target "
            f"({', '.join(numbers) or 'none'}), or none at all"
        )
    choices = own_config.choose(found, asked)
    names = [target.name for target in found.targets]
    folder = arguments.workdir or own_config.default_workdir(arguments.table, names)
    config = own_config.configure(choices, folder, arguments.overrides)
    print(own_config.explain(found, choices, config))

    def write() -> None:
        path = Path(config.workdir) / own_config.NAME
        own_config.write_config(path, config, choices, _as_typed(arguments))

    return config, write


def _as_typed(arguments: argparse.Namespace) -> str:
    """Return the command of a run on a table, as it is typed."""
    words = ["cloud-jax", "finetune", arguments.table]
    for name in ("workdir", *_OF_A_TABLE):
        value = getattr(arguments, name)
        values = value if isinstance(value, list) else [value] if value else []
        for one in values:
            words += [f"--{name}"] if one is True else [f"--{name}", str(one)]
    return command_line([*words, *arguments.overrides])


def execute(arguments: argparse.Namespace) -> int:
    """Read the table, train every member and write the results."""
    from cloud_jax.config import finetuning, load_config
    from cloud_jax.config_needs import refuse_missing

    if bool(arguments.table) == bool(arguments.config):
        raise UsageError(
            "give a table (my.csv --target band_gap) or a file of settings "
            "(--config FILE), one of them"
        )
    write_settings = None
    if arguments.table:
        config, write_settings = settings_of_table(arguments)
    else:
        if given := [f"--{name}" for name in _OF_A_TABLE if getattr(arguments, name)]:
            raise UsageError(f"{', '.join(given)}: for a table, not for --config")
        config = load_config(arguments.config, arguments.overrides, kind=finetuning)
        refuse_missing(arguments.config, config)
    folder = Path(arguments.workdir or config.workdir)
    config.workdir = str(folder)

    keep_compiled_programs(folder)
    from cloud_jax.training.backend import refuse_several_processes, use_all_cores

    refuse_several_processes("fine-tuning")
    use_all_cores()  # before jax looks for devices

    from cloud_jax.finetuning.job import prepare
    from cloud_jax.finetuning.run import run
    from cloud_jax.training.errors import DivergedError, InterruptedRunError
    from cloud_jax.training.workdir import has_saved

    try:
        job = prepare(config)
        if write_settings and not has_saved(folder):
            write_settings()
        run(job)
    except InterruptedRunError:
        print(f"every finished epoch is saved in {folder}; run it again to resume")
        return Exit.RESUMABLE
    except KeyboardInterrupt:  # outside the loop, which handles signals itself
        if not has_saved(folder):
            raise
        print(f"stopped; {folder} keeps its last checkpoint: run it again to resume")
        return Exit.RESUMABLE
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.DOUBTFUL
    except ImportError as error:
        print(
            f'error: {error}: pip install "cloud-jax[train]". Without pymatgen, spglib '
            "and gemmi start with a checkpoint or a prepared data set, and name a "
            "column of sentences or that data set instead of structures",
            file=sys.stderr,
        )
        return Exit.FAILED
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("finetune", configure, execute, argv, settings=True)


if __name__ == "__main__":
    sys.exit(main())
