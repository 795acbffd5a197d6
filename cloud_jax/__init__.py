"""CLOUD in JAX: a physics-informed foundation model for crystals.

Importing this package is instant: it pulls in neither jax, flax, tensorflow nor
pymatgen. Import the part you need: `cloud_jax.scope` turns structures into
symmetry sentences, `cloud_jax.preprocess` sentences into token shards,
`cloud_jax.data`, `cloud_jax.models` and `cloud_jax.training` learn from them, and
`cloud_jax.load` asks what was learned: `cloud_jax.load().predict(structures)`.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from cloud_jax.inference.predictor import load

    return load
