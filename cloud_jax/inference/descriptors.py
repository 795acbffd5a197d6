"""Plain descriptors of a crystal: statistics over its elements, and its cell."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from cloud_jax.scope import build_vocabulary

_STATISTICS = ("mean", "deviation", "least", "largest")
# Descriptors of tokens that are not of elements.
_NOT_OF_ELEMENTS = ("log multiplicity", "log amount")
CELL_NAMES = ["log_volume_per_atom", "log_atoms_in_cell"]


@lru_cache(maxsize=1)
def _elements() -> tuple[list[str], dict[str, Float[np.ndarray, " K"]]]:
    """Return the names of the descriptors, and those of each element.

    They are those that the encoder is given with each token: in standard deviations
    from the mean over the elements.
    """
    vocabulary = build_vocabulary("canonical")
    kept = [
        i
        for i, name in enumerate(vocabulary.feature_names)
        if name not in _NOT_OF_ELEMENTS
    ]
    names = [vocabulary.feature_names[i].replace(" ", "_") for i in kept]
    found = {
        token.removeprefix("element:"): vocabulary.features[row, kept].astype(float)
        for row, token in enumerate(vocabulary.tokens)
        if token.startswith("element:")
    }
    return names, found


def composition_names() -> list[str]:
    """Return the names of `composition_descriptors`."""
    names, _ = _elements()
    listed = [f"{statistic}_{name}" for statistic in _STATISTICS for name in names]
    return [*listed, "number_of_elements"]


def composition_descriptors(
    formula: Sequence[tuple[str, int]],
) -> Float[np.ndarray, " F"]:
    """Return mean, deviation, least and largest of each descriptor of the elements.

    Mean and deviation are over the atoms, least and largest over the elements.

    Args:
        formula: (element, count) pairs.
    """
    _, elements = _elements()
    values = np.array([elements[element] for element, _ in formula])
    amounts = np.array([count for _, count in formula], float)
    shares = amounts / amounts.sum()
    mean = shares @ values
    deviation = np.sqrt(shares @ (values - mean) ** 2)
    ends = values.min(axis=0), values.max(axis=0)
    return np.concatenate([mean, deviation, *ends, [len(formula)]])


def cell_descriptors(volume_per_atom: float, n_atoms: int) -> Float[np.ndarray, " 2"]:
    """Return the logarithms of the volume per atom and of the atoms in the cell.

    Args:
        volume_per_atom: angstrom^3.
        n_atoms: in the primitive cell.
    """
    return np.array([math.log(volume_per_atom), math.log(n_atoms)])
