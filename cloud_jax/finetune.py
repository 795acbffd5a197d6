"""Fine-tune CLOUD on a labelled table: all folds, an ensemble each, in one launch.

    python -m cloud_jax.finetune --config configs/thermal.py

Run the same command again and it resumes. The work directory then holds results.json,
predictions.csv, rejects.csv, parity.png, and in model/ what cloud_jax.predict takes.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from cloud_jax.config import (
    ConfigError,
    differences,
    finetuning,
    flatten,
    load_config,
    parse_arguments,
)

EXIT_FAILED, EXIT_DIVERGED, EXIT_INTERRUPTED = 1, 3, 75

EPILOG = """\
exit codes
  0   finished (also when it had finished before)
  1   something to correct: settings, table, disk
  2   wrong arguments
  3   a loss was not finite
  75  stopped by SIGTERM or SIGINT with its state saved: run it again to resume

configuration keys and their defaults, which configs/*.py change
"""


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Command-line arguments, and those that start with `--config.`."""
    keys = flatten(finetuning())
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.finetune",
        description="Fine-tune CLOUD on a labelled table. An interrupted run resumes "
        "when the same command is given again.",
        epilog=EPILOG + "\n".join(f"  --config.{k}={v!r}" for k, v in keys.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, help="such as configs/thermal.py")
    parser.add_argument("--workdir", help="folder of this run (default: runs/NAME)")
    return parse_arguments(parser, argv)


def main(argv: list[str] | None = None) -> int:
    """Parse, run, and turn what went wrong into a message and an exit code."""
    arguments, overrides = parse(argv)
    try:
        config = load_config(arguments.config, overrides, kind=finetuning)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    if arguments.workdir:
        config.workdir = arguments.workdir
    use_all_cores()
    return execute(config)


def use_all_cores() -> None:
    """Make each core a device of JAX's CPU backend, which a member then has to itself.

    Must run before jax is imported, so before it is known how many members all folds
    have; other backends do not look at it.
    """
    cores = len(os.sched_getaffinity(0))
    if cores > 1 and "XLA_FLAGS" not in os.environ:
        os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={cores}"


def execute(config: Any) -> int:
    """Run a configuration; return the exit code."""
    from jax.errors import JaxRuntimeError

    from cloud_jax.finetuning.job import prepare
    from cloud_jax.finetuning.loop import DivergedError
    from cloud_jax.finetuning.run import run
    from cloud_jax.training.errors import InterruptedRunError
    from cloud_jax.training.workdir import claim, refuse_object_store

    folder = Path(config.workdir)
    try:
        refuse_several_processes()
        refuse_object_store(folder)
        job = prepare(config)
        with claim(
            folder,
            config.to_dict() | {"hashes": job.hashes},
            differences=differences,
            active=True,
        ):
            run(job)
    except KeyboardInterrupt:
        print("stopped while the table was read: nothing was trained or lost")
        return EXIT_INTERRUPTED
    except InterruptedRunError:
        print(f"every finished epoch is saved in {folder}; run it again to resume")
        return EXIT_INTERRUPTED
    except DivergedError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_DIVERGED
    except ImportError as error:
        print(
            f"error: {error}: `pip install -r requirements.txt`. Without pymatgen, "
            "spglib and gemmi begin with a checkpoint or a prepared dataset, and name "
            "a column of ready sentences or that dataset instead of structures",
            file=sys.stderr,
        )
        return EXIT_FAILED
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        print(
            f"error: the device's memory does not hold this run: lower "
            f"config.members_at_once, or the batch ({str(error).splitlines()[0]})",
            file=sys.stderr,
        )
        return EXIT_FAILED
    return 0


def refuse_several_processes() -> None:
    """Raise ValueError in all but the first of several Slurm tasks."""
    task = os.environ.get("SLURM_PROCID", "0")
    if task != "0":
        raise ValueError(
            f"fine-tuning runs in one process, and this is task {task} of a Slurm "
            "step: start it with srun --ntasks=1"
        )


if __name__ == "__main__":
    sys.exit(main())
