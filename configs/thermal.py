"""C_v and U at 300 K through a Debye-Einstein law: the model that the package ships.

    python -m cloud_jax.finetune --config configs/thermal.py

It reads data/thermal_cv_u.csv, which `python -m scripts.make_thermal_table` writes, and
begins with the encoder in the package (configs/small.py, then configs/volume.py).
configs/thermal_paper.py is the paper's way, configs/thermal_cv.py and thermal_u.py
train one target each. Ensemble of five on the published split: C_v 0.0590, U 0.0544
(MAE/MAD); 11 minutes on one CPU core.
"""

from cloud_jax import config
from cloud_jax.finetuning.space import Range


def get_config():
    """Return the locked configuration."""
    c = config.finetuning()
    c.data.table = "data/thermal_cv_u.csv"
    c.targets.columns = ("cv_j_per_mol_cell_k", "u_j_per_mol_cell")
    c.targets.properties = ("heat_capacity", "internal_energy")
    c.targets.units = ("J/(mol K)", "J/mol")
    c.targets.bases = ("cell", "cell")
    c.targets.temperatures_k = (300.0, 300.0)
    c.folds.column = "split"
    c.model.checkpoint = config.ENCODER
    c.head.law = "debye_einstein"
    c.optimizer.batch_crystals = 16
    c.optimizer.learning_rate = 7e-4
    c.optimizer.epochs = 60
    return c.lock()


def get_search_space():
    """Return the knobs of Table S1, for python -m cloud_jax.search."""
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
