"""`cloud-jax finetune`: train on a table of labelled crystals, all folds in one run.

    cloud-jax finetune --config configs/thermal.py

Run the same command again and it resumes. The work directory then holds results.json,
predictions.csv, rejects.csv, parity.png, and in model/ what `cloud-jax predict` takes.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, run_command
from cloud_jax.compiled import keep_compiled_programs


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from cloud_jax.config import finetuning, settings_help

    parser.description = (
        "Fine-tune CLOUD on a table of labelled crystals: an ensemble per fold.\n"
        "An interrupted run resumes when the same command is given again."
    )
    parser.epilog = settings_help(finetuning)
    parser.add_argument("--config", required=True, help="such as configs/thermal.py")
    parser.add_argument("--workdir", help="folder of this run (default: runs/NAME)")


def execute(arguments: argparse.Namespace) -> int:
    """Read the table, train every member and write the results."""
    from cloud_jax.config import finetuning, load_config

    config = load_config(arguments.config, arguments.overrides, kind=finetuning)
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
        run(prepare(config))
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
            f"error: {error}: pip install 'cloud-jax[train]'. Without pymatgen, spglib "
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
