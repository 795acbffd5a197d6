"""The crystals of a table in random order, to measure rates without its order.

    python -m scripts.shuffle_npz wbm.npz shuffled.npz --seed 0

A public table has its large crystals in one place; in random order the start and the
end of a run can be compared. Arrays of one entry a crystal or a site keep theirs.
"""

import argparse
from pathlib import Path

import numpy as np

from cloud_jax.files import atomic_open


def shuffle(arrays: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    """Put the crystals of flat arrays, cut by `n_sites` [N], in another order."""
    n_sites = arrays["n_sites"].astype(np.int64)
    order = np.random.default_rng(seed).permutation(len(n_sites))
    lengths = n_sites[order]
    starts = (np.cumsum(n_sites) - n_sites)[order] - (np.cumsum(lengths) - lengths)
    sites = np.arange(n_sites.sum()) + np.repeat(starts, lengths)
    by_length = {len(sites): sites, len(order): order}
    return {
        name: array[sites] if name in ("Z", "frac") else array[by_length[len(array)]]
        for name, array in arrays.items()
    }


def main() -> None:
    """Read, shuffle, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", type=Path, help="npz of n_sites, Z, frac, lattice, ..")
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with np.load(arguments.input, allow_pickle=False) as data:
        arrays = shuffle(dict(data), arguments.seed)
    with atomic_open(arguments.output) as file:
        np.savez(file, **arrays)
    print(f"{arguments.output}: {len(arrays['n_sites']):,} crystals")


if __name__ == "__main__":
    main()
