"""Crystals whose heat capacity is well known: figure 5 of the paper."""

import ast
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.constants import gas_constant

from cloud_jax.datasets.phonon import PhononSource
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.inference.predictor import Predictor, load
from cloud_jax.scope.pipeline import Options, Record
from cloud_jax.studies.phonon.comparison import (
    Material,
    PhononRun,
    compare_measured,
    role,
)

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure


class Known(NamedTuple):
    """A crystal of figure 5 of the paper, or one whose heat capacity is as well known.

    Attributes:
        structure: makes it; angstrom. The model sees the space group, the Wyckoff
            positions and the elements of it, so its last digits do not matter.
        melting_k: where a figure ends; CRC Handbook of Chemistry and Physics unless
            said otherwise.
    """

    structure: Callable[[], "Structure"]
    melting_k: float


def _corundum() -> "Structure":
    """Newnham and de Haan, Z. Kristallogr. 117 (1962) 235."""
    from pymatgen.core import Lattice, Structure

    lattice = Lattice.hexagonal(4.757, 12.988)
    sites = [[0, 0, 0.352], [0.3064, 0, 0.25]]
    return Structure.from_spacegroup("R-3c", lattice, ["Al", "O"], sites)


def _antifluorite() -> "Structure":
    """Zintl, Harder and Dauth, Z. Elektrochem. 40 (1934) 588."""
    from pymatgen.core import Lattice, Structure

    sites = [[0.25, 0.25, 0.25], [0, 0, 0]]
    lattice = Lattice.cubic(4.619)
    return Structure.from_spacegroup("Fm-3m", lattice, ["Li", "O"], sites)


def _perovskite() -> "Structure":
    """Sasaki et al., Acta Cryst. C 43 (1987) 1668, from their setting Pbnm."""
    from pymatgen.core import Lattice, Structure

    sites = [
        [0.0360, 0.25, 0.9932],
        [0.5, 0, 0],
        [0.4838, 0.25, 0.0714],
        [0.2888, 0.0371, 0.7108],
    ]
    lattice = Lattice.orthorhombic(5.442, 7.640, 5.380)
    return Structure.from_spacegroup("Pnma", lattice, ["Ca", "Ti", "O", "O"], sites)


def _wurtzite() -> "Structure":
    """Schulz and Thiemann, Solid State Commun. 23 (1977) 815."""
    from pymatgen.core import Lattice, Structure

    sites = [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.377]]
    lattice = Lattice.hexagonal(3.190, 5.189)
    return Structure.from_spacegroup("P6_3mc", lattice, ["Ga", "N"], sites)


def _rocksalt(cation: str, anion: str, a: float) -> Callable[[], "Structure"]:
    """Wyckoff, Crystal Structures, vol. 1, 2nd ed. (1963), ch. III."""

    def structure() -> "Structure":
        from pymatgen.core import Lattice, Structure

        sites = [[0, 0, 0], [0.5, 0.5, 0.5]]
        lattice = Lattice.cubic(a)
        return Structure.from_spacegroup("Fm-3m", lattice, [cation, anion], sites)

    return structure


KNOWN = {
    "Al2O3": Known(_corundum, 2327.0),
    "Li2O": Known(_antifluorite, 1711.0),
    "CaTiO3": Known(_perovskite, 2253.0),
    # At 6 GPa, below which it decomposes: Utsumi et al., Nat. Mater. 2 (2003) 735.
    "GaN": Known(_wurtzite, 2493.0),
    "MgO": Known(_rocksalt("Mg", "O", 4.211), 3098.0),
    "CaO": Known(_rocksalt("Ca", "O", 4.811), 2886.0),
    "LiF": Known(_rocksalt("Li", "F", 4.017), 1121.0),
    "NaCl": Known(_rocksalt("Na", "Cl", 5.641), 1074.0),
}
PAPER = ("Al2O3", "Li2O", "CaTiO3", "GaN")  # those of the paper


@cache
def known_structure(name: str) -> "Structure":
    """A known crystal; made once, because pymatgen's space groups take their time."""
    return KNOWN[name].structure()


def formula_atoms(name: str) -> float:
    """Atoms in a formula unit of a known crystal."""
    return known_structure(name).composition.reduced_composition.num_atoms


def heat_capacity_curves(
    model: Predictor, names: Sequence[str], kelvin: Iterable[float]
) -> dict[str, "pd.DataFrame"]:
    """C_v of known crystals by temperature, J/(mol K) per mol of formula units.

    Args:
        model: with a physical law.
        names: of the crystals.
        kelvin: temperatures.

    Returns:
        Of each crystal `value`, `lower`, `upper` and `flags`.

    Raises:
        EstimateError: the model has no law.
    """
    found = model.predict(
        [known_structure(name) for name in names],
        ids=list(names),
        temperature_k=np.unique(np.fromiter(kelvin, float)),
        basis="formula",
    )
    found = found[found["property"] == "heat_capacity"].set_index("id")
    columns = ["value", "lower", "upper", "flags"]
    return {name: found.loc[name].set_index("temperature_k")[columns] for name in names}


def harmonic_curves(
    source: PhononSource, names: Sequence[str], kelvin: Float[np.ndarray, " T"]
) -> dict[str, tuple[str, "pd.Series"]]:
    """C_v of the phonons of known crystals, J/(mol K) per mol of formula units.

    A crystal is that of the file with the same canonical sentence.

    Args:
        source: of phonon densities of states.
        names: of the crystals.
        kelvin: temperatures above 0.

    Returns:
        Of those that are in the file the id, and the values by temperature.

    Raises:
        SourceError: the file is missing or damaged.
    """
    import pandas as pd

    wanted = {_sentence(known_structure(name), name): name for name in names}
    formulas = {
        _reduced(site.specie.Z for site in known_structure(name)) for name in names
    }
    ids = {}
    for key, text in source.crystals(source.pieces()[0].path):
        if _reduced(ast.literal_eval(text)["numbers"]) in formulas:
            name = wanted.get(_sentence(text + "\n", key))
            ids |= {key: name} if name else {}
    curves = source.curves(kelvin)
    found = {}
    for row, key in enumerate(curves.ids):
        if name := ids.get(key):
            units = curves.n_atoms[row] / formula_atoms(name)
            found[name] = key, pd.Series(curves.heat_capacity[row] / units, kelvin)
    return found


def _sentence(structure: Any, name: str) -> str | None:
    (found,) = parse(object_items([structure], [name]), Options(), workers=1)
    return found.canonical if isinstance(found, Record) else None


def _reduced(numbers: Iterable[int]) -> frozenset[tuple[int, int]]:
    """Atomic numbers and their counts in the reduced formula."""
    counts = Counter(numbers)
    divisor = gcd(*counts.values())
    return frozenset((z, count // divisor) for z, count in counts.items())


def compare_heat_capacities(
    runs: Sequence[PhononRun],
    measured: Mapping[str, tuple[np.ndarray, np.ndarray]],
    source: PhononSource | None,
    labelled: Collection[str],
) -> tuple[dict[str, Any], list[Material]]:
    """Compare C_v(T) of models with measurement and with phonons.

    Args:
        runs: with a law.
        measured: {name: (temperatures, C_p)}, see `read_measured`.
        source: of phonons, or None.
        labelled: ids of its crystals with labels.

    Returns:
        What to say: `heat_capacities` and `phonons_of`; and what to draw, those of the
        paper and those measured, up to the melting point.
    """
    grids = {
        name: np.linspace(0, crystal.melting_k, 121)
        for name, crystal in KNOWN.items()
        if name in measured or name in PAPER
    }
    points = {
        name: (kelvin[solid], cp[solid])
        for name, (kelvin, cp) in measured.items()
        for solid in [kelvin <= KNOWN[name].melting_k]
    }
    asked = np.concatenate(
        [*grids.values(), *(kelvin for kelvin, _ in points.values())]
    )
    models = {
        one.label: heat_capacity_curves(load(one.folder), list(grids), asked)
        for one in runs
    }
    kelvin = np.unique(np.concatenate([grid[1:] for grid in grids.values()]))
    harmonic = harmonic_curves(source, list(grids), kelvin) if source else {}
    ids = {name: key for name, (key, _) in harmonic.items()}
    roles = {
        one.label: {name: role(one, ids.get(name), labelled) for name in grids}
        for one in runs
    }
    found = {
        label: {
            name: compare_measured(curves[name], *points[name])
            | {"flags": curves[name]["flags"].iloc[0], "role": roles[label][name]}
            for name in points
        }
        for label, curves in models.items()
    }
    materials = [
        Material(
            name,
            3 * formula_atoms(name) * gas_constant,
            {label: curves[name].loc[grid] for label, curves in models.items()},
            harmonic[name][1].loc[grid[1:]] if name in harmonic else None,
            points.get(name),
            " or ".join(dict.fromkeys(own[name] for own in roles.values())),
        )
        for name, grid in grids.items()
    ]
    return {"heat_capacities": found, "phonons_of": ids}, materials
