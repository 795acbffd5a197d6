"""A second stage of pretraining: the volume per atom of every crystal of the corpus.

    python -m scripts.make_volume_table datasets/corpus data/volume.csv
    python -m cloud_jax.finetune --config configs/volume.py

Masked-token training never uses the [CLS] state; this teaches it to sum up a crystal,
from geometry alone, without a label. It begins with runs/small (configs/small.py) and
what it writes is a checkpoint for configs/thermal.py.

Measured on one shared CPU core: 790 s; 3,000 validation crystals: MAE 0.071 of ln V
(about 7 % of the volume), R2 0.895.
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
    c.model.checkpoint = "runs/small"
    c.model.dropout = c.model.attention_dropout = 0.0  # one epoch: nothing to overfit
    c.optimizer.epochs = 1
    c.optimizer.batch_crystals = 16
    c.optimizer.learning_rate = 5e-4
    c.checkpoint.every_epochs = 1
    return c.lock()
