"""What each choice is worth on the thermal labels: a grid of fine-tuning runs.

    python -m scripts.ablation --table data/thermal_cv_u.csv --epochs 40
        --pretrained features=runs/small [--pretrained paper=...] [--only scratch]
        [--workdir runs/ablation] [--config.KEY=VALUE]

The grid is input (paper: the published sentences; canonical: ours; features: ours with
token features), start (scratch, or pretrained where a checkpoint of that input is
given) and law (debye, debye_einstein). Every run has the same budget and the same rows,
one after another, a process each, its output in WORKDIR/NAME.log. Its members differ in
seed and validation rows: their mean and deviation are those of a single model, and the
mean of their predictions is the ensemble. Run the same command again and it goes on;
the table, also in WORKDIR/ablation.md, is of the runs that have finished. Exit code 1
if a run failed.
"""

import argparse
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cloud_jax.config import finetuning, flatten, is_resumable, load_config
from cloud_jax.files import atomic_write, read_json
from cloud_jax.finetune import EXIT_INTERRUPTED

INPUTS = {
    "paper": {
        "data.dialect": "paper",
        "data.scope_column": "scope_paper",
        "data.n_atoms_column": "n_atoms",
        "model.token_features": "false",
    },
    "canonical": {"model.token_features": "false"},
    "features": {"model.token_features": "true"},
}
LAWS = ("debye", "debye_einstein")
GRID = tuple(itertools.product(INPUTS, ("scratch", "pretrained"), LAWS))
METRIC = "mae_over_mad_train_mean"
KINDS = ("single", "ensemble")


def parse() -> tuple[argparse.Namespace, list[str]]:
    """Return the arguments, and the settings of all runs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="configs/thermal.py")
    parser.add_argument("--table", default="data/thermal_cv_u.csv")
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument(
        "--pretrained",
        action="append",
        default=[],
        metavar="INPUT=DIR",
        help=f"a checkpoint of that input, one of {', '.join(INPUTS)}",
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORD",
        help="such as scratch, debye or features; several must all hold",
    )
    parser.add_argument("--workdir", type=Path, default=Path("runs/ablation"))
    arguments, overrides = parser.parse_known_args()
    for pair in arguments.pretrained:
        if "=" not in pair or pair.partition("=")[0] not in INPUTS:
            parser.error(
                f"--pretrained {pair}: expected INPUT=DIR, INPUT one of "
                f"{', '.join(INPUTS)}"
            )
    if bad := set(arguments.only) - {*INPUTS, *LAWS, "scratch", "pretrained"}:
        parser.error(f"--only {bad.pop()}: no arm is called that")
    return arguments, overrides


def arms(arguments: argparse.Namespace) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Yield (input, start, law) and the settings of each run."""
    checkpoints = dict(pair.split("=", 1) for pair in arguments.pretrained)
    for name, start, law in GRID:
        if start == "pretrained" and name not in checkpoints:
            continue
        if not set(arguments.only) <= {name, start, law}:
            continue
        settings = INPUTS[name] | {
            "data.table": arguments.table,
            "head.law": law,
            "members": arguments.members,
            "optimizer.epochs": arguments.epochs,
            "model.checkpoint": checkpoints[name] if start == "pretrained" else "",
        }
        yield (
            (name, start, law),
            [f"--config.{key}={value}" for key, value in settings.items()],
        )


def check_same(folder: Path, config: str, settings: list[str]) -> None:
    """Raise SystemExit if a finished run had other settings."""
    asked = flatten(load_config(config, settings, kind=finetuning))
    had = flatten(read_json(folder / "config.json"))
    for key in (setting[len("--config.") :].partition("=")[0] for setting in settings):
        if not is_resumable(key) and had[key] != asked[key]:
            raise SystemExit(
                f"{folder} has finished with {key}={had[key]!r}, asked for is "
                f"{asked[key]!r}: give another --workdir"
            )


def run(folder: Path, config: str, settings: list[str]) -> int:
    """Run one configuration unless that was done; return its exit code."""
    if (folder / "results.json").exists():
        check_same(folder, config, settings)
        return 0
    command = [sys.executable, "-m", "cloud_jax.finetune", "--config", config]
    with folder.with_suffix(".log").open("a") as log:
        done = subprocess.run(
            [*command, "--workdir", str(folder), *settings],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return done.returncode


def line(words: tuple[str, ...], found: dict) -> str:
    """Return the table's row of a finished run."""
    cells = list(words)
    for target in found["ensemble"]:
        one, all_of_them = (found[kind][target][METRIC] for kind in KINDS)
        spread = "" if one["std"] is None else f" ± {one['std']:.4f}"
        cells += [f"{one['mean']:.4f}{spread}", f"{all_of_them['mean']:.4f}"]
    return f"| {' | '.join(cells)} |"


def table(workdir: Path) -> str:
    """Return the Markdown table of the finished runs."""
    rows = []
    for words in GRID:
        results = workdir / "-".join(words) / "results.json"
        if results.exists():
            rows.append((words, read_json(results)))
    if not rows:
        return "no run has finished\n"
    names = ["input", "start", "law"]
    for target in rows[0][1]["ensemble"]:
        names += [f"{target} {kind}" for kind in KINDS]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return "\n".join(lines + [line(*row) for row in rows]) + "\n"


def main() -> int:
    """Run the grid; print and write the table after each run."""
    arguments, overrides = parse()
    workdir = arguments.workdir
    workdir.mkdir(parents=True, exist_ok=True)
    failed = False
    for words, settings in arms(arguments):
        folder = workdir / "-".join(words)
        code = run(folder, arguments.config, settings + overrides)
        if code == EXIT_INTERRUPTED:
            return code
        if code:
            failed = True
            print(f"{folder}: exit code {code}, see {folder}.log", file=sys.stderr)
            continue
        print(line(words, read_json(folder / "results.json")), flush=True)
        atomic_write(workdir / "ablation.md", table(workdir))
    print(f"\n{table(workdir)}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
