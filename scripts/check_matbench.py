"""Are our MatBench folds, ids and targets the official ones?

    python -m scripts.check_matbench VALIDATION.json [--targets DIR] [--data-dir data]

VALIDATION.json (also .gz) is `matbench_v0.1_validation.json` of the package matbench,
or {task: {fold: [test rows]}} with rows counted from 0. DIR holds `matbench_TASK.json`
(also .bz2, .gz) of matbench's repository, scripts/artifacts, with the columns `mbid`
and the target. Each task's file that is in the data folder is read and its targets
are compared with those.

Prints a line a task; ends with exit code 1 if anything differs.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from cloud_jax.datasets.matbench import TASKS, MatbenchSource
from cloud_jax.finetuning.rows import open_table
from cloud_jax.structures.compressed import open_text


def published_folds(entry: dict) -> list[str]:
    """Of each row the fold that tests it, as either file says it."""
    tested = {}
    for fold, rows in entry.items():
        rows = rows["test"] if isinstance(rows, dict) else rows
        for row in rows:  # an id ends with the number of the row, from 1
            place = row if isinstance(row, int) else int(row.rpartition("-")[2]) - 1
            tested[place] = fold
    return [tested[place] for place in range(len(tested))]


def compare(task: str, folds: dict, targets: Path | None, data_dir: Path) -> dict:
    """What agrees; None where there is nothing to compare with."""
    source = MatbenchSource.from_word(task, str(data_dir))
    found = {
        "folds": published_folds(folds[source.name]) == source.folds(),
        "ids": None,
        "targets": None,
    }
    paths = sorted(targets.glob(f"matbench_{task}.json*")) if targets else []
    if not paths:
        return found
    with open_text(paths[0]) as file:
        columns = json.load(file)
    found["ids"] = list(columns["mbid"].values()) == source.ids()
    word = f"matbench:{task}"
    if any(x.here for x in MatbenchSource.listings(str(data_dir)) if x.word == word):
        column = TASKS[task].column
        rows = [row[column] for _, row in open_table(word, data_dir).rows([column])]
        ours, theirs = np.array(rows), np.array(list(columns[column].values()))
        found["targets"] = bool(np.allclose(ours, theirs, rtol=1e-9, atol=1e-9))
    return found


def main() -> None:
    """Compare every task."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("validation", type=Path, metavar="VALIDATION.json")
    parser.add_argument("--targets", type=Path, metavar="DIR")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    with open_text(arguments.validation) as file:
        folds = json.load(file)
    folds = folds.get("splits", folds)
    same = True
    for task in TASKS:
        found = compare(task, folds, arguments.targets, arguments.data_dir)
        same &= False not in found.values()
        words = {True: "official", False: "DIFFER", None: "-"}
        print(f"{task:12}", *(f"{k} {words[v]:9}" for k, v in found.items()))
    sys.exit(not same)


if __name__ == "__main__":
    main()
