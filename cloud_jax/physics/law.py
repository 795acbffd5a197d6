"""Physical laws between a network's outputs and a measured property.

A law is a list of variables, which a head predicts, and two functions of them: the
zero-point energy F(0), and the free energy G = F - F(0), F being the Helmholtz energy.
Every other property follows by differentiation at constant volume and zero pressure:
S = -dG/dT, H = G + T S, C_v = T dS/dT = dH/dT. Here H and G count from absolute zero,
U and F from the minimum of the potential. The law "debye" is that of the paper's
CLOUD-DEBYE (Eqs. 7 to 10), with the Debye temperature as its only variable.
"""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array


class Variable(NamedTuple):
    """One physical variable of a law.

    Attributes:
        name: key in the dictionaries of variables.
        unit: "K", or "1" for a dimensionless number.
        kind: "positive", "magnitude" (positive, over several orders of magnitude) or
            "fraction" (between 0 and 1).
        typical: value that an output of 0 stands for, in ``unit``.
    """

    name: str
    unit: str
    kind: str
    typical: float


class Law(NamedTuple):
    """A physical law.

    Attributes:
        name: key in ``LAWS``, in configurations and in model folders.
        variables: the variables that a head predicts, in the order of its outputs.
        free_energy: G = F - F(0) [J per mol of atoms] of (variables, temperature [K]),
            elementwise, with finite first and second derivatives for T >= 0.
        zero_point_energy: F(0) [J per mol of atoms] of the variables.
    """

    name: str
    variables: tuple[Variable, ...]
    free_energy: Callable[[dict[str, Array], Array], Array]
    zero_point_energy: Callable[[dict[str, Array]], Array]
