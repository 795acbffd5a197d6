"""Points of a scaling law, from their file to results.json and the screen."""

import csv
import hashlib
from pathlib import Path
from typing import Any

from cloud_jax.studies.scaling import law as scaling

COLUMNS = ("parameters", "tokens", "loss")
_SHAPE = ("layers", "width")  # of the models, where the file says them
_ALSO = ("tokens_unique", *_SHAPE)


def analyse(
    path: Path, budgets: list[float], *, note: str = ""
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """The content of results.json, and the columns of the points.

    Args:
        path: of the points.
        budgets: FLOPs to spend; empty: those of the costliest point.
        note: what else a reader must know of the points.

    Raises:
        ValueError: points or budgets that cannot be used.
    """
    columns = read_points(path)
    try:
        fitted = scaling.fit(**{name: columns[name] for name in COLUMNS})
    except scaling.ScalingError as error:
        raise ValueError(f"{path}: {error}") from None
    spent = [
        scaling.FLOPS_A_TOKEN * n * d
        for n, d in zip(columns["parameters"], columns["tokens"], strict=True)
    ]
    note += _what_points_are(columns)
    optima = [scaling.optimum(fitted, budget) for budget in budgets or [max(spent)]]
    names = (*scaling.CONSTANTS, "a", "b")
    return {
        "kind": "scaling",
        **{name: float(getattr(fitted.law, name)) for name in (*names, "G")},
        "intervals": {name: fitted.interval(name) for name in names},
        "confidence": fitted.confidence,
        "bootstrap_samples": len(fitted.samples.E),
        "rms_log_error": fitted.error,
        "points": len(spent),
        "ranges": {name: [min(columns[name]), max(columns[name])] for name in COLUMNS}
        | {
            name: [min(columns[name]), max(columns[name])]
            for name in _SHAPE
            if name in columns
        }
        | {"flops": [min(spent), max(spent)]},
        "optima": optima,
        "warnings": list(fitted.warnings),
        "figures": [],
        "hashes": {"points": hashlib.sha256(path.read_bytes()).hexdigest()},
        "note": note,
    }, columns


def _what_points_are(columns: dict[str, list[float]]) -> str:
    unique = max(columns.get("tokens_unique", [0]))
    note = "N without embeddings, D tokens seen" + (
        f", at most {unique:,.0f} of them unique." if unique else "."
    )
    if "layers" in columns and "width" in columns:
        layers, width = (
            f"{min(columns[name]):.0f} to {max(columns[name]):.0f}" for name in _SHAPE
        )
        if len({*columns["layers"]}) == 1:
            layers = f"{columns['layers'][0]:.0f} in all"
            note += " What depth does is not in this law."
        note += f" Layers: {layers}; width: {width}."
    return note


def read_points(path: Path) -> dict[str, list[float]]:
    """The columns of a file of points that hold numbers, by name.

    Raises:
        ValueError: a column is missing, or holds something else than a number.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(
                f"{path}: there is no column {missing[0]!r}; expected "
                f"{', '.join(COLUMNS)}, found {', '.join(reader.fieldnames or ())}"
            )
        wanted = [n for n in (*COLUMNS, *_ALSO) if n in reader.fieldnames]
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


def format_summary(found: dict[str, Any]) -> str:
    """What a person reads."""
    lines = [
        f"L(N, D) = A/N^alpha + B/D^beta + E fitted to {found['points']} points, "
        f"r.m.s. error {found['rms_log_error']:.2%}; {found['confidence']:.0%} "
        "intervals\n"
    ]
    for name, (low, high) in found["intervals"].items():
        lines.append(f"{name:6}{found[name]:12.5g}   {low:.5g} to {high:.5g}")
    lines += ["", f"{'FLOPs':>10}{'best N':>12}{'best D':>12}{'loss':>9}"]
    for best in found["optima"]:
        low, high = best["loss_interval"]
        lines.append(
            f"{best['flops']:10.3g}{best['parameters']:12.4g}{best['tokens']:12.4g}"
            f"{best['loss']:9.4f}   {low:.4f} to {high:.4f}"
        )
    lines += [f"\nwarning: {warning}" for warning in found["warnings"]]
    return "\n".join([*lines, f"\n{found['note']}"])
