"""MatBench dielectric: refractive index of 4,764 crystals.

    python -m cloud_jax.finetune --config configs/matbench/dielectric.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark("matbench_dielectric", "matbench:dielectric", "n", "")
    c.optimizer.batch_crystals = 16
    c.optimizer.learning_rate = 7e-4
    c.optimizer.epochs = 30
    return c.lock()
