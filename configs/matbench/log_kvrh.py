"""MatBench log_kvrh: bulk modulus of 10,987 crystals, logarithm.

    python -m cloud_jax.finetune --config configs/matbench/log_kvrh.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark(
        "matbench_log_kvrh", "matbench:log_kvrh", "log10(K_VRH)", "log10(GPa)"
    )
    c.optimizer.batch_crystals = 32
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 20
    return c.lock()
