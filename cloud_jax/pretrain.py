"""`cloud-jax pretrain`: train an encoder on token shards.

    python -m cloud_jax.pretrain --config configs/bert12.py

Run the same command again and it resumes. The work directory then holds results.json,
metrics.jsonl, and in model/ what fine-tuning begins with.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_jax.cli import Exit, run_command
from cloud_jax.compiled import keep_compiled_programs


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    from cloud_jax.config import pretraining, settings_help

    parser.description = (
        "Train an encoder on a folder of token shards by masked-language modelling.\n"
        "An interrupted run resumes when the same command is given again."
    )
    parser.epilog = settings_help(pretraining)
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="File of settings, such as configs/quickstart.py.",
    )
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        help="Folder of this run (default: runs/NAME of the settings).",
    )
    parser.add_argument(
        "--distributed",
        default="auto",
        choices=("auto", "manual", "off"),
        help="Join other processes: found from Slurm or the TPU pod (auto), given by "
        "the three arguments below (manual), or never (off) (default: auto).",
    )
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="Address of process 0."
    )
    parser.add_argument(
        "--num-processes", type=int, metavar="N", help="Number of processes of the run."
    )
    parser.add_argument(
        "--process-id", type=int, metavar="N", help="Number of this process, from 0."
    )


def execute(arguments: argparse.Namespace) -> int:
    """Join the other processes, train, and print the results."""
    from cloud_jax.config import load_config, pretraining
    from cloud_jax.config_needs import refuse_missing

    config = load_config(arguments.config, arguments.overrides, kind=pretraining)
    folder = Path(arguments.workdir or config.workdir)
    config.workdir = str(folder)

    keep_compiled_programs(folder)
    from cloud_jax.training import distributed, workdir
    from cloud_jax.training.backend import ROW_SHARES, use_all_cores

    workdir.refuse_object_store(folder)
    if -1 in config.mesh.values():  # otherwise the mesh says how many devices there are
        use_all_cores(ROW_SHARES)  # before jax looks for devices
    # Processes can only join before jax has looked for devices.
    distributed.initialize(
        arguments.distributed,
        timeout_s=config.distributed.timeout_s,
        coordinator=arguments.coordinator,
        num_processes=arguments.num_processes,
        process_id=arguments.process_id,
    )

    from cloud_jax.training import processes
    from cloud_jax.training.errors import InterruptedRunError, NonFiniteLossError
    from cloud_jax.training.run import prepare, run
    from cloud_jax.training.summary import format_summary

    try:
        with processes.ending_together():
            if processes.is_first():
                refuse_missing(arguments.config, config)
            found = run(prepare(config))
    except InterruptedRunError as stop:
        if processes.is_first():
            print(f"saved step {stop.step} in {folder}; run it again to resume")
        return Exit.RESUMABLE
    except KeyboardInterrupt:  # outside the loop, which handles signals itself
        if not workdir.has_saved(folder):
            raise
        print(f"stopped; {folder} keeps its last checkpoint: run it again to resume")
        return Exit.RESUMABLE
    except NonFiniteLossError as error:
        print(f"error: {error}. {workdir.way_forward(folder)}", file=sys.stderr)
        return Exit.DOUBTFUL
    if processes.is_first():
        print(format_summary(found, folder))
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    code = Exit.FAILED  # of an error that nobody handles
    try:
        code = run_command("pretrain", configure, execute, argv, settings=True)
    finally:
        # Loaded, with jax, only once the arguments are right.
        if processes := sys.modules.get("cloud_jax.training.processes"):
            processes.leave(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
