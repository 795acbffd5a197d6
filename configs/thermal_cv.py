"""Heat capacity at 300 K alone through a Debye law, a row of Table 1 of the paper.

    python -m cloud_jax.finetune --config configs/thermal_cv.py

See configs/thermal.py. Ensemble of four on the published split: 0.0550 (MAE/MAD).
configs/thermal_cv_bert3.py begins with a larger encoder: 0.0505. From scratch 0.0577,
with --config.model.checkpoint= --config.model.preset=bert3 --config.model.dtype=float32
--config.optimizer.learning_rate=5e-4 --config.optimizer.epochs=150 --config.members=5
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.finetuning()
    c.benchmark = "thermal_cv"
    c.data.table = "data/thermal_cv_u.csv"
    c.targets.columns = ("cv_j_per_mol_cell_k",)
    c.targets.properties = ("heat_capacity",)
    c.targets.units = ("J/(mol K)",)
    c.targets.bases = ("cell",)
    c.targets.temperatures_k = (300.0,)
    c.folds.column = "split"
    c.members = 4
    c.model.checkpoint = config.ENCODER
    c.head.law = "debye"
    c.optimizer.batch_crystals = 16
    c.optimizer.learning_rate = 7e-4
    c.optimizer.epochs = 60
    return c.lock()
