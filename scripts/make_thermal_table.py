"""Join the published C_v and U labels with their structures into one ordinary table.

    python -m scripts.make_thermal_table CV_U.csv PHONON_DOS.csv.gz [--output data]

CV_U.csv has the columns `mp_id, scope_paper, n_atoms, cv_j_per_mol_cell_k,
u_j_per_mol_cell, split_cloud, split_gong` (labels at 300 K per mol of primitive cells:
Gong et al. 2023; sentences and split of the CLOUD paper). PHONON_DOS.csv.gz has
`mp_id, structure, phfreq, phdos` (github.com/ninarina12/phononDoS_tutorial, MIT).
Written are

    thermal_cv_u.csv   id, structure (pymatgen JSON), n_atoms, cv_j_per_mol_cell_k,
                       u_j_per_mol_cell, split, split_gong, scope_paper
    thermal_dos.npz    ids [N], frequency_cm [F], dos [N, F] (greatest value 1)

in the order of CV_U.csv, which `configs/` reads from the folder `data`.
"""

import argparse
import ast
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Element, Structure

from cloud_jax.files import atomic_open

LABELS = ("n_atoms", "cv_j_per_mol_cell_k", "u_j_per_mol_cell")


def as_json(text: str) -> str:
    """Turn the printed ASE dictionary of a structure into pymatgen's JSON."""
    atoms = ast.literal_eval(text)
    return Structure(
        atoms["cell"],
        [Element.from_Z(number) for number in atoms["numbers"]],
        atoms["positions"],
        coords_are_cartesian=True,
    ).to_json()


def join(labels: pd.DataFrame, phonons: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """Give each row of labels its structure and density of states.

    Raises:
        SystemExit: a row has no structure, or the frequencies are not all the same.
    """
    both = labels.merge(phonons, on="mp_id", how="left", validate="one_to_one")
    if both.structure.isna().any():
        missing = both.mp_id[both.structure.isna()].tolist()
        raise SystemExit(f"no structure for {len(missing)} ids: {missing[:5]}")
    frequencies = {tuple(ast.literal_eval(text)) for text in both.phfreq}
    if len(frequencies) != 1:
        raise SystemExit(f"found {len(frequencies)} sets of frequencies, expected one")
    columns = {"id": both.mp_id, "structure": both.structure.map(as_json)}
    columns |= {name: both[name] for name in LABELS}
    columns |= {"split": both.split_cloud, "split_gong": both.split_gong}
    columns |= {"scope_paper": both.scope_paper}
    dos = {
        "ids": both.mp_id.to_numpy(dtype=str),
        "frequency_cm": np.array(frequencies.pop()),
        "dos": np.array([ast.literal_eval(text) for text in both.phdos]),
    }
    return pd.DataFrame(columns), dos


def main() -> None:
    """Read, join and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("labels", type=Path, metavar="CV_U.csv")
    parser.add_argument("phonons", type=Path, metavar="PHONON_DOS.csv.gz")
    parser.add_argument("--output", type=Path, default=Path("data"))
    arguments = parser.parse_args()
    table, dos = join(pd.read_csv(arguments.labels), pd.read_csv(arguments.phonons))
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, write in (
        ("thermal_cv_u.csv", lambda file: table.to_csv(file, index=False)),
        ("thermal_dos.npz", lambda file: np.savez_compressed(file, **dos)),
    ):
        path = arguments.output / name
        with atomic_open(path) as file:
            write(file)
        print(f"{path}: {len(table)} crystals")


if __name__ == "__main__":
    main()
