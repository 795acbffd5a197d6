"""SCOPE: the symmetry sentence of a crystal, made from its structure.

`read_text` and `Cell.from_structure` bring a structure in, `encode` finds its
symmetry and makes a `Scope` record, `sentence` writes the record in a dialect and
`build_vocabulary` turns the words into token ids. See section "Symmetry-Consistent
Ordered Parameter Encoding" of the CLOUD paper (arXiv 2506.17345).

Names are loaded on first use, so that `cloud_jax.scope.vocabulary` can be used
where pymatgen is not installed.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "Cell": "structures.cell",
    "DIALECTS": "scope.dialects",
    "Orbit": "scope.record",
    "Rejection": "structures.rejection",
    "Scope": "scope.record",
    "Vocabulary": "scope.vocabulary",
    "build_vocabulary": "scope.vocabulary",
    "encode": "scope.symmetry",
    "read_text": "structures.readers",
    "sentence": "scope.dialects",
}
__all__ = [
    "DIALECTS",
    "Cell",
    "Orbit",
    "Rejection",
    "Scope",
    "Vocabulary",
    "build_vocabulary",
    "encode",
    "read_text",
    "sentence",
]

if TYPE_CHECKING:
    from cloud_jax.scope.dialects import DIALECTS, sentence
    from cloud_jax.scope.record import Orbit, Scope
    from cloud_jax.scope.symmetry import encode
    from cloud_jax.scope.vocabulary import Vocabulary, build_vocabulary
    from cloud_jax.structures.cell import Cell
    from cloud_jax.structures.readers import read_text
    from cloud_jax.structures.rejection import Rejection
else:

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"cloud_jax.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
