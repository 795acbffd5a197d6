"""Volumes per atom of a corpus as a labelled table, for configs/volume.py.

    python -m scripts.make_volume_table datasets/corpus data/volume.csv

Reads records.parquet of a dataset. Columns: id, the sentence (column canonical or
paper), the logarithm of volume_per_atom [angstrom^3], and split: all training rows and
3,000 validation rows, called test. Sentences of more than 64 tokens and volumes outside
3 to 200 stay out.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

TEST_ROWS = 3000
LONGEST = 64  # tokens; one batch then has short rows
VOLUMES = (3.0, 200.0)  # angstrom^3 an atom: beyond are errors and sparse frameworks


def main() -> None:
    """Read, choose, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path, help="made by cloud_jax.preprocess")
    parser.add_argument("output", type=Path)
    parser.add_argument(
        "--dialect", choices=("canonical", "paper"), default="canonical"
    )
    arguments = parser.parse_args()
    columns = ["id", arguments.dialect, "volume_per_atom", "split", "n_tokens"]
    table = pd.read_parquet(arguments.dataset / "records.parquet", columns=columns)
    low, high = VOLUMES
    volume = table.volume_per_atom
    table = table[(table.n_tokens <= LONGEST) & (volume > low) & (volume < high)]
    table = table.assign(log_volume_per_atom=np.log(table.volume_per_atom))
    training = table.split == "train"
    others = table[~training]
    test = others.sample(min(TEST_ROWS, len(others)), random_state=0)
    table = pd.concat([table[training], test]).sample(frac=1, random_state=1)
    table["split"] = np.where(table.split == "train", "train", "test")
    columns = ["id", arguments.dialect, "log_volume_per_atom", "split"]
    table[columns].to_csv(arguments.output, index=False)
    print(f"{arguments.output}: {len(table):,} rows")


if __name__ == "__main__":
    main()
