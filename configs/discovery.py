"""MatBench Discovery: formation energies of Materials Project, tested on all of WBM.

    python -m cloud_jax.finetune --config configs/discovery.py
    python -m cloud_jax.discovery runs/discovery

The second turns formation energies into hull distances and says how well stable
crystals are found. From the encoder in the package, which has seen the unrelaxed cells
of WBM in pretraining, though no label; from scratch with --config.model.checkpoint=
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark("discovery", "discovery:mp+wbm", "e_form_per_atom", "eV/atom")
    c.folds.validation_fraction = 0.05
    c.optimizer.batch_crystals = 32
    c.optimizer.learning_rate = 1e-3
    c.optimizer.epochs = 12
    return c.lock()
