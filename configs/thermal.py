"""C_v and U at 300 K through a Debye law: Table 1 of the paper.

    python -m cloud_jax.finetune --config configs/thermal.py

It reads data/thermal_cv_u.csv, which `python -m scripts.make_thermal_table` writes.
"""

from cloud_jax import configuration


def get_config():
    """Return the locked configuration."""
    c = configuration.finetuning()
    c.data.table = "data/thermal_cv_u.csv"
    c.targets.columns = ("cv_j_per_mol_cell_k", "u_j_per_mol_cell")
    c.targets.properties = ("heat_capacity", "internal_energy")
    c.targets.units = ("J/(mol K)", "J/mol")
    c.targets.bases = ("cell", "cell")
    c.targets.temperatures_k = (300.0, 300.0)
    c.folds.column = "split"
    c.head.law = "debye"
    c.optimizer.learning_rate = 1e-3
    return c.lock()
