"""configs/volume.py for bert3 on an accelerator: 8 epochs in large batches.

    python -m scripts.make_volume_table datasets/corpus data/volume.csv
    python -m cloud_jax.finetune --config configs/volume_bert3.py

It begins with runs/bert3_tuned (configs/bert3_tuned.py) and what it writes is the
checkpoint of configs/thermal_cv_bert3.py and thermal_u_bert3.py.

Measured on one NVIDIA H100 that four other trainings shared: 147 s; 3,000 validation
crystals: MAE 0.048 of ln V (about 5 % of the volume), R2 0.946. 24 epochs at 7e-4 gave
0.040 and 0.956, but a worse start for C_v and U (RESULTS.md).
"""

from cloud_jax import config


def get_config():
    """Return the locked configuration."""
    c = config.finetuning()
    c.data.table = "data/volume.csv"
    c.data.scope_column = "canonical"
    c.targets.columns = ("log_volume_per_atom",)
    c.targets.properties = ("log_volume_per_atom",)
    c.targets.units = ("",)
    c.targets.bases = ("",)
    c.targets.temperatures_k = (0.0,)
    c.folds.column = "split"
    c.folds.validation_fraction = 0.01
    c.members = 1
    c.model.checkpoint = "runs/bert3_tuned"
    c.model.dtype = "float32"
    c.model.dropout = c.model.attention_dropout = 0.05
    c.optimizer.epochs = 8
    c.optimizer.batch_crystals = 256
    c.optimizer.learning_rate = 5e-4
    return c.lock()
