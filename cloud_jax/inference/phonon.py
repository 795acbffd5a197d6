"""What models of C_v and U are compared with: known crystals, and harmonic phonons."""

import ast
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from math import gcd
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from cloud_jax.evaluation.phonon import temperature_errors
from cloud_jax.inference.inputs import object_items, parse
from cloud_jax.inference.predictor import Predictor
from cloud_jax.preprocess.pipeline import Options, Record
from cloud_jax.preprocess.sources.phonon import Curves, PhononSource

if TYPE_CHECKING:
    import pandas as pd
    from pymatgen.core import Structure

PROPERTIES = ("heat_capacity", "internal_energy")
TEMPERATURES_K = (100.0, 300.0, 600.0)
LABELS_K = 300.0
CLOSE = 0.01  # a density that gives the label so well is whole


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


def at_other_temperatures(
    model: Predictor,
    curves: Curves,
    cells: Mapping[str, Any],
    name: str,
    labels: Mapping[str, float],
    tested: Collection[str],
) -> dict[str, Any]:
    """Errors of C_v and U at 100, 300 and 600 K, on crystals that were tested.

    Only those count whose density of states gives the label within 1 %: the others have
    modes above its end, 1000 cm^-1. Beside the model stands the Debye law with the
    theta that makes each C_v at 300 K right: the best a Debye head without any error at
    300 K could do.

    Args:
        model: with a physical law.
        curves: of phonons, at `TEMPERATURES_K`.
        cells: structure of each tested crystal.
        name: of the property that the labels are of.
        labels: J or J/K per mol of primitive cells at 300 K, of the tested crystals and
            of others; the mean that MAD is from leaves out crystals whose density does
            not give their label.
        tested: ids of the crystals to measure on, all with a label.

    Returns:
        `test_rows`, `measured_on`, and lists of errors `model` and `debye_law_at_best`
        (see `evaluation.phonon.temperature_errors`), which are empty where no density
        gives its label.
    """
    true = {
        (name, kelvin): getattr(curves, name)[:, i]
        for name in PROPERTIES
        for i, kelvin in enumerate(TEMPERATURES_K)
    }
    label = np.array([labels.get(key, np.nan) for key in curves.ids])
    cut = np.abs(true[name, LABELS_K] / label - 1) >= CLOSE  # not where none is known
    asked = np.isin(curves.ids, list(tested))
    known, train = asked & ~cut, ~asked & ~cut
    found = {"test_rows": int(asked.sum()), "measured_on": int(known.sum())}
    if not known.any():
        return found | {"model": [], "debye_law_at_best": []}
    ids = [key for key, own in zip(curves.ids, known, strict=True) if own]
    predicted = _predict_cells(model, [cells[key] for key in ids], ids)
    finite = np.isfinite(np.stack(list(predicted.values()))).all(axis=0)
    known[known] = finite
    made = {key: np.full(len(known), np.nan) for key in true}
    for key, values in predicted.items():
        made[key][known] = values[finite]
    best = _debye_at_best(true["heat_capacity", LABELS_K], curves.n_atoms)
    return found | {
        "measured_on": int(known.sum()),
        "model": temperature_errors(true, made, train, known),
        "debye_law_at_best": temperature_errors(true, best, train, known),
    }


def _predict_cells(
    model: Predictor, structures: Sequence[Any], ids: Sequence[str]
) -> dict[tuple[str, float], Float[np.ndarray, " N"]]:
    """C_v and U at three temperatures, per mol of primitive cells; NaN for rejects."""
    found = model.predict(
        list(structures), ids=list(ids), temperature_k=TEMPERATURES_K, basis="cell"
    )
    wide = found.pivot(
        index="id", columns=["property", "temperature_k"], values="value"
    ).reindex(ids)
    return {
        (name, kelvin): wide[name, kelvin].to_numpy()
        for name in PROPERTIES
        for kelvin in TEMPERATURES_K
    }


def _debye_at_best(
    heat_capacity: Float[np.ndarray, " N"], n_atoms: Float[np.ndarray, " N"]
) -> dict[tuple[str, float], Float[np.ndarray, " N"]]:
    """What the Debye law gives with the theta that makes C_v at 300 K right.

    Args:
        heat_capacity: at 300 K, per mol of cells.
        n_atoms: of the cells.
    """
    import jax

    from cloud_jax.physics import debye

    with jax.enable_x64(True):
        low, high = np.full(len(n_atoms), 1.0), np.full(len(n_atoms), 1e4)
        for _ in range(40):  # C_v falls with theta
            theta = np.sqrt(low * high)
            found = debye.heat_capacity(theta, LABELS_K, n_atoms)
            above = np.asarray(found) > heat_capacity
            low, high = np.where(above, theta, low), np.where(above, high, theta)
        return {
            (name, kelvin): np.asarray(getattr(debye, name)(theta, kelvin, n_atoms))
            for name in PROPERTIES
            for kelvin in TEMPERATURES_K
        }
