"""Approximate hull distances of WBM, for use where its published ones are not at hand.

    nice python -m scripts.approximate_hull hull.csv [--data-dir data] [--processes 2]

Writes (material_id, e_above_hull [eV/atom]) for `python -m cloud_jax.discovery
--summary hull.csv`, and hull.json with what the figures below are today.

MatBench Discovery measures the distance to the hull of Materials Project, of which the
crystals of WBM are no part: who lies below it has a negative one. The hull here is
that of matbench_mp_e_form (composition and formation energy of 132,752 crystals, no
structures) and of the elements at zero. Its energies are from 2019; those of WBM carry
the corrections of 2020, so the difference of the two schemes is added, as far as it
follows from the composition. Where tables of newer crystals with their hull distance
are at hand (wyckofftransformer_mp*/*.csv.gz), they are used in two ways: first to
measure by how much the hull misses, then as points of the hull, whose energy they give.
"""

import argparse
import bz2
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import combinations
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
from pymatgen.core import Composition, Element
from scipy.optimize import linprog
from scipy.spatial import ConvexHull
from tqdm import tqdm

from cloud_jax.files import atomic_open, atomic_write

TARGETS = "matbench_v0.1_targets/matbench_mp_e_form.json.bz2"
CELLS = "wbm_matbench_discovery/wbm_initial_structures.npz"
KNOWN = "wyckofftransformer_mp*/*.csv.gz"

NOTE = (
    "The hull is approximate: that of matbench_mp_e_form with the corrections of 2020 "
    "put in, not the published one. Stability metrics are estimates."
)
# MP2020 minus legacy correction, eV an atom of the element where it is an anion: from
# pymatgen's MP2020Compatibility.yaml and MPCompatibility.yaml. The legacy scheme
# corrected the gases themselves; their differences are medians over the crystals that
# stand in both tables (see `compare_schemes`).
ANION_SHIFTS = {
    "O": 0.0153, "S": 0.1605, "Se": -0.472, "Te": -0.422, "Br": -0.534, "I": -0.379,
    "Sb": -0.192, "Si": 0.071, "F": 0.020, "Cl": -0.023, "N": 0.014, "H": -0.027,
}  # fmt: skip
MOST_ELEMENTS = 5  # of a geometric hull: the number of its facets explodes
VERTICAL = 1e-7  # a facet with a normal this horizontal is a wall, not a floor
ALWAYS = ("O", "F", "Cl")  # are anions in nearly all that holds them
# The oxidation state of the others is guessed where the shift is worth the time.
GUESSED = ("S", "Se", "Te", "Br", "I")
# The same for the metals computed with a Hubbard U, in oxides and fluorides.
METAL_SHIFTS = {
    "V": -0.018, "Cr": 0.014, "Mn": 0.013, "Fe": 0.477, "Co": 0.236, "Ni": -0.377,
    "W": -0.087, "Mo": 0.329,
}  # fmt: skip

Formula = tuple[tuple[int, ...], tuple[int, ...]]  # atomic numbers, least counts
Points = dict[tuple[int, ...], dict[Formula, float]]  # by elements: eV/atom


def formula(numbers: Iterable[int], counts: Iterable[int]) -> Formula:
    """Atomic numbers in order, and their counts without common divisor."""
    z, n = zip(*sorted(zip(numbers, counts, strict=True)), strict=True)
    divisor = int(np.gcd.reduce(n))
    return tuple(map(int, z)), tuple(int(count) // divisor for count in n)


@cache
def parse(text: str) -> Formula:
    """A composition such as `K6 S6`."""
    parts: defaultdict[int, int] = defaultdict(int)
    for symbol, count in re.findall(r"([A-Z][a-z]?)(\d*)", text):
        parts[Element(symbol).Z] += int(count or 1)
    return formula(parts.keys(), parts.values())


def shift(crystal: Formula) -> float:
    """MP2020 minus legacy formation energy of a composition, eV/atom.

    Nearly as MP2020Compatibility does it: an anion is what the guessed oxidation states
    call so, or the most electronegative element where there is no guess.
    """
    numbers, counts = crystal
    parts = {Element.from_Z(z): n for z, n in zip(numbers, counts, strict=True)}
    if len(parts) == 1:
        return 0.0
    last = max(parts, key=lambda e: e.X if np.isfinite(e.X) else 0.0)
    states: dict[str, float] = {}
    if any(e.symbol in GUESSED and e != last for e in parts):
        try:
            composition = Composition(parts)
            states = next(iter(composition.oxi_state_guesses(max_sites=-20)), {})
        except ValueError:  # too many atoms to guess
            states = {}
    total = 0.0
    for element, count in parts.items():
        symbol = element.symbol
        if element == last or symbol in ALWAYS or states.get(symbol, 0) < 0:
            total += count * ANION_SHIFTS.get(symbol, 0.0)
        if last.symbol in ("O", "F"):
            total += count * METAL_SHIFTS.get(symbol, 0.0)
    return total / sum(counts)


def read_legacy(path: Path) -> dict[Formula, float]:
    """The lowest formation energy of each composition of MatBench, eV/atom."""
    with bz2.open(path) as file:
        columns = json.load(file)
    lowest: dict[Formula, float] = {}
    texts, energies = columns["composition"].values(), columns["e_form"].values()
    for text, energy in zip(texts, energies, strict=True):
        crystal = parse(text)
        lowest[crystal] = min(energy, lowest.get(crystal, np.inf))
    return lowest


def read_known(data_dir: Path) -> pd.DataFrame:
    """Newer crystals: `formula`, `e_form` and `hull`, the hull's energy, eV/atom."""
    tables = []
    for path in sorted(data_dir.glob(KNOWN)):
        table = pd.read_csv(path).rename(columns={"energy_above_hull": "e_above_hull"})
        texts = table.cif.str.extract(r"_chemical_formula_sum\s+'?([^'\n]+)")[0]
        energy = table.formation_energy_per_atom
        hull = energy - table.e_above_hull
        rows = {"formula": texts.map(parse), "e_form": energy, "hull": hull}
        tables.append(pd.DataFrame(rows).set_index(table.material_id))
    if not tables:
        return pd.DataFrame(columns=["formula", "e_form", "hull"])
    table = pd.concat(tables)
    return table[~table.index.duplicated() & table.hull.notna()]


def by_elements(energies: dict[Formula, float]) -> Points:
    """Points by their elements, without those that have to be unstable."""
    points: Points = defaultdict(dict)
    for crystal, energy in energies.items():
        if energy < 0:  # the elements are at zero
            points[crystal[0]][crystal] = energy
    return points


def hull_energies(crystals: list[Formula], points: Points) -> list[float]:
    """The hull's energy at compositions of the same elements, eV/atom.

    The lower hull is convex, so its energy is that of the highest of the planes that
    its facets lie in.
    """
    elements = crystals[0][0]
    n = len(elements)
    if n == 1:
        return [0.0] * len(crystals)
    subsets = (s for size in range(2, n + 1) for s in combinations(elements, size))
    near = {c: e for subset in subsets for c, e in points.get(subset, {}).items()}

    def fractions(crystal: Formula) -> np.ndarray:
        counts = dict(zip(*crystal, strict=True))
        return np.array([counts.get(z, 0) for z in elements]) / sum(crystal[1])

    corners = np.array([*np.eye(n), *map(fractions, near)])
    energy = np.array([0.0] * n + list(near.values()))
    wanted = np.array(list(map(fractions, crystals)))
    if n > MOST_ELEMENTS:
        return [_mixture_energy(corners, energy, place) for place in wanted]
    # A point above the elements makes a body of what may all lie in one plane.
    top = np.append(np.full(n - 1, 1 / n), 1.0)
    places = np.vstack([np.column_stack([corners[:, :-1], energy]), top])
    facets = ConvexHull(places).equations
    facets = facets[facets[:, n - 1] < -VERTICAL]
    slopes, offset = facets[:, : n - 1], facets[:, -1]
    planes = -(wanted[:, :-1] @ slopes.T + offset) / facets[:, n - 1]
    return planes.max(axis=1).tolist()


def _mixture_energy(
    corners: np.ndarray, energy: np.ndarray, fractions: np.ndarray
) -> float:
    """The same as the least energy of a mixture: slower, but of many elements."""
    answer = linprog(energy, A_eq=corners.T, b_eq=fractions, method="highs")
    if not answer.success:
        raise ArithmeticError(f"no mixture of {fractions}: {answer.message}")
    return float(answer.fun)


_points: Points = {}


def _start(points: Points) -> None:
    _points.update(points)


def _work(crystals: list[Formula]) -> dict[Formula, float]:
    return dict(zip(crystals, hull_energies(crystals, _points), strict=True))


def all_hull_energies(
    crystals: Iterable[Formula], energies: dict[Formula, float], processes: int
) -> dict[Formula, float]:
    """The hull's energy at each composition, eV/atom; a chemical system at a time."""
    systems: defaultdict[tuple, list[Formula]] = defaultdict(list)
    for crystal in dict.fromkeys(crystals):
        systems[crystal[0]].append(crystal)
    found: dict[Formula, float] = {}
    with Pool(processes, _start, (by_elements(energies),)) as pool:
        work = pool.imap_unordered(_work, systems.values(), chunksize=64)
        for part in tqdm(work, total=len(systems), desc="chemical systems"):
            found |= part
    return found


def read_wbm(path: Path) -> Iterator[tuple[str, Formula, float]]:
    """Yield id, composition and formation energy [eV/atom] of each crystal."""
    with np.load(path) as data:
        ends = np.cumsum(data["n_sites"].astype(int))
        numbers, names = data["Z"], data["material_id"].tolist()
        energies = data["e_form_per_atom_mp2020_corrected"].tolist()
    start = 0
    for name, end, energy in zip(names, ends, energies, strict=True):
        yield name, formula(*np.unique(numbers[start:end], return_counts=True)), energy
        start = end


def misses(known: pd.DataFrame, found: dict[Formula, float]) -> dict[str, float]:
    """By how much the hull lies above the true one at known compositions, eV/atom."""
    error = np.array([found[crystal] for crystal in known.formula]) - known.hull
    return {
        "crystals": len(error),
        "mean": float(error.mean()),
        "mean_absolute": float(error.abs().mean()),
        "median_absolute": float(error.abs().median()),
        "share_within_20_mev": float((error.abs() < 0.02).mean()),
    }


def main() -> None:
    """Read, compute, say how good it is, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("output", type=Path, metavar="hull.csv")
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    data_dir, processes = arguments.data_dir, arguments.processes
    legacy = read_legacy(data_dir / TARGETS)
    energies = {c: e + shift(c) for c, e in tqdm(legacy.items(), desc="corrections")}
    known, summary = read_known(data_dir), {"compositions_of_mp": len(energies)}
    if len(known):
        before = all_hull_energies(known.formula, legacy, processes)
        summary["misses_with_corrections_of_2019"] = misses(known, before)
        summary["misses"] = misses(
            known, all_hull_energies(known.formula, energies, processes)
        )
        for crystal, energy in zip(known.formula, known.hull, strict=True):
            energies[crystal] = min(energy, energies.get(crystal, np.inf))
    names, crystals, dft = zip(*read_wbm(data_dir / CELLS), strict=True)
    found = all_hull_energies(crystals, energies, processes)
    distance = np.array(dft) - [found[crystal] for crystal in crystals]
    summary |= {
        "crystals": len(distance),
        "share_stable": float((distance <= 0).mean()),
        "note": NOTE,
    }
    table = pd.DataFrame({"material_id": names, "e_above_hull": distance.round(6)})
    with atomic_open(arguments.output, "w") as file:
        file.write(f"# {NOTE}\n")
        table.to_csv(file, index=False)
    atomic_write(arguments.output.with_suffix(".json"), json.dumps(summary, indent=2))
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
