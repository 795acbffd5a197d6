"""Rows of benchmarks from public files, where a benchmark's own file is not at hand.

Each function takes the folder of the files that docs/evidence.md names and returns rows
with id, key (by which the crystal is known), structure, targets and fold, and a note on
which rows these are. A structure is text (CIF, POSCAR, JSON), or lattice [angstrom],
fractional coordinates and atomic numbers.
"""

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Composition

from cloud_jax.datasets.matbench import MatbenchSource

MP_20 = (
    "wyckofftransformer_mp_20_biternary/val.csv.gz",
    "wyckofftransformer_mp_20_biternary/test.csv.gz",
    "wyckofftransformer_mp_20_pilot/train.csv.gz",
    "wyckofftransformer_mp_20_pilot/val.csv.gz",
    "wyckofftransformer_mp_20_pilot/test.csv.gz",
)
MPTS_52 = (
    "wyckofftransformer_mpts_52/val.csv.gz",
    "wyckofftransformer_mpts_52/test.csv.gz",
)
JSON_LINES = (
    "more_crystals/slices_mini",
    "more_crystals/3dsc_mp_raw",
    "more_crystals/oc_bulks",
    "more_crystals/flla",
    "more_crystals/mp_binary_elastic",
    "more_crystals/alex_pressure0",
    "more_crystals/hyllios_supercon",
    "more_crystals/slices_shard1",
    "aflow_agl/aflow_agl",
)
MATMINER = ("elastic_tensor", "dielectric_constant", "piezoelectric_tensor")
JDFT2D_ROUNDING = 0.02  # meV/atom: labels have two decimals


def official(data: Path, task: str) -> pd.DataFrame:
    """Return id, target, composition, spg_num and fold of the rows of a task."""
    path = data / "matbench_v0.1_targets" / f"matbench_{task}.json.bz2"
    rows = pd.DataFrame(json.loads(bz2.decompress(path.read_bytes())))
    folds = MatbenchSource.from_word(task, str(data)).folds()
    return rows.rename(columns={"mbid": "id"}).assign(fold=folds)


def _json(path: Path) -> Any:
    """Return the content of a compressed JSON file."""
    return json.loads(gzip.decompress(path.read_bytes()))


def phonons(data: Path) -> tuple[pd.DataFrame, str]:
    """Return the complete task: frequencies of the last phonon peak."""
    path = data / "matbench_phonons_full" / "matbench_phonons.json.gz"
    structures = [json.dumps(structure) for structure, _ in _json(path)["data"]]
    rows = official(data, "phonons").assign(structure=structures)
    return rows.assign(key="phonons/" + rows.id), "complete, official folds"


def jdft2d(data: Path) -> tuple[pd.DataFrame, str]:
    """Return exfoliation energies: JARVIS structures found by formula and value."""
    folder = data / "jarvis_2d_exfoliation"
    structures = _json(folder / "data.pymatgen.json.gz")
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
    note = f"of {len(rows)} official rows (by formula and value), official folds"
    rows = rows[rows.structure.notna()]
    return rows.assign(key="jdft2d/" + rows.id), note


def perovskites(data: Path) -> tuple[pd.DataFrame, str]:
    """Return formation energies of labelled crystals whose official row is known."""
    parts = ("dev_train", "val", "test")
    files = [data / "cdvae_labels" / f"perov_5_{part}.csv.gz" for part in parts]
    labelled = pd.concat(map(pd.read_csv, files)).drop_duplicates("material_id")
    joined = pd.read_csv(
        data / "jarvis_leaderboard_atomgen" / "perov5_to_matbench_labels_partial.csv.gz"
    )
    rows = labelled.merge(joined, on="material_id")
    rows = rows[np.isclose(rows.heat_all, rows.e_form)].drop_duplicates("mbid")
    rows = rows.drop(columns="e_form")
    rows = rows.rename(columns={"mbid": "id", "cif": "structure"})
    whole = official(data, "perovskites")
    rows = rows.merge(whole[["id", "e_form", "fold"]], on="id").sort_values("id")
    note = f"of {len(whole):,} official rows (labelled, known by id), official folds"
    return rows.assign(key="perovskites/" + rows.id), note


def materials_project(data: Path, files: tuple[str, ...], column: str) -> pd.DataFrame:
    """Return structures and one label of MP-20 and MPTS-52, tested rows by file."""
    parts = []
    for name in files:
        part = pd.read_csv(data / name, usecols=["material_id", "cif", column])
        folder = name.partition("/")[0].removeprefix("wyckofftransformer_")
        part["key"] = folder.replace("_", "-") + "/" + part.material_id
        parts.append(part.assign(fold="test" if "test" in name else "train"))
    rows = pd.concat(parts).dropna(subset=column)
    # Where a crystal is in two files, the test keeps it.
    rows = rows.sort_values("fold", kind="stable").drop_duplicates("material_id")
    return rows.rename(columns={"material_id": "id", "cif": "structure"})


def mp_gap(data: Path) -> tuple[pd.DataFrame, str]:
    """Return band gaps of MP-20's subsets, tested on their own test files."""
    rows = materials_project(data, MP_20, "band_gap")
    rows = rows.rename(columns={"band_gap": "gap pbe"})
    note = "stand-in: MP-20 crystals and their own test rows, not the official ones"
    return rows, note


def discovery(data: Path) -> tuple[pd.DataFrame, str]:
    """Return formation energies: Materials Project's to learn from, WBM's to test."""
    energy = "formation_energy_per_atom"
    rows = materials_project(data, MP_20 + MPTS_52, energy)
    rows = rows.assign(fold="train").rename(columns={energy: "e_form_per_atom"})
    path = data / "wbm_matbench_discovery" / "wbm_initial_structures.npz"
    with np.load(path) as file:
        wbm = dict(file)
    ends = np.cumsum(wbm["n_sites"], dtype=int)[:-1]
    sites = np.split(wbm["frac"], ends), np.split(wbm["Z"], ends)
    cells = zip(wbm["lattice"], *sites, strict=True)
    tested = pd.DataFrame({"id": wbm["material_id"], "structure": list(cells)})
    tested["e_form_per_atom"] = wbm["e_form_per_atom_mp2020_corrected"]
    tested = tested.assign(fold="test", key="wbm/" + tested.id)
    note = f"trained on {len(rows):,} of 154,719 official crystals, tested on WBM"
    return pd.concat([rows, tested]), note


def mp_more(data: Path) -> tuple[pd.DataFrame, str]:
    """Return `discovery` with the labelled MP crystals of one more collection."""
    rows, _ = discovery(data)
    more = _lines(data, "more_crystals/slices_mini")
    more = more.rename(columns={"formation_energy_per_atom": "e_form_per_atom"})
    more = more[~more.id.isin(rows.id)].assign(fold="train").drop_duplicates("id")
    n = (rows.fold == "train").sum()
    note = f"trained on the {n:,} crystals of discovery and {len(more):,} more"
    return pd.concat([rows, more]), note


def _lines(data: Path, name: str) -> pd.DataFrame:
    """Return the crystals of a file of JSON lines."""
    with gzip.open(data / f"{name}.jsonl.gz", "rt") as file:
        rows = pd.DataFrame(map(json.loads, file))
    cells = zip(rows.lattice, rows.frac, rows.Z, strict=True)
    rows["key"] = name.partition("/")[2] + "/" + rows.id
    return rows.assign(structure=list(cells))


def supercon(data: Path) -> tuple[pd.DataFrame, str]:
    """Return critical temperatures of JARVIS superconductors."""
    parts = ("train", "val", "test")
    files = [data / "cdvae_labels" / f"supercon_{part}.csv.gz" for part in parts]
    rows = pd.concat(map(pd.read_csv, files))
    rows = rows.rename(columns={"material_id": "id", "cif": "structure"})
    # The file has the negative of the temperature, as something to minimise.
    rows = rows.assign(Tc=-rows["prop"], key="supercon/" + rows.id)
    return with_random_folds(rows), "stand-in of the same origin (JARVIS), random folds"


def defected(data: Path) -> tuple[pd.DataFrame, str]:
    """Return vacancy formation energies of JARVIS, the defective cell as structure."""
    path = data / "jarvis_vacancy" / "defect_db_dft.json.gz"
    cells = _json(path)
    rows = pd.DataFrame(
        {
            "id": "{jid}_{symbol}_{wycoff}_{number}".format(**cell, number=number),
            "structure": json.dumps(cell["defective_atoms"]),
            "ef": cell["EF"],
        }
        for number, cell in enumerate(cells)
    ).dropna()
    rows["key"] = "defected/" + rows.id
    return with_random_folds(rows), "stand-in: vacancies of JARVIS, random folds"


def with_random_folds(rows: pd.DataFrame, n: int = 5) -> pd.DataFrame:
    """Add a column with the fold that tests a row, drawn with a seed."""
    order = np.random.default_rng(0).permutation(len(rows))
    return rows.assign(fold=[f"fold_{i}" for i in order % n])


def heat_capacity(data: Path) -> tuple[pd.DataFrame, str]:
    """Return C_v and U at 300 K of the CLOUD release's split."""
    rows = pd.read_csv(data / "thermal_cv_u" / "cv_u.csv")
    structures = pd.read_csv(data / "phonon_dos_mit" / "data.csv.gz")
    rows = rows.merge(structures, on="mp_id").rename(columns={"mp_id": "id"})
    fold = np.where(rows.split_cloud == "test", "test", "train")
    rows = rows.assign(fold=fold, key="densities/" + rows.id)
    return rows, "complete, official split"


def more_crystals(data: Path) -> pd.DataFrame:
    """Return crystals without a task, as key and structure."""
    parts = [_lines(data, name) for name in JSON_LINES]
    rows = pd.read_csv(data / "chemeleon_mp40" / "mp40_test_union.csv.gz")
    rows["key"] = "mp-40/" + rows.material_id
    parts.append(rows.rename(columns={"cif": "structure"}))
    for name in MATMINER:
        path = data / "matminer_0.1.9" / f"{name}.csv.gz"
        rows = pd.read_csv(path, comment="#")
        rows["key"] = f"{name}/" + rows.material_id
        parts.append(
            rows.drop(columns="structure").rename(columns={"poscar": "structure"})
        )
    return pd.concat(part[["key", "structure"]] for part in parts)
