"""UnconvBench qmof: total energy of 5,106 metal-organic frameworks.

    python -m cloud_jax.finetune --config configs/unconvbench/qmof.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark("unconvbench_qmof", "unconvbench:qmof", "energy_total", "eV")
    c.optimizer.batch_crystals = 32
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 20
    return c.lock()
