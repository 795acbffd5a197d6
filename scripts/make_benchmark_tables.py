"""Make tables of labelled sentences where a benchmark's own file is not at hand.

    python -m scripts.make_benchmark_tables data tables

Reads the public files that docs/evidence.md names in data/ and writes a Parquet file
per task: id, canonical (sentence), n_atoms (of the primitive cell), formula, the
targets and fold. A configuration of the task takes it by

    --config.data.table=tables/TASK.parquet
    --config.data.structure_column= --config.data.scope_column=canonical

Prints which rows each has. reserved.parquet lists the rows that are tested, for the
choice of what an encoder learns. All 350,000 crystals take a quarter of an hour.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from cloud_jax.cores import usable_cores
from cloud_jax.inference.inputs import parse
from cloud_jax.scope.options import Options
from cloud_jax.scope.pipeline import Record, Reject
from cloud_jax.scope.space_groups import without_hand
from cloud_jax.structures.source import RawItem
from scripts import benchmark_rows as rows_of

# task: columns of its targets, and its rows
TABLES = {
    "phonons": (["last phdos peak"], rows_of.phonons),
    "jdft2d": (["exfoliation_en"], rows_of.jdft2d),
    "perovskites": (["e_form"], rows_of.perovskites),
    "mp_gap": (["gap pbe"], rows_of.mp_gap),
    "supercon": (["Tc"], rows_of.supercon),
    "defected": (["ef"], rows_of.defected),
    "heat_capacity": (
        ["cv_j_per_mol_cell_k", "u_j_per_mol_cell"],
        rows_of.heat_capacity,
    ),
    "discovery": (["e_form_per_atom"], rows_of.discovery),
    "mp_more": (["e_form_per_atom"], rows_of.mp_more),
}
# Tasks of MatBench without structures, whose crystals are looked for in all the others.
MATCHED = {
    "log_kvrh": ["log10(K_VRH)"],
    "log_gvrh": ["log10(G_VRH)"],
    "dielectric": ["n"],
    "mp_e_form": ["e_form"],
}
# What the keys of Materials Project's crystals begin with.
MATERIALS_PROJECT = ("mp", "phonons/", "densities/", "flla/", "slices", "3dsc")
MATERIALS_PROJECT += ("oc_bulks/", *rows_of.MATMINER)

FIT_STEPS, FIT_FLOOR = 30, 0.005  # residuals below the floor [eV/atom] weigh the same

COLUMNS = ("id", "canonical", "n_atoms", "formula")
Crystals = dict[str, Record | Reject]  # by key


def encode(rows: pd.DataFrame, crystals: Crystals) -> pd.DataFrame:
    """Return the rows that have a sentence, with canonical, n_atoms and formula.

    Args:
        rows: with key and structure.
        crystals: that are known; those of the rows are added.
    """
    new = rows[~rows.key.isin(crystals.keys())].drop_duplicates("key")
    items = [
        RawItem(key, structure, "auto" if isinstance(structure, str) else "arrays")
        for key, structure in zip(new.key, new.structure, strict=True)
    ]
    results = parse(items, Options(), workers=usable_cores())
    crystals.update(zip(new.key, results, strict=True))
    return describe(rows, [crystals[key] for key in rows.key])


def describe(rows: pd.DataFrame, found: list[Record | Reject | None]) -> pd.DataFrame:
    """Return the rows that have a record, with what it says."""
    says = [
        (record.canonical, record.n_atoms, record.formula)
        for record in found
        if isinstance(record, Record)
    ]
    rows = rows[[isinstance(record, Record) for record in found]].copy()
    rows["canonical"], rows["n_atoms"], rows["formula"] = zip(*says, strict=True)
    return rows


def match(rows: pd.DataFrame, crystals: Crystals) -> tuple[pd.DataFrame, str]:
    """Return the rows of a MatBench task whose crystal is known from elsewhere.

    It has the formula, space group and number of atoms of the row, and no other
    sentence is known with these. Crystals of Materials Project go before others.

    Args:
        rows: see `benchmark_rows.official`.
        crystals: by key.
    """
    known: tuple[dict, dict] = defaultdict(dict), defaultdict(dict)
    for key, record in crystals.items():
        if isinstance(record, Record):
            place = record.formula, without_hand(record.space_group), record.n_atoms
            is_other = not key.startswith(MATERIALS_PROJECT)
            known[is_other][place][record.canonical] = record

    found, n_ambiguous = [], 0
    for composition, group in zip(rows.composition, rows.spg_num, strict=True):
        counts = Composition(composition).get_el_amt_dict()
        divisor = np.gcd.reduce([int(count) for count in counts.values()])
        formula = " ".join(f"{e}{int(counts[e] / divisor)}" for e in sorted(counts))
        place = formula, without_hand(int(group)), int(sum(counts.values()))
        records = known[False].get(place) or known[True].get(place) or {}
        n_ambiguous += len(records) > 1
        found.append(next(iter(records.values())) if len(records) == 1 else None)
    note = (
        f"of {len(rows):,} official rows (by formula, group and atoms; {n_ambiguous:,} "
        "more are known with several sentences), official folds"
    )
    return describe(rows, found), note


def more_energies(discovery: pd.DataFrame, matched: pd.DataFrame) -> pd.DataFrame:
    """Return `discovery` with sentences and energies of MatBench's mp_e_form added.

    MatBench's energies are of 2018, with other corrections: one number per element is
    fitted (L1) to the sentences that both have. Of several labels the median is taken.

    Args:
        discovery: table with e_form_per_atom.
        matched: table of mp_e_form.
    """
    train = discovery[discovery.fold == "train"]
    labels = train.groupby("canonical").e_form_per_atom.median()
    legacy = matched.groupby("canonical").agg(
        {"id": "first", "n_atoms": "first", "formula": "first", "e_form": "median"}
    )
    shares = pd.DataFrame(map(_shares, legacy.formula), index=legacy.index).fillna(0)
    both = legacy.index.intersection(labels.index)
    x, y = shares.loc[both].to_numpy(), (labels[both] - legacy.e_form[both]).to_numpy()
    weights, shift = np.ones(len(y)), np.zeros(x.shape[1])
    for _ in range(FIT_STEPS):  # L1 by reweighted least squares
        xt = (x * weights[:, None]).T
        shift = np.linalg.solve(xt @ x + np.eye(len(shift)) / 1e3, xt @ y)
        weights = 1 / np.maximum(np.abs(y - x @ shift), FIT_FLOOR)
    legacy["e_form_per_atom"] = legacy.e_form + shares.to_numpy() @ shift
    more = legacy.drop(both).reset_index().assign(fold="train")
    return pd.concat([discovery, more[discovery.columns]])


def _shares(formula: str) -> dict[str, float]:
    """Return the share of each element in a compound; none in an element."""
    amounts = Composition(formula).fractional_composition.get_el_amt_dict()
    return amounts if len(amounts) > 1 else {}


def main() -> None:
    """Make all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the public files")
    parser.add_argument("output", type=Path, help="folder for the tables")
    arguments = parser.parse_args()
    data, output = arguments.data, arguments.output
    output.mkdir(parents=True, exist_ok=True)
    crystals: Crystals = {}
    tables = {}
    for task, (targets, read) in TABLES.items():
        rows, note = read(data)
        tables[task] = encode(rows, crystals)[[*COLUMNS, *targets, "fold"]]
        print(f"{task}: {len(tables[task]):,} rows, {note}", flush=True)
    encode(rows_of.more_crystals(data), crystals)
    own = {k: v for k, v in crystals.items() if k.startswith(MATERIALS_PROJECT)}
    for task, targets in MATCHED.items():
        # No crystal of WBM, which discovery tests, says what mp_more learns from.
        pool = own if task == "mp_e_form" else crystals
        rows, note = match(rows_of.official(data, task), pool)
        tables[task] = rows[[*COLUMNS, *targets, "fold"]]
        print(f"{task}: {len(rows):,} rows, {note}", flush=True)
    more = more_energies(tables["mp_more"], tables["mp_e_form"])
    print(f"mp_more: {len(more) - len(tables['mp_more']):,} more of mp_e_form")
    tables["mp_more"] = more

    for task, table in tables.items():
        table.to_parquet(output / f"{task}.parquet", index=False)
    tested = [table.assign(task=task) for task, table in tables.items()]
    reserved = pd.concat(tested).query("fold != 'train'")
    reserved = reserved[["task", "id", "canonical", "formula", "fold"]]
    reserved.to_parquet(output / "reserved.parquet", index=False)


if __name__ == "__main__":
    main()
