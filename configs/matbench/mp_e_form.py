"""MatBench mp_e_form: formation energy of 132,752 crystals.

    python -m cloud_jax.finetune --config configs/matbench/mp_e_form.py

The five official folds, one member each, from the encoder in the package; from scratch
with --config.model.checkpoint= (RESULTS.md has both).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark(
        "matbench_mp_e_form", "matbench:mp_e_form", "e_form", "eV/atom"
    )
    c.optimizer.batch_crystals = 64
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 10
    return c.lock()
