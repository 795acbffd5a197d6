"""CLOUD in JAX: a physics-informed foundation model for crystals.

Begin with `cloud_jax.predict_structure("quartz.cif")`, or with
`cloud_jax.load("thermal").predict(structures)` for many; both ask the model in the
package.
Importing this package takes no time: it loads neither jax nor any other large package.
`cloud_jax.scope` turns structures into symmetry sentences; docs/design.md draws the
other rooms.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cloud_jax import scope
    from cloud_jax.inference.featurizer import CloudFeaturizer
    from cloud_jax.inference.predictor import (
        Predictor,
        from_pretrained,
        load,
        predict_structure,
    )
    from cloud_jax.inference.properties import PredictionError
    from cloud_jax.models.folder import ModelFolderError

__all__ = [
    "CloudFeaturizer",
    "ModelFolderError",
    "PredictionError",
    "Predictor",
    "__version__",
    "from_pretrained",
    "load",
    "predict_structure",
    "scope",
]
__version__ = "0.1.0"

_MODULES = {
    "CloudFeaturizer": "inference.featurizer",
    "ModelFolderError": "models.folder",
    "PredictionError": "inference.properties",
    "Predictor": "inference.predictor",
    "from_pretrained": "inference.predictor",
    "load": "inference.predictor",
    "predict_structure": "inference.predictor",
}

if not TYPE_CHECKING:  # a misspelt name is an error, not Any

    def __getattr__(name: str) -> Any:
        if name == "scope":
            return import_module("cloud_jax.scope")
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"cloud_jax.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
