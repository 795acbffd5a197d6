"""Predict the benchmark, and measure errors, intervals and time."""

import time
import zlib
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.constants import gas_constant

from cloud_jax.evaluation.coverage import inside
from cloud_jax.files import file_sha256
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.inference.predictor import Predictor
from cloud_jax.models.seen import new_sentences
from cloud_jax.scope.pipeline import Options
from cloud_jax.structures.element_classes import CLASSES, element_class

LABELS_K = 300.0
SIZES = (0, 2, 4, 8, 16, np.inf)  # ends of the bins of atoms per cell


def read_benchmark(path: Path) -> pd.DataFrame:
    """Read the labelled crystals.

    Args:
        path: MatCalc's file (a JSON list), or lines of JSON; see the command's help.

    Returns:
        A row per crystal, indexed by id: `structure` (a dictionary), `n_atoms` of its
        cell and `true`, C_v in J/(mol K) per mol of cells.

    Raises:
        ValueError: the file is damaged, lacks a field or a label, or has an id twice.
        OSError: it cannot be read.
    """
    try:
        table = pd.read_json(
            path,
            lines=".jsonl" in path.name,
            precise_float=True,
            dtype=False,  # an id of digits stays a text
        )
        if "structure" not in table:
            cells = table[["lattice", "frac", "Z"]].itertuples(index=False)
            table["structure"] = [
                {"cell": lattice, "scaled_positions": fractional, "numbers": numbers}
                for lattice, fractional, numbers in cells
            ]
        sites = [s.get("sites", s.get("numbers")) for s in table["structure"]]
        found = pd.DataFrame(
            {
                "structure": table["structure"],
                "n_atoms": [len(own) for own in sites],
                "true": table["heat_capacity"].astype(float),
            }
        )
        ids = table["mp_id" if "mp_id" in table else "id"].astype(str)
    except (
        EOFError, KeyError, ValueError, TypeError, AttributeError, zlib.error
    ) as error:  # fmt: skip
        raise ValueError(
            f"{path}: cannot be read ({error!r}); expected crystals with mp_id, "
            "structure and heat_capacity as MatCalc publishes them, or lines of JSON "
            "with id, lattice, frac, Z and heat_capacity"
        ) from error
    for problem, wrong in (
        ("no heat_capacity above 0", ~(found["true"] > 0)),  # NaN among them
        ("the id of another crystal", ids.duplicated()),
    ):
        if wrong.any():
            raise ValueError(
                f"{path}: {wrong.sum()} of {len(ids)} crystals have {problem}, the "
                f"first is {ids[wrong].iloc[0]}: correct them or leave them out"
            )
    return found.set_index(ids.rename("id"))


def run(model: Predictor, path: Path) -> dict[str, Any]:
    """Measure a model with a law on the benchmark.

    Returns:
        Numbers of crystals (`n`, `rejected`), `seconds_per_crystal` from structures to
        intervals with compiling, and the errors of `measure`, each in total, by class
        of elements and by atoms per cell, for `all`, for those whose sentence the model
        has not learned a heat capacity of (`no_heat_capacity_learned`) and for those
        whose sentence it has learned nothing of (`not_learned`). The last two are
        missing where the model does not say what it has learned from.

    Raises:
        ValueError: the model gives no heat capacity at a temperature, or none of the
            crystals can be read; see also `read_benchmark`.
    """
    table = read_benchmark(path)
    start = time.perf_counter()
    rows = model.predict(
        table["structure"], temperature_k=LABELS_K, basis="atom", ids=[*table.index]
    )
    seconds = time.perf_counter() - start
    heat = rows[rows["property"] == "heat_capacity"].set_index("id")
    if heat.empty:
        raise ValueError(
            f"{path}: found no crystal that can be predicted among {len(table)}: "
            f"{rows.attrs['rejects'][:1]}"
        )
    table = table.join(heat[["value", "lower", "upper"]], how="inner")
    for name in ("value", "lower", "upper"):
        table[name] *= table["n_atoms"]
    _describe(table, model.options)
    new = new_sentences(model.model.description, [*table["sentence"]])
    return {
        "kind": "potentials",
        "benchmark": {"file": path.name, "sha256": file_sha256(path)},
        "model": str(model.model.directory),
        "n": len(table),
        "rejected": [reject["id"] for reject in rows.attrs["rejects"]],
        "seconds_per_crystal": seconds / len(table),
        "all": _by_group(table),
        **{name: _by_group(table[chosen]) for name, chosen in new.items()},
    }


def _describe(table: pd.DataFrame, options: Options) -> None:
    """Add the columns `sentence`, `class` of elements and `size` of the cell."""
    records = list(parse(object_items([*table["structure"]]), options, workers=1))
    table["sentence"] = [getattr(record, options.dialect) for record in records]
    classes = [
        element_class(word.rstrip("0123456789") for word in record.formula.split())
        for record in records
    ]
    table["class"] = pd.Categorical(classes, CLASSES)
    names = [f"{low + 1} to {high} atoms" for low, high in pairwise(SIZES)]
    names[-1] = f"more than {SIZES[-2]} atoms"
    table["size"] = pd.cut(table["n_atoms"], SIZES, labels=names)


def _by_group(table: pd.DataFrame) -> dict[str, Any]:
    """Return the errors of `measure` in `total`, by class and by size."""

    def by(column: str) -> dict[str, dict[str, float]]:
        groups = table.groupby(column, observed=True)
        return {name: measure(group) for name, group in groups}

    return {"total": measure(table), "by_class": by("class"), "by_size": by("size")}


def measure(table: pd.DataFrame) -> dict[str, float] | None:
    """Return the errors of predicted heat capacities, J/(mol K).

    Args:
        table: `true`, `value`, `lower` and `upper` per mol of cells, and `n_atoms`.

    Returns:
        The number `n`, the mean absolute error `mae` per mol of cells and
        `mae_per_atom`, the median relative error, the share of labels `inside` their
        intervals, and for scale the error of 3R per atom (`mae_dulong_petit`). None
        where the table is empty.
    """
    if table.empty:
        return None
    true, atoms = table["true"].to_numpy(), table["n_atoms"].to_numpy()
    error = np.abs(table["value"].to_numpy() - true)
    held = inside(table["lower"].to_numpy(), true, table["upper"].to_numpy())
    return {
        "n": len(table),
        "mae": float(error.mean()),
        "mae_per_atom": float((error / atoms).mean()),
        "median_relative_error": float(np.median(error / true)),
        "inside": float(held.mean()),
        "mae_dulong_petit": float(np.abs(3 * gas_constant * atoms - true).mean()),
    }
