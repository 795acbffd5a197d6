"""Internal energy at 300 K alone through a Debye law, a row of Table 1 of the paper.

    python -m cloud_jax.finetune --config configs/thermal_u.py

See configs/thermal.py. Ensemble of four on the published split: 0.0512 (MAE/MAD).
configs/thermal_u_bert3.py begins with a larger encoder: 0.0467. From scratch 0.0613,
with --config.model.checkpoint= --config.model.dtype=float32 --config.model.dropout=0.03
--config.model.attention_dropout=0.03 --config.optimizer.learning_rate=1e-3
--config.optimizer.epochs=100 --config.members=5
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.finetuning()
    c.benchmark = "thermal_u"
    c.data.table = "data/thermal_cv_u.csv"
    c.targets.columns = ("u_j_per_mol_cell",)
    c.targets.properties = ("internal_energy",)
    c.targets.units = ("J/mol",)
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
