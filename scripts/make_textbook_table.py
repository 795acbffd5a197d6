"""Make the labelled table in the package from textbook.toml beside this script.

    python -m scripts.make_textbook_table

Writes cloud_jax/datasets/textbook.csv, the data set `textbook`: a row per solid with
the CIF of its conventional cell, its values at 298.15 K and 1 bar per mol of formula
units, and where they are from. Cells are those of one crystal of the structure type, so
that lengths and volumes are not those of the solid: `_cell_special_details` says so.
"""

import csv
import tomllib
from collections.abc import Iterator, Mapping

from pymatgen.core import Structure

from cloud_jax.datasets.textbook import PATH
from cloud_jax.files import atomic_open
from scripts.check_textbook import TABLE, group_of, read_table

# column of the table: key in the file
VALUES = {
    "entropy_j_per_mol_k": "entropy",
    "heat_capacity_j_per_mol_k": "heat_capacity",
    "enthalpy_kj_per_mol": "enthalpy",
}
CELL = """\
data_{name}
_cell_length_a {a:.10g}
_cell_length_b {b:.10g}
_cell_length_c {c:.10g}
_cell_angle_alpha {alpha:.10g}
_cell_angle_beta {beta:.10g}
_cell_angle_gamma {gamma:.10g}
_cell_special_details 'of the structure type, not of this solid'
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
"""


def rows(structures: Mapping[str, Structure]) -> Iterator[dict[str, str | float]]:
    """Yield a row per solid, with empty cells where the file has no value.

    Args:
        structures: by name of the solid.
    """
    solids = tomllib.loads(TABLE.read_text())["solids"]
    for name, solid in solids.items():
        structure = structures[name]
        metallic = group_of(structure) == "metals" or solid.get("metallic", False)
        yield {
            "id": name,
            "cif": cif(name, structure),
            **{column: solid.get(key, "") for column, key in VALUES.items()},
            "is_metal": str(metallic).lower(),
            "source": solid["source"],
        }


def cif(name: str, structure: Structure) -> str:
    """Return a structure as CIF text, all atoms of the cell in P 1."""
    head = CELL.format(name=name, **structure.lattice.params_dict)
    atoms = (
        " ".join([site.specie.symbol, *(f"{x % 1:.6f}" for x in site.frac_coords)])
        for site in structure
    )
    return head + "\n".join(atoms) + "\n"


def main() -> None:
    """Write the table."""
    structures, _ = read_table()
    found = list(rows(structures))
    with atomic_open(PATH, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, found[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    print(f"{PATH}: {len(found)} solids")


if __name__ == "__main__":
    main()
