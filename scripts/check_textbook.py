"""Compare a thermal model with tabulated values of well-known solids at 298.15 K.

    python -m scripts.check_textbook MODEL [--output FILE.json]

The table is textbook.toml beside this script. Values of the model are those of a
harmonic crystal at constant volume, tabulated ones are measured at constant pressure:
C_p is larger than C_v by 1 to 3 % in hard solids and by up to 10 % in soft ones. Those
of metals hold a part of the electrons, those of iron, cobalt, nickel, chromium and
uranium dioxide one of magnetism.

Prints the median of |predicted / tabulated - 1| for each property and group of solids,
and the share of tabulated values inside the 90 % intervals; --output adds each solid.
"""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
import pandas as pd
from pymatgen.core import Lattice, Structure

from cloud_jax.evaluation.coverage import inside
from cloud_jax.files import write_json
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.models.seen import new_sentences
from cloud_jax.structures.element_classes import is_metal
from cloud_jax.studies.phonon.temperatures import in_joules

TABLE = Path(__file__).with_name("textbook.toml")
TABULATED_K = 298.15
UNITS = {"entropy": 1.0, "enthalpy": 1000.0, "heat_capacity": 1.0}  # J of the table's


def read_table() -> tuple[dict[str, Structure], pd.DataFrame]:
    """Return the structures of the solids, and a row of tabulated values for each.

    Values are in J/(mol K) and J/mol per formula unit, NaN where the table has none.
    """
    with TABLE.open("rb") as file:
        content = tomllib.load(file)
    structures = {}
    for name, solid in content["solids"].items():
        kind = content["prototypes"][solid["prototype"]]
        structures[name] = build(kind, solid["elements"].split())
    values = pd.DataFrame.from_dict(content["solids"], orient="index")
    return structures, values[[*UNITS]].mul(UNITS)


def build(prototype: dict[str, Any], elements: Sequence[str]) -> Structure:
    """Return the conventional cell of a crystal of a type, an element for each site.

    `Structure.from_spacegroup` of pymatgen gives the same in seventy times the time.
    """
    name = prototype["space_group"].replace("_", "")
    operations = gemmi.find_spacegroup_by_name(name).operations()
    species, coords = [], []
    for element, site in zip(elements, prototype["sites"], strict=True):
        orbit: list[np.ndarray] = []
        for operation in operations:
            image = np.array(operation.apply_to_xyz(site)) % 1
            apart = [image - other for other in orbit]
            if all(np.abs(way - np.round(way)).max() > 1e-5 for way in apart):
                orbit.append(image)
        species += [element] * len(orbit)
        coords += orbit
    return Structure(Lattice.from_parameters(*prototype["cell"]), species, coords)


def compare(model: Predictor) -> pd.DataFrame:
    """Predict all solids.

    Returns:
        A row per solid: its `group`; of each property the tabulated value, that of the
        model, whether the interval holds it, and the relative error; and the columns of
        `new_sentences`.
    """
    structures, table = read_table()
    rows = in_joules(
        model.predict(
            [*structures.values()],
            ids=[*structures],
            temperature_k=TABULATED_K,
            basis="formula",
        )
    )
    for name in UNITS:
        own = rows[rows["property"] == name].set_index("id").loc[table.index]
        table[f"{name}_model"] = own["value"]
        table[f"{name}_inside"] = inside(own["lower"], table[name], own["upper"])
        table[f"{name}_error"] = own["value"] / table[name] - 1
    table["group"] = [group_of(structure) for structure in structures.values()]
    items = object_items([*structures.values()])
    records = parse(items, model.options, workers=1)
    sentences = [getattr(record, model.options.dialect) for record in records]
    for name, chosen in new_sentences(model.model.description, sentences).items():
        table[name] = chosen
    return table


def group_of(structure: Structure) -> str:
    """Return `metals`, `other elements` or `compounds`."""
    symbols = structure.symbol_set
    if len(symbols) > 1:
        return "compounds"
    return "metals" if is_metal(*symbols) else "other elements"


def medians(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return the median errors and the coverage by group and property, where known."""
    groups = {"all": np.ones(len(table), bool)}
    groups |= {name: table["group"] == name for name in sorted(set(table["group"]))}
    new = "no_heat_capacity_learned"
    if new in table:
        groups |= {f"{name}, {new}": rows & table[new] for name, rows in groups.items()}
    found = {}
    for group, rows in groups.items():
        found[group] = {}
        for name in UNITS:
            own = table[rows].dropna(subset=f"{name}_error")
            if own.empty:
                continue
            found[group][name] = {
                "n": len(own),
                "median_relative_error": float(own[f"{name}_error"].abs().median()),
                "median_signed_error": float(own[f"{name}_error"].median()),
                "inside": float(own[f"{name}_inside"].mean()),
            }
    return found


def main() -> None:
    """Predict, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a model folder, or a finished run's")
    parser.add_argument("--output", type=Path, metavar="FILE.json")
    arguments = parser.parse_args()
    table = compare(load(arguments.model))
    found = medians(table)
    if arguments.output:
        solids = table.replace({np.nan: None}).to_dict("index")
        write_json(arguments.output, {"medians": found, "solids": solids})
    print(f"{'median relative error; inside':44}" + "".join(f"{n:>22}" for n in UNITS))
    for group, own in found.items():
        cells = [
            f"{one['n']:6} {one['median_relative_error']:8.1%}{one['inside']:7.0%}"
            if (one := own.get(name))
            else " " * 22
            for name in UNITS
        ]
        print(f"{group:44}" + "".join(cells))


if __name__ == "__main__":
    main()
