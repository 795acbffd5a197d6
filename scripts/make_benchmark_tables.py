"""Tables of labelled crystals where a benchmark's own file is not at hand.

    python -m scripts.make_benchmark_tables data tables

Reads public files that lie in data/ (docs/evidence.md says which and from where) and
writes one CSV a task with the columns of the benchmark, `id`, `structure` (or `scope`),
the target and `fold`, so that its configuration takes it by `--config.data.table`.
Printed is what a reader of the results must know of each.
"""

import argparse
import bz2
import gzip
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from cloud_jax.datasets.matbench import MatbenchSource

MP_FILES = (
    "wyckofftransformer_mp_20_biternary/val.csv.gz",
    "wyckofftransformer_mp_20_biternary/test.csv.gz",
    "wyckofftransformer_mp_20_pilot/train.csv.gz",
    "wyckofftransformer_mp_20_pilot/val.csv.gz",
    "wyckofftransformer_mp_20_pilot/test.csv.gz",
    "wyckofftransformer_mpts_52/val.csv.gz",
    "wyckofftransformer_mpts_52/test.csv.gz",
)


JDFT2D_ROUNDING = 0.02  # meV/atom: labels have two decimals


def official(data: Path, task: str) -> pd.DataFrame:
    """Id, target, composition and fold of each official row of a MatBench task."""
    path = data / "matbench_v0.1_targets" / f"matbench_{task}.json.bz2"
    rows = pd.DataFrame(json.loads(bz2.decompress(path.read_bytes())))
    folds = MatbenchSource.from_word(task, str(data)).folds()
    return rows.rename(columns={"mbid": "id"}).assign(fold=folds)


def jdft2d(data: Path) -> tuple[pd.DataFrame, str]:
    """Exfoliation energies: JARVIS structures found by formula and value."""
    folder = data / "jarvis_2d_exfoliation"
    with gzip.open(folder / "data.pymatgen.json.gz") as file:
        structures = json.load(file)
    labels = pd.read_csv(folder / "data.csv").label
    known: dict[str, list[tuple[float, str]]] = {}
    for structure, label in zip(structures, labels, strict=True):
        species = [site["species"][0]["element"] for site in structure["sites"]]
        formula = Composition("".join(species)).reduced_formula
        known.setdefault(formula, []).append((label, json.dumps(structure)))

    def find(composition: str, value: float) -> str | None:
        candidates = known.get(Composition(composition).reduced_formula, [])
        near = [(abs(label - value), text) for label, text in candidates]
        off, text = min(near, default=(np.inf, None))
        return text if off < JDFT2D_ROUNDING else None

    rows = official(data, "jdft2d")
    rows["structure"] = list(map(find, rows.composition, rows.exfoliation_en))
    n = len(rows)
    rows = rows[rows.structure.notna()]
    return (
        rows[["id", "structure", "exfoliation_en", "fold"]],
        f"{len(rows)} of {n} official rows (JARVIS, joined by formula and value), "
        "official folds",
    )


def perovskites(data: Path) -> tuple[pd.DataFrame, str]:
    """Formation energies: the labelled crystals whose official row is known."""
    parts = [
        pd.read_csv(data / "cdvae_labels" / f"perov_5_{part}.csv.gz")
        for part in ("dev_train", "val", "test")
    ]
    labelled = pd.concat(parts).drop_duplicates("material_id")
    place = data / "jarvis_leaderboard_atomgen"
    joined = pd.read_csv(place / "perov5_to_matbench_labels_partial.csv.gz")
    rows = labelled.merge(joined, on="material_id")
    rows = rows[np.isclose(rows.heat_all, rows.e_form)].drop_duplicates("mbid")
    rows = rows.drop(columns="e_form").rename(columns={"mbid": "id"})
    whole = official(data, "perovskites")
    rows = rows.merge(whole[["id", "e_form", "fold"]], on="id")
    rows = rows.rename(columns={"cif": "structure"}).sort_values("id")
    return (
        rows[["id", "structure", "e_form", "fold"]],
        f"{len(rows):,} of {len(whole):,} official rows (the labelled ones that are "
        "known by id), official folds",
    )


def dielectric(data: Path) -> tuple[pd.DataFrame, str]:
    """Refractive index: the reference's own strings, no structures."""
    file = data / "cloud_joins" / "cloud_dielectric_scope_with_mbid.csv.gz"
    rows = pd.read_csv(file)
    names = pd.Series([f"row-{i}" for i in range(len(rows))])
    again = rows.mbid.isna() | rows.mbid.duplicated(keep=False)
    rows["id"] = np.where(again, names, rows.mbid)
    rows["fold"] = np.where(rows.split == "test", "test", "train")
    return (
        rows[["id", "scope", "n", "fold"]],
        f"all {len(rows):,} rows as the reference's paper-dialect strings; official "
        "fold 0 only",
    )


def band_gap(data: Path) -> tuple[pd.DataFrame, str]:
    """Band gaps of MP-20 subsets, tested on their own test files."""
    rows = materials_project(data, "band_gap", MP_FILES[:5])
    rows = rows.rename(columns={"band_gap": "gap pbe"})
    test = (rows.fold == "test").sum()
    return (
        rows,
        f"stand-in: {len(rows):,} of MP-20's crystals, {test:,} of them tested; not "
        "the 106,113 official rows nor their folds",
    )


def materials_project(data: Path, column: str, files: Iterable[str]) -> pd.DataFrame:
    """Structures and one label of Materials Project files, tested rows by file."""
    parts = []
    for name in files:
        part = pd.read_csv(data / name, usecols=["material_id", "cif", column])
        parts.append(part.assign(fold="test" if "test" in name else "train"))
    rows = pd.concat(parts).dropna(subset=column)
    # Where a crystal is in two files, the test keeps it.
    rows = rows.sort_values("fold", kind="stable").drop_duplicates("material_id")
    return rows.rename(columns={"material_id": "id", "cif": "structure"})


def discovery(data: Path) -> tuple[pd.DataFrame, str]:
    """Formation energies: Materials Project's to learn from, all of WBM to test.

    Without structures: they come from the data set of configs/discovery.toml by id.
    """
    rows = materials_project(data, "formation_energy_per_atom", MP_FILES)
    rows = rows.rename(columns={"formation_energy_per_atom": "e_form_per_atom"})
    n = len(rows)
    wbm = np.load(data / "wbm_matbench_discovery" / "wbm_initial_structures.npz")
    tested = pd.DataFrame(
        {
            "id": wbm["material_id"],
            "e_form_per_atom": wbm["e_form_per_atom_mp2020_corrected"],
            "fold": "test",
        }
    )
    rows = pd.concat([rows.assign(fold="train"), tested])
    return (
        rows[["id", "e_form_per_atom", "fold"]],
        f"trained on {n:,} of the 154,719 official crystals, tested on all "
        f"{len(tested):,} of WBM",
    )


def supercon(data: Path) -> tuple[pd.DataFrame, str]:
    """Critical temperatures of JARVIS superconductors."""
    parts = [
        pd.read_csv(data / "cdvae_labels" / f"supercon_{part}.csv.gz")
        for part in ("train", "val", "test")
    ]
    rows = pd.concat(parts)
    # The file has the negative of the temperature, as something to minimise.
    rows = rows.assign(Tc=-rows["prop"], id=rows.material_id, structure=rows.cif)
    return (
        with_random_folds(rows[["id", "structure", "Tc"]]),
        f"stand-in: {len(rows):,} of the 1,058 crystals of the same origin (JARVIS); "
        "random folds",
    )


def defected(data: Path) -> tuple[pd.DataFrame, str]:
    """Vacancy formation energies of JARVIS, with the defective cell as structure."""
    with gzip.open(data / "jarvis_vacancy" / "defect_db_dft.json.gz") as file:
        cells = json.load(file)
    rows = pd.DataFrame(
        {
            "id": "{jid}_{symbol}_{wycoff}_{number}".format(**cell, number=number),
            "structure": json.dumps(cell["defective_atoms"]),
            "ef": cell["EF"],
        }
        for number, cell in enumerate(cells)
    ).dropna()
    return (
        with_random_folds(rows),
        f"stand-in: {len(rows)} vacancies of JARVIS, of which the benchmark has 530; "
        "random folds, vacancies of one crystal on both sides",
    )


def with_random_folds(rows: pd.DataFrame, n: int = 5) -> pd.DataFrame:
    """Add a column with the fold that tests a row, drawn with a seed."""
    order = np.random.default_rng(0).permutation(len(rows))
    return rows.assign(fold=[f"fold_{i}" for i in order % n])


TABLES = {
    "matbench_jdft2d": jdft2d,
    "matbench_perovskites": perovskites,
    "matbench_dielectric": dielectric,
    "matbench_mp_gap": band_gap,
    "discovery": discovery,
    "unconvbench_supercon": supercon,
    "unconvbench_defected": defected,
}


def main() -> None:
    """Make the tables that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the public files")
    parser.add_argument("output", type=Path, help="folder for the tables")
    parser.add_argument("--only", nargs="*", choices=TABLES, default=list(TABLES))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        rows, note = TABLES[name](arguments.data)
        rows.to_csv(arguments.output / f"{name}.csv.gz", index=False)
        print(f"{name}: {note}")


if __name__ == "__main__":
    main()
