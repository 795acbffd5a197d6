"""C_v and U at 300 K through a Debye-Einstein law: the model that the package ships.

    cloud-jax finetune --config=configs/thermal.py
    cloud-jax search --config=configs/thermal.py --trials=20

Labels and structures are the public data set `phonon`, 2.5 MB, downloaded to data/.
Begins with the encoder in the package (configs/bert.py:small, then
configs/volume.py:small). configs/debye.py trains one target per model.

Cost: 11 minutes on one CPU core. Expected of the ensemble of five on the published
split: C_v 0.0590, U 0.0544 (MAE/MAD).
"""

from cloud_jax import config
from cloud_jax.finetuning.space import Range


def get_config():
    """Return the locked configuration."""
    c = config.finetuning()
    c.data.table = "phonon"
    c.targets.columns = ("cv_j_per_mol_cell_k", "u_j_per_mol_cell")
    c.targets.properties = ("heat_capacity", "internal_energy")
    c.targets.units = ("J/(mol K)", "J/mol")
    c.targets.bases = ("cell", "cell")
    c.targets.temperatures_k = (300.0, 300.0)
    c.folds.column = "fold"
    c.model.checkpoint = config.ENCODER
    c.head.law = "debye_einstein"
    c.optimizer.batch_crystals = 16
    c.optimizer.learning_rate = 7e-4
    c.optimizer.epochs = 60
    return c.lock()


def get_search_space():
    """Return the settings of Table S1 that `cloud-jax search` varies."""
    return {
        "optimizer.learning_rate": Range(1e-4, 3e-3, log=True),
        "optimizer.batch_crystals": [16, 32, 64],
        "optimizer.epochs": [30, 60, 100, 200],
        "optimizer.weight_decay": [0.0, 1e-3, 1e-2, 1e-1],
        "optimizer.warmup_fraction": [0.0, 0.05, 0.1],
        "optimizer.frozen_epochs": [0, 5, 10],
        "optimizer.layer_decay": Range(0.7, 1.0),
        "model.dropout": Range(0.0, 0.3),
        "head.layers": [1, 2, 3],
    }
