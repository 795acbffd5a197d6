"""MatBench jdft2d: exfoliation energy of 636 layered crystals.

    python -m cloud_jax.finetune --config configs/matbench/jdft2d.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark(
        "matbench_jdft2d", "matbench:jdft2d", "exfoliation_en", "meV/atom"
    )
    c.optimizer.batch_crystals = 16
    c.optimizer.learning_rate = 7e-4
    c.optimizer.epochs = 60
    return c.lock()
