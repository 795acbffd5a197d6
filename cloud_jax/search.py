"""`cloud-jax search`: search hyper-parameters of fine-tuning, on validation rows only.

    cloud-jax search --config configs/thermal.py --trials 20

The configuration file declares the space in get_search_space(), see
cloud_jax/finetuning/space.py. Run the same command again and it resumes; with more
--trials it adds to them. The work directory then holds best.json, trials.csv,
search.png and study.db, which Optuna and its dashboard read.

Where every row is tested in one fold and trained on in the others, each test row has
been a validation row of another fold when a value was chosen: search in one fold
(--config.folds.only="('fold_0',)") where the final number must not depend on that.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_jax.arguments import command_line
from cloud_jax.cli import Exit, run_command
from cloud_jax.compiled import keep_compiled_programs


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.description = (
        "Search hyper-parameters of fine-tuning on validation rows.\n"
        "--config.KEY=VALUE changes any other setting, or fixes one of the space;\n"
        "`cloud-jax finetune --help` lists them."
    )
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="File of settings, such as configs/thermal.py:textbook.",
    )
    parser.add_argument(
        "--trials",
        type=count,
        default=20,
        metavar="N",
        help="Number of trials in all (default: 20).",
    )
    parser.add_argument(
        "--workdir",
        metavar="DIR",
        help="Folder of the search (default: runs/NAME_search).",
    )


def count(text: str) -> int:
    """Return a whole number from 1."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number}: expected 1 or more")
    return number


def execute(arguments: argparse.Namespace) -> int:
    """Read the table, run the trials and print the best of them."""
    from cloud_jax.config import finetuning, load_config
    from cloud_jax.config_needs import refuse_missing
    from cloud_jax.files import lock
    from cloud_jax.finetuning.space import argument, load_space

    overrides = arguments.overrides

    def configure_trial(values: dict[str, Any]) -> Any:
        chosen = [argument(key, value) for key, value in values.items()]
        return load_config(arguments.config, overrides + chosen, kind=finetuning)

    config = configure_trial({})
    refuse_missing(arguments.config, config)
    space = load_space(arguments.config, overrides)
    folder = Path(arguments.workdir or f"{config.workdir}_search")
    config.workdir = str(folder)

    keep_compiled_programs(folder)
    from cloud_jax.training.backend import refuse_several_processes, use_all_cores

    refuse_several_processes("a search")
    use_all_cores()  # before jax looks for devices

    try:
        from cloud_jax.finetuning import search_outputs
    except ImportError as error:
        print(f'error: {error}: pip install "cloud-jax[search]"', file=sys.stderr)
        return Exit.FAILED
    from cloud_jax.finetuning.job import prepare
    from cloud_jax.finetuning.search import SharedTable, plan_search, search
    from cloud_jax.training.errors import InterruptedRunError

    reader = SharedTable()
    job = prepare(config, reader=reader)
    plan = plan_search(config, space, job, configure_trial)
    folder.mkdir(parents=True, exist_ok=True)
    print(job.table.summary())
    try:
        with lock(folder):
            study = search(
                plan,
                n_trials=arguments.trials,
                reader=reader,
                report=lambda study: search_outputs.report(
                    study, folder, space, arguments.trials
                ),
            )
            best = search_outputs.conclude(study, folder, space, overrides)
    except (InterruptedRunError, KeyboardInterrupt):
        print(f"all trials so far are saved in {folder}; run it again to resume")
        return Exit.RESUMABLE
    except search_outputs.NoTrialFinishedError as error:
        print(f"error: {error}", file=sys.stderr)
        return Exit.DOUBTFUL
    key, words = search_outputs.measure(study)
    command = ["cloud-jax", "finetune", "--config", arguments.config]
    print(
        f"\n{best['trials_finished']} trials finished, {best['trials_failed']} failed; "
        f"best is trial {best['trial']}, {words} {best[key]:.4f}\n"
        f"{folder}/: best.json, trials.csv, search.png\n\n"
        + command_line(command + best["arguments"])
    )
    return Exit.DONE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    return run_command("search", configure, execute, argv, settings=True)


if __name__ == "__main__":
    sys.exit(main())
