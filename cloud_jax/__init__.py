"""CLOUD in JAX: a physics-informed foundation model for crystals.

Begin with `cloud_jax.load().predict(structures)`, which asks the model in the package.
Importing this package takes no time: it loads neither jax nor any other large package.
`cloud_jax.scope` turns structures into symmetry sentences; docs/design.md draws the
other rooms.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloud_jax.inference.predictor import load

__all__ = ["__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str):
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cloud_jax.inference.predictor import load

    return load


def __dir__() -> list[str]:
    return __all__
