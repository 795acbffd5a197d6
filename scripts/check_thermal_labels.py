"""Say how good the labels of the public data set `thermal` are.

    python -m scripts.check_thermal_labels [--data-dir data]

JSON lines out:
    counts      rows per source, density and fold
    completed   whole densities cut at 50, 65 and 80 % of their highest frequency, where
                that leaves 50 to 97 % of the modes, and completed from C_v and U at
                300 K, with frequencies scaled so that the grid ends at the cut: errors
                of C_v, S and H per temperature, median and 95th percentile
    sound       published density at 20 and 40 cm^-1 over that of the elastic moduli of
                the same crystal
    thetas      ratios of Debye temperatures of the same crystal; `at_40_cm` is that of
                the density at 40 cm^-1, `at_300_k` that of C_v at 300 K

`sound` and `thetas` give number, median, 10th and 90th percentile, and the standard
deviation of ln. The same crystal has the same reduced formula and space group.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Iterator

import numpy as np
import spglib
from scipy.constants import value

from cloud_jax.datasets import phonon_density as harmonic
from cloud_jax.datasets.phonon import Densities, PhononSource
from cloud_jax.datasets.thermal import (
    THETA_AGL,
    THETA_ELASTIC,
    ThermalSource,
    reduced_formula,
)
from cloud_jax.physics.debye import heat_capacity
from cloud_jax.scope.pipeline import read_cell
from cloud_jax.structures.columns import value_item
from cloud_jax.structures.species import ELEMENTS

KELVIN = np.array([50.0, 100, 200, 300, 600, 1000])
K_PER_CM = 100 * value("second radiation constant")


def main() -> None:
    """Print one JSON line per part."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data-dir", default="data")
    folder = parser.parse_args().data_dir
    source = ThermalSource("thermal", data_dir=folder)
    rows = list(source.rows(source.columns))
    keys = ("source", "density", "fold")
    counts = Counter("/".join(str(row.get(key, "")) for key in keys) for row in rows)
    print(json.dumps({"counts": counts}))
    whole = {row["id"] for row in rows if row.get("density") == "whole"}
    densities = PhononSource("phonon", data_dir=folder).densities()
    print(json.dumps({"completed": completion_errors(densities, whole)}), flush=True)
    for line in sound_ratios(rows, densities, whole):
        print(json.dumps(line))


def completion_errors(densities: Densities, whole: set[str]) -> dict[str, list[float]]:
    """Return median and 95th percentile of the errors of C_v, S, H per temperature."""
    modes = harmonic.spectrum(densities.frequency_cm, densities.density)
    errors = []
    for name, share in zip(densities.ids, modes.share, strict=True):
        top = modes.frequency_cm[share > 1e-4 * share.max()].max()
        for cut in (0.5 * top, 0.65 * top, 0.8 * top):
            kept = np.where(modes.frequency_cm < cut, share, 0)
            if name not in whole or not 0.5 < kept.sum() < 0.97:
                continue
            scaled = modes.frequency_cm * densities.frequency_cm[-1] / cut
            every = harmonic.Spectrum(scaled, share[None])
            grid = harmonic.Spectrum(scaled, kept[None] / kept.sum())
            true = harmonic.thermal(every, KELVIN)
            at = KELVIN.tolist().index(harmonic.LABELS_K)
            missing = harmonic.complete(
                grid, true.heat_capacity[:, at], true.internal_energy[:, at]
            )
            curves = harmonic.thermal(grid, KELVIN)
            found = harmonic.completed(curves, missing, KELVIN)
            errors.append(np.abs(np.stack(found[:3]) / np.stack(true[:3]) - 1)[:, 0])
    median, most = (np.nanquantile(errors, q, axis=0) for q in (0.5, 0.95))
    names = [f"{name} {t:.0f} K" for name in ("C_v", "S", "H") for t in KELVIN]
    pairs = zip(names, median.ravel(), most.ravel(), strict=True)
    unsolved = int(np.isnan(errors).any(axis=(1, 2)).sum())
    return {"n": len(errors), "unsolved": unsolved} | {
        name: [round(low, 4), round(high, 4)] for name, low, high in pairs
    }


def sound_ratios(
    rows: list[dict], densities: Densities, whole: set[str]
) -> Iterator[dict[str, dict]]:
    """Yield the ratios of densities, and those of Debye temperatures."""
    agl, elastic, at_40, at_300 = (defaultdict(list) for _ in range(4))
    numbers = {name: row for row, name in enumerate(densities.ids)}
    ratios: dict[str, list[float]] = defaultdict(list)
    thetas = np.arange(20.0, 4000.0)
    capacities = np.asarray(heat_capacity(thetas.astype(np.float32), np.float32(300)))
    area = np.trapezoid(densities.density, densities.frequency_cm, axis=1)
    for row in rows:
        crystal = crystal_of(row)
        if theta := row.get(THETA_AGL):
            agl[crystal].append(theta)
        elif theta := row.get(THETA_ELASTIC):
            elastic[crystal].append(theta)
        elif row["id"] in whole:
            share = densities.density[numbers[row["id"]]] / area[numbers[row["id"]]]
            theta = np.interp(-row["heat_capacity_300k"], -capacities, thetas)
            at_300[crystal].append(theta)
            at_40[crystal].append((share[1], share[2]))
    cutoff = {key: np.median(found) / K_PER_CM for key, found in elastic.items()}
    for key in cutoff.keys() & at_40.keys():
        for wave, density in zip((20, 40), np.mean(at_40[key], axis=0), strict=True):
            ratios[f"{wave} cm^-1"].append(density * cutoff[key] ** 3 / 3 / wave**2)
    yield {"sound": {name: spread(found) for name, found in ratios.items()}}
    low = {
        key: [
            K_PER_CM * (3 * 40**2 / second) ** (1 / 3) for _, second in found if second
        ]
        for key, found in at_40.items()
    }
    pairs = {
        "agl/elastic": (agl, elastic),
        "agl/at_40_cm": (agl, low),
        "elastic/at_40_cm": (elastic, low),
        "agl/at_300_k": (agl, at_300),
        "elastic/at_300_k": (elastic, at_300),
    }
    yield {
        "thetas": {
            name: spread(
                [
                    np.median(one[key]) / np.median(other[key])
                    for key in one.keys() & other.keys()
                    if other[key]
                ]
            )
            for name, (one, other) in pairs.items()
        }
    }


def crystal_of(row: dict) -> tuple:
    """Return reduced formula and space group of a row."""
    cell = read_cell(value_item(row["id"], row["structure"]))
    numbers = [ELEMENTS.index(symbol) + 1 for symbol in cell.species]
    found = spglib.get_symmetry_dataset((cell.lattice, cell.fractional, numbers), 0.01)
    return reduced_formula(cell.species), found.number if found else row["id"]


def spread(ratios: list[float]) -> dict[str, float]:
    """Return number, median, 10th and 90th percentile, and the deviation of ln."""
    found = np.array(ratios)
    low, median, high = np.quantile(found, (0.1, 0.5, 0.9)).round(3).tolist()
    spread_ln = round(float(np.std(np.log(found[found > 0]))), 3)
    return {"n": len(found), "median": median, "p10": low, "p90": high, "ln": spread_ln}


if __name__ == "__main__":
    main()
