"""MatBench Discovery: formation energies of Materials Project, tested on all of WBM.

    cloud-jax finetune --config=configs/discovery.py
    cloud-jax study discovery runs/discovery

The second turns formation energies into hull distances and says how well stable
crystals are found. The encoder in the package has seen WBM's unrelaxed cells in
pretraining, though no label; from scratch: --config.model.checkpoint=

Cost: 1,071 s on one shared CPU core with 27,248 of the 154,719 training crystals.
Expected then: MAE 0.1763 eV/atom of 30,000 test rows drawn at random (RESULTS.md).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.benchmark("discovery", "discovery:mp+wbm", "e_form_per_atom", "eV/atom")
    c.folds.validation_fraction = 0.05
    c.optimizer.batch_crystals = 32
    c.optimizer.learning_rate = 4e-4
    c.optimizer.epochs = 3
    return c.lock()
