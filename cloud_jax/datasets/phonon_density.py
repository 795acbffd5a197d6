"""Harmonic thermal properties from phonon densities of states on 51 points.

A density is linear between its points and scaled to 3 modes per atom. Two things are
not in it:

- Sound. Below the second point (40 cm^-1) the published values are mostly noise: their
  median is 1.26 times what the elastic moduli of the same crystals give, and a fifth
  are 0 (python -m scripts.check_thermal_labels). There the density is taken to go as
  omega^2, from its value at that point; where the first point is higher than the
  second, which noise is not, from the first.
- Modes above 1000 cm^-1, where the grid ends. `complete` finds how many are missing,
  and their mean frequency, from C_v and U at 300 K that were published with all modes.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

LABELS_K = 300.0  # temperature of the published C_v and U
# From the end of the grid to above the stretching mode of H2, cm^-1.
_MISSING_CM = (1000.0, 4500.0)


class Spectrum(NamedTuple):
    """Hold the modes of N crystals at M frequencies.

    Attributes:
        frequency_cm: wave numbers, cm^-1, above 0.
        share: share of a crystal's modes at each; rows sum to 1.
    """

    frequency_cm: Float[np.ndarray, " M"]
    share: Float[np.ndarray, "N M"]


class Thermal(NamedTuple):
    """Hold thermal properties per mol of atoms.

    Attributes:
        heat_capacity: C_v, J/(mol K).
        entropy: S, J/(mol K).
        enthalpy: H(T) - H(0) of the harmonic crystal at zero pressure, J/mol.
        zero_point_energy: J/mol.
    """

    heat_capacity: Float[np.ndarray, "N T"]
    entropy: Float[np.ndarray, "N T"]
    enthalpy: Float[np.ndarray, "N T"]
    zero_point_energy: Float[np.ndarray, " N"]

    @property
    def internal_energy(self) -> Float[np.ndarray, "N T"]:
        """Return U with its zero-point part, J/mol."""
        return self.enthalpy + self.zero_point_energy[:, None]


class Missing(NamedTuple):
    """Hold the modes above the grid, per crystal; NaN where there is no solution.

    Attributes:
        share: share of all modes.
        frequency_cm: their wave number, cm^-1, as if they had one.
    """

    share: Float[np.ndarray, " N"]
    frequency_cm: Float[np.ndarray, " N"]


def spectrum(
    frequency_cm: Float[np.ndarray, " F"], density: Float[np.ndarray, "N F"]
) -> Spectrum:
    """Return the modes of densities at Gauss-Legendre nodes between their points.

    Args:
        frequency_cm: wave numbers, cm^-1, ascending from 0.
        density: density of states per crystal, on any scale.
    """
    x, weight = np.polynomial.legendre.leggauss(8)
    step = np.diff(frequency_cm)[:, None]
    nodes = (frequency_cm[:-1, None] + step * (x + 1) / 2).ravel()
    modes = np.stack([_interpolate(nodes, frequency_cm, row) for row in density])
    modes *= (step * weight / 2).ravel()
    return Spectrum(nodes, modes / modes.sum(axis=1, keepdims=True))


def thermal(modes: Spectrum, temperatures_k: Float[np.ndarray, " T"]) -> Thermal:
    """Return the properties of harmonic crystals.

    Args:
        modes: of the crystals.
        temperatures_k: temperatures, K, above 0.
    """
    values = _oscillator(modes.frequency_cm, temperatures_k)
    return Thermal(*(modes.share @ value for value in values))


def complete(
    modes: Spectrum,
    heat_capacity: Float[np.ndarray, " N"],
    internal_energy: Float[np.ndarray, " N"],
) -> Missing:
    """Return the modes above the grid that C_v and U at 300 K ask for.

    C_v says how many modes are missing, since they hardly take part in it, and U, with
    its zero-point part, where they are.

    Args:
        modes: of the grid.
        heat_capacity: C_v of all modes at 300 K, J/(mol K) per mol of atoms.
        internal_energy: U of all modes at 300 K, J/mol per mol of atoms.
    """
    from scipy.optimize import brentq

    found = thermal(modes, np.array([LABELS_K]))
    share, frequency = np.full((2, len(heat_capacity)), np.nan)
    columns = (found.heat_capacity[:, 0], found.internal_energy[:, 0])
    rows = zip(*columns, heat_capacity, internal_energy, strict=True)
    for row, (grid_c, grid_u, all_c, all_u) in enumerate(rows):

        def solve(at_cm, grid_c=grid_c, grid_u=grid_u, all_c=all_c, all_u=all_u):
            c, _, h, zero = _oscillator(np.array([at_cm]), np.array([LABELS_K]))
            part = (grid_c - all_c) / (grid_c - c.item())
            return part, (1 - part) * grid_u + part * (h.item() + zero.item()) - all_u

        low, high = _MISSING_CM
        if solve(low)[1] < 0 < solve(high)[1]:  # False where a label is NaN
            frequency[row] = brentq(lambda at_cm: solve(at_cm)[1], low, high)
            share[row] = solve(frequency[row])[0]
    return Missing(share, frequency)


def completed(
    curves: Thermal, missing: Missing, temperatures_k: Float[np.ndarray, " T"]
) -> Thermal:
    """Return properties of crystals to whose modes those above the grid are added.

    Args:
        curves: of the modes of the grid.
        missing: the modes to add.
        temperatures_k: temperatures of the curves, K.
    """
    added = _oscillator(missing.frequency_cm, temperatures_k)
    return Thermal(
        *(
            own + (missing.share * (new - own).T).T
            for own, new in zip(curves, added, strict=True)
        )
    )


def _interpolate(
    nodes: Float[np.ndarray, " M"],
    frequency_cm: Float[np.ndarray, " F"],
    density: Float[np.ndarray, " F"],
) -> Float[np.ndarray, " M"]:
    """Return a density at some frequencies: omega^2, then linear between points."""
    first = 2 if density[2] >= density[1] else 1
    sound = density[first] * (nodes / frequency_cm[first]) ** 2
    linear = np.interp(nodes, frequency_cm, density)
    return np.where(nodes < frequency_cm[first], sound, linear)


def _oscillator(
    frequency_cm: Float[np.ndarray, " M"], temperatures_k: Float[np.ndarray, " T"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return C_v, S, H - H(0) [M, T] and zero-point energy [M], three modes per atom.

    Units are those of `Thermal`; exponentials are written so that none overflows.
    """
    from scipy.constants import gas_constant, value

    # scipy gives h c / k in m K.
    theta = 100 * value("second radiation constant") * frequency_cm
    x = theta[:, None] / temperatures_k
    bose = x * np.exp(-x) / -np.expm1(-x)  # thermal energy over k T
    three_r = 3 * gas_constant
    return (
        three_r * bose * (bose + x),
        three_r * (bose - np.log1p(-np.exp(-x))),
        three_r * bose * temperatures_k,
        three_r * theta / 2,
    )
