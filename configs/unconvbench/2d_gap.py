"""UnconvBench 2d_gap: band gap of 3,520 2D crystals.

    python -m cloud_jax.finetune --config configs/unconvbench/2d_gap.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark("unconvbench_2d_gap", "unconvbench:2d_gap", "gap", "eV")
    c.optimizer.batch_crystals = 32
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 20
    return c.lock()
