"""UnconvBench supercon: critical temperature of 1,058 superconductors.

    python -m cloud_jax.finetune --config configs/unconvbench/supercon.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark("unconvbench_supercon", "unconvbench:supercon", "Tc", "K")
    c.optimizer.batch_crystals = 16
    c.optimizer.learning_rate = 7e-4
    c.optimizer.epochs = 40
    return c.lock()
