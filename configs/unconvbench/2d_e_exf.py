"""UnconvBench 2d_e_exf: exfoliation energy of 4,527 2D materials.

    python -m cloud_jax.finetune --config configs/unconvbench/2d_e_exf.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark(
        "unconvbench_2d_e_exf",
        "unconvbench:2d_e_exf",
        "exfoliation_energy_per_atom",
        "eV/atom",
    )
    c.optimizer.batch_crystals = 32
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 20
    return c.lock()
