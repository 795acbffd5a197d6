"""Make the table that configs/properties.py learns from.

    python -m scripts.make_property_table datasets/corpus data data/properties.parquet

One row per canonical sentence, one column per property, empty where a property is not
known. Crystals are those of the files below (docs/evidence.md says where they are
published) and of WBM's unrelaxed cells in the corpus, of which the volume per atom is
taken, nothing else. MatBench's formation energies and band gaps come with formula and
space group only: `[MASK]` stands for their Wyckoff symbols.

A formula that a benchmark tests has no label here but the volume per atom, in whatever
file it is: MatBench's phonons, jdft2d, dielectric and perovskites, the heat capacities,
superconductors and vacancies, and the test rows of the band gaps. MatBench's log_kvrh
and log_gvrh are not among them: start those two from an encoder that has not learned K
and G.
"""

import argparse
import ast
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Element, Structure

from cloud_jax.cores import usable_cores
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.scope.dialects import sentence
from cloud_jax.scope.options import Options
from cloud_jax.scope.record import Scope
from scripts.benchmark_rows import official

VOLUMES = (3.0, 200.0)  # angstrom^3 per atom; beyond are errors and sparse frameworks
LONGEST = 64  # words; a batch then has short rows
WBM_ROWS = 80_000  # volumes of so many are enough
TEST_SHARE = 0.01  # of the formulas

# Files with structures: {column or key of the file: column of the table}.
MP = {
    "formation_energy_per_atom": "e_form",
    "band_gap": "band_gap",
    "energy_above_hull": "e_above_hull",
}
CSV = {
    "wyckofftransformer_mpts_52": MP,
    "wyckofftransformer_mp_20_biternary": MP,
    "wyckofftransformer_mp_20_pilot": MP,
    "chemeleon_mp40": MP,
}
JSON_LINES = {
    "more_crystals/slices_mini": MP,
    "more_crystals/slices_shard1": {},
    "more_crystals/3dsc_mp_raw": {},
    "more_crystals/oc_bulks": {},
    "more_crystals/flla": {},  # its energies have other corrections
    "more_crystals/alex_pressure0": {
        "e_form": "e_form_alexandria",
        "band_gap_ind": "band_gap",
        "e_above_hull": "e_above_hull",
    },
    "more_crystals/hyllios_supercon": {
        "la": "coupling",
        "wlog": "log_omega_log",
    },
    "more_crystals/mp_binary_elastic": {
        "bulk_modulus_vrh": "log_bulk_modulus",
        "shear_modulus_vrh": "log_shear_modulus",
    },
    "aflow_agl/aflow_agl": {
        "bulk_modulus": "log_bulk_modulus",
        "shear_modulus": "log_shear_modulus",
        "debye_temperature": "log_debye_temperature",
    },
}
# MatBench's targets with formula and space group.
FORMULAS = {
    "mp_e_form": ("e_form", "e_form_matbench"),
    "mp_gap": ("gap pbe", "band_gap"),
}
COLUMNS = (
    "log_volume_per_atom",
    "e_form",
    "e_form_matbench",
    "e_form_alexandria",
    "band_gap",
    "e_above_hull",
    "coupling",
    "log_omega_log",
    "log_bulk_modulus",
    "log_shear_modulus",
    "log_debye_temperature",
)


def reserved_formulas(data: Path) -> set[str]:
    """Return the reduced formulas that benchmarks test."""
    formulas: set[str] = set()
    for task in ("phonons", "jdft2d", "dielectric", "perovskites"):
        formulas |= set(official(data, task).composition.map(reduced))
    phonons = pd.read_csv(data / "phonon_dos_mit/data.csv.gz").structure
    formulas |= {of_numbers(ast.literal_eval(text)["numbers"]) for text in phonons}
    for path in sorted((data / "cdvae_labels").glob("supercon_*.csv.gz")):
        formulas |= {
            Structure.from_str(cif, "cif").composition.reduced_formula
            for cif in pd.read_csv(path).cif
        }
    with gzip.open(data / "jarvis_vacancy/defect_db_dft.json.gz", "rt") as file:
        formulas |= {
            reduced("".join(row["bulk_atoms"]["elements"])) for row in json.load(file)
        }
    for path in sorted(data.glob("wyckofftransformer_mp_20_*/test.csv.gz")):
        formulas |= set(pd.read_csv(path).pretty_formula.map(reduced))
    return formulas


def reduced(formula: str) -> str:
    """Return a formula as pymatgen reduces it."""
    return Composition(formula).reduced_formula


def of_numbers(numbers: list[int]) -> str:
    """Return the reduced formula of the atomic numbers of a cell."""
    return reduced("".join(Element.from_Z(number).symbol for number in numbers))


def structures(data: Path) -> Iterator[tuple[Any, dict[str, float]]]:
    """Yield structures, as pymatgen's or as CIF text, with their labels."""
    for folder, labels in CSV.items():
        for path in sorted((data / folder).glob("*.csv.gz")):
            for row in pd.read_csv(path).to_dict("records"):
                yield row["cif"], _labels(row, labels)
    for name, labels in JSON_LINES.items():
        with gzip.open(data / f"{name}.jsonl.gz", "rt") as file:
            for line in file:
                row = json.loads(line)
                structure = Structure(row["lattice"], row["Z"], row["frac"])
                yield structure, _labels(row, labels)


def _labels(row: dict[str, Any], names: dict[str, str]) -> dict[str, float]:
    """Return a row's labels by column of the table; logarithms where it has them."""
    found = {}
    for name, column in names.items():
        value = float(row.get(name) if row.get(name) is not None else np.nan)
        if column.startswith("log_"):
            value = np.log(value) if value > 1 else np.nan  # GPa or K: 0 is a failure
        found[column] = value
    return {column: value for column, value in found.items() if np.isfinite(value)}


def structure_rows(data: Path) -> pd.DataFrame:
    """Return sentences, volumes and labels of the files with structures."""
    found = list(structures(data))
    records = parse(
        object_items(
            [structure for structure, _ in found], list(map(str, range(len(found))))
        ),
        Options(dialect="canonical"),
        workers=usable_cores(),
    )
    return pd.DataFrame(
        {"canonical": record.canonical, "volume_per_atom": record.volume_per_atom}
        | labels
        for record, (_, labels) in zip(records, found, strict=True)
        if getattr(record, "canonical", None)
    )


def formula_rows(data: Path) -> pd.DataFrame:
    """Return sentences without orbits and labels of MatBench's formulas."""
    tables = []
    for task, (column, name) in FORMULAS.items():
        table = official(data, task)
        sentences = [
            without_orbits(formula, number)
            for formula, number in zip(table.composition, table.spg_num, strict=True)
        ]
        tables.append(pd.DataFrame({"canonical": sentences, name: table[column]}))
    return pd.concat(tables)


def without_orbits(formula: str, space_group: int) -> str:
    """Return the canonical sentence of a formula and a space group."""
    composition = Composition(formula).reduced_composition.get_el_amt_dict()
    counts = tuple((element, int(n)) for element, n in composition.items())
    return sentence(
        Scope(int(space_group), (), counts, 0, 0.0, 0.0, 0.0, ""), "canonical"
    )


def corpus_rows(corpus: Path) -> pd.DataFrame:
    """Return sentences and volumes of some of the corpus's cells of WBM."""
    table = pd.read_parquet(
        corpus / "records.parquet", columns=["id", "canonical", "volume_per_atom"]
    )
    table = table[table.id.str.startswith("wbm/")].drop(columns="id")
    return table.sample(min(WBM_ROWS, len(table)), random_state=0)


def formula_of(text: str) -> str:
    """Return the reduced formula of a canonical sentence."""
    return reduced("".join(text.rpartition("|")[2].split()))


def main() -> None:
    """Write the table and say how many labels each column has."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", type=Path, help="folder of `cloud-jax preprocess`")
    parser.add_argument("data", type=Path, help="folder of the public files")
    parser.add_argument("output", type=Path, help="Parquet file to write")
    arguments = parser.parse_args()

    table = pd.concat(
        [
            structure_rows(arguments.data),
            formula_rows(arguments.data),
            corpus_rows(arguments.corpus),
        ]
    )
    low, high = VOLUMES
    volume = table.pop("volume_per_atom")
    table["log_volume_per_atom"] = np.log(
        volume.where((volume > low) & (volume < high))
    )
    # Several crystals share a sentence: the median is what L1 makes of them.
    table = table.groupby("canonical", sort=True).median().reset_index()
    table = table[table.canonical.str.split().str.len() <= LONGEST - 2]

    formulas = table.canonical.map(formula_of)
    reserved = formulas.isin(reserved_formulas(arguments.data))
    table.loc[reserved, list(COLUMNS[1:])] = np.nan
    table = table[table[list(COLUMNS)].notna().any(axis=1)]
    formulas = formulas[table.index]
    tested = set(formulas.drop_duplicates().sample(frac=TEST_SHARE, random_state=0))
    table["split"] = np.where(formulas.isin(tested), "test", "train")
    table = table.sample(frac=1, random_state=1).reset_index(drop=True)
    table.insert(0, "id", [f"crystal-{i}" for i in table.index])
    table[["id", "canonical", *COLUMNS, "split"]].to_parquet(arguments.output)
    print(f"{arguments.output}: {len(table):,} sentences; labels per column:")
    print(table.groupby("split")[list(COLUMNS)].count().T.to_string())


if __name__ == "__main__":
    main()
