"""MatBench mp_gap: band gap of 106,113 crystals.

    python -m cloud_jax.finetune --config configs/matbench/mp_gap.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark("matbench_mp_gap", "matbench:mp_gap", "gap pbe", "eV")
    c.optimizer.batch_crystals = 64
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 10
    return c.lock()
