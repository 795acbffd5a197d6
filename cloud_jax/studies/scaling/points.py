"""points.csv of a scaling law: N, D and the loss of each model."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cloud_jax.files import atomic_write

COLUMNS = ("parameters", "tokens", "loss")
SHAPE = ("layers", "width")  # optional columns, of the models
_OPTIONAL = ("tokens_unique", *SHAPE)


def read_points(path: Path) -> dict[str, list[float]]:
    """Read the numeric columns of a file of points, by name.

    Raises:
        ValueError: a column is missing, or holds something other than a number.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path}: there is no column {missing[0]!r}; expected "
                f"{', '.join(COLUMNS)}, found {', '.join(reader.fieldnames or ())}"
            )
        wanted = [n for n in (*COLUMNS, *_OPTIONAL) if n in reader.fieldnames]
        columns = {name: [] for name in wanted}
        for row in reader:
            for name in wanted:
                try:
                    columns[name].append(float(row[name]))
                except (TypeError, ValueError):
                    raise ValueError(
                        f"{path}, line {reader.line_num}: {name} is {row[name]!r}, "
                        "expected a number; leave out runs that diverged"
                    ) from None
    return columns


def earlier_points(path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows of an earlier run's points.csv by cell; none without the file."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {row.get("cell"): row for row in csv.DictReader(file)}


def write_points(path: Path, points: Sequence[dict[str, Any]]) -> None:
    """Write points.csv."""
    columns = dict.fromkeys(name for point in points for name in point)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(points)
    atomic_write(path, text.getvalue())


def describe(columns: dict[str, list[float]]) -> str:
    """Return sentences on what N and D count, and on the shapes of the models."""
    unique = max(columns.get("tokens_unique", [0]))
    note = "N without embeddings, D tokens seen" + (
        f", at most {unique:,.0f} of them unique." if unique else "."
    )
    if {*SHAPE} <= columns.keys():
        layers, width = (
            f"{min(columns[name]):.0f} to {max(columns[name]):.0f}" for name in SHAPE
        )
        if len({*columns["layers"]}) == 1:
            layers = f"{columns['layers'][0]:.0f} in all"
            note += " The law does not cover depth."
        note += f" Layers: {layers}; width: {width}."
    return note
