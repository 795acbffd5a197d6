"""C_v at 300 K as the paper has it: its strings, one Debye temperature, its protocol.

    python -m cloud_jax.finetune --config configs/thermal_paper.py

The published sentences (column scope_paper of the table), bert12 without token
features, Table S1's learning rate, validation rows that stay among the training rows.
From scratch; a pretrained bert12 in this dialect: --config.model.checkpoint=DIR. Meant
for an accelerator. Theta is positive by a softplus, unlike the reference's line.
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.finetuning()
    c.data.table = "data/thermal_cv_u.csv"
    c.data.dialect = "paper"
    c.data.scope_column = "scope_paper"
    c.data.n_atoms_column = "n_atoms"
    c.targets.columns = ("cv_j_per_mol_cell_k",)
    c.targets.properties = ("heat_capacity",)
    c.targets.units = ("J/(mol K)",)
    c.targets.bases = ("cell",)
    c.targets.temperatures_k = (300.0,)
    c.folds.column = "split"
    c.folds.protocol = "paper"
    c.folds.validation_fraction = 0.25
    c.members = 1
    c.model.preset = "bert12"
    c.model.token_features = False
    c.model.max_tokens = 64
    c.head.law = "debye"
    c.optimizer.loss = "l2"
    c.optimizer.epochs = 100
    c.optimizer.learning_rate = 1e-4
    return c.lock()
