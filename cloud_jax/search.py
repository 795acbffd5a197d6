"""Search hyper-parameters of fine-tuning, on validation rows only.

    python -m cloud_jax.search --config configs/thermal.py --trials 20

The configuration file declares the space in get_search_space(), see
cloud_jax/tuning/space.py. Run the same command again and it goes on; with more --trials
it adds to them. The work directory then holds best.json, trials.csv, search.png and
study.db, which Optuna and its dashboard read.

Where every row is tested in one fold and trained on in the others, what is chosen has
seen each test row as a validation row of another fold: search in one fold
(--config.folds.only="('fold_0',)") where the final number must not.
"""

import argparse
import csv
import io
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloud_jax.config import (
    ConfigError,
    differences,
    finetuning,
    flatten,
    load_config,
    parse_arguments,
)
from cloud_jax.files import atomic_write
from cloud_jax.finetune import (
    EXIT_DIVERGED,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    refuse_several_processes,
    use_all_cores,
)
from cloud_jax.finetuning.space import Space, argument, load_space

if TYPE_CHECKING:
    import optuna

EPILOG = """\
exit codes
  0   finished (also when it had finished before)
  1   something to correct: settings, space, table, disk
  2   wrong arguments
  3   no trial kept a finite loss
  75  stopped by SIGTERM or SIGINT with its state saved: run it again to go on
"""


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Command-line arguments, and those that start with `--config.`."""
    parser = argparse.ArgumentParser(
        prog="python -m cloud_jax.search",
        description="Search hyper-parameters of fine-tuning on validation rows. "
        "--config.KEY=VALUE changes any other setting, or fixes one of the space; "
        "python -m cloud_jax.finetune --help lists them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", required=True, help="such as configs/thermal.py")
    parser.add_argument("--trials", type=int, default=20, help="in all (default: 20)")
    parser.add_argument(
        "--workdir", help="folder of the search (default: runs/NAME_search)"
    )
    arguments, rest = parse_arguments(parser, argv)
    if arguments.trials < 1:
        parser.error(f"--trials {arguments.trials}: expected 1 or more")
    return arguments, rest


def main(argv: list[str] | None = None) -> int:
    """Parse, search, and turn what went wrong into a message and an exit code."""
    arguments, overrides = parse(argv)
    try:
        config = load_config(arguments.config, overrides, kind=finetuning)
        space = load_space(arguments.config, overrides)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    name = Path(arguments.config).stem
    config.workdir = arguments.workdir or f"runs/{name}_search"
    use_all_cores()
    return execute(config, space, arguments, overrides)


def execute(
    config: Any, space: Space, arguments: argparse.Namespace, overrides: list[str]
) -> int:
    """Search; return the exit code."""
    from cloud_jax.files import lock
    from cloud_jax.finetuning.job import prepare
    from cloud_jax.finetuning.search import Search, SharedTable, search
    from cloud_jax.training.errors import InterruptedRunError
    from cloud_jax.training.workdir import refuse_object_store

    folder = Path(config.workdir)
    configured = flatten(config)

    def configure(values: dict[str, Any]) -> Any:
        chosen = [argument(key, value) for key, value in values.items()]
        return load_config(arguments.config, overrides + chosen, kind=finetuning)

    try:
        refuse_several_processes()
        refuse_object_store(folder)
        reader = SharedTable()
        job = prepare(config, reader=reader)
        fixed = {key: value for key, value in configured.items() if key not in space}
        plan = Search(
            folder=folder,
            space=space,
            configured={key: configured[key] for key in space},
            configure=configure,
            identity=fixed
            | {"space": {key: repr(values) for key, values in space.items()}}
            | {"hashes": job.hashes},
            differences=differences,
            seed=config.seed,
        )
        folder.mkdir(parents=True, exist_ok=True)
        print(job.table.summary())
        with lock(folder):
            study = search(
                plan,
                n_trials=arguments.trials,
                reader=reader,
                report=lambda study: report(study, folder, space, arguments.trials),
            )
            return conclude(study, folder, space, arguments.config, overrides)
    except (InterruptedRunError, KeyboardInterrupt):
        print(f"all trials so far are saved in {folder}; run it again to go on")
        return EXIT_INTERRUPTED
    except (OSError, ValueError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED


def report(study: "optuna.Study", folder: Path, space: Space, n_trials: int) -> None:
    """Write trials.csv and say how the last trial went."""
    from cloud_jax.finetuning.search import answered

    trials = answered(study)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["trial", "validation_mae_over_mad", *space, "seconds", "folder", "error"]
    )
    for trial in trials:
        seconds = (trial.datetime_complete - trial.datetime_start).total_seconds()
        name = trial.user_attrs.get("folder", f"{trial.number:04d}")
        writer.writerow(
            [trial.number, trial.value]
            + [trial.params[key] for key in space]
            + [f"{seconds:.1f}", f"trials/{name}", trial.user_attrs.get("error")]
        )
    atomic_write(folder / "trials.csv", text.getvalue())
    last = trials[-1]
    outcome = last.user_attrs.get("error") or f"validation MAE/MAD {last.value:.4f}"
    print(f"trial {last.number} ({len(trials)} of {n_trials}): {outcome}", flush=True)


def conclude(
    study: "optuna.Study",
    folder: Path,
    space: Space,
    config: str,
    overrides: list[str],
) -> int:
    """Write best.json and search.png, and print the best values as arguments."""
    from cloud_jax.evaluation.figures import search_plot
    from cloud_jax.files import write_json
    from cloud_jax.finetuning.search import answered

    trials = answered(study)
    finished = [trial for trial in trials if trial.value is not None]
    if not finished:
        print(
            f"error: none of {len(trials)} trials finished, the last one: "
            f"{trials[-1].user_attrs['error']}",
            file=sys.stderr,
        )
        return EXIT_DIVERGED
    best = study.best_trial
    chosen = [argument(key, best.params[key]) for key in space]
    write_json(
        folder / "best.json",
        {
            "validation_mae_over_mad": best.value,
            "trial": best.number,
            "parameters": {key: best.params[key] for key in space},
            "arguments": overrides + chosen,
            "trials_finished": len(finished),
            "trials_failed": len(trials) - len(finished),
            "hashes": study.user_attrs["identity"]["hashes"],
        },
    )
    search_plot(
        folder / "search.png",
        [trial.value for trial in trials],
        {key: [trial.params[key] for trial in trials] for key in space},
        log=[key for key, values in space.items() if getattr(values, "log", False)],
        quantity="validation MAE/MAD",
    )
    command = ["python", "-m", "cloud_jax.finetune", "--config", config]
    print(
        f"\n{len(finished)} trials finished, {len(trials) - len(finished)} failed; "
        f"best is trial {best.number}, validation MAE/MAD {best.value:.4f}\n"
        f"{folder}/: best.json, trials.csv, search.png\n\n"
        + shlex.join(command + overrides + chosen)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
