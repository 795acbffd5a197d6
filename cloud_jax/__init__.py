"""CLOUD in JAX: a physics-informed foundation model for crystals.

Importing this package is instant: it pulls in neither jax, flax, tensorflow nor
pymatgen. Import the part you need: `cloud_jax.scope` turns structures into
symmetry sentences, `cloud_jax.preprocess` sentences into token shards,
`cloud_jax.data`, `cloud_jax.models` and `cloud_jax.training` learn from them.
"""

__version__ = "0.1.0"
