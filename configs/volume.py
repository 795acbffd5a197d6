"""A second stage of pretraining: the volume per atom of every crystal of the corpus.

    python -m scripts.make_weights volumes datasets/corpus data/volume.csv
    cloud-jax finetune --config=configs/volume.py:small

Masked tokens never train the [CLS] state; volumes teach it to sum up a crystal from
geometry alone, without a label (configs/properties.py: with labels). Each task begins
with the encoder of the same name of configs/bert.py; from scratch:
--config.model.checkpoint= (not measured).

Cost and expected error on 3,000 validation crystals:
    small: 790 s on one shared CPU core; MAE 0.071 of ln V (about 7 %), R2 0.895. Its
        encoder is where configs/elastic.py begins, and with it the thermal model.
    bert3: 147 s on one NVIDIA H100 that four other trainings shared; MAE 0.048 of ln V
        (about 5 %), R2 0.946. 24 epochs at 7e-4 gave 0.040 and 0.956, but a worse
        start for C_v and U (RESULTS.md).
"""

from cloud_jax import config

# task: checkpoint, compute type, dropout, epochs, crystals per batch, checkpoint every
TASKS = {
    "small": ("runs/bert_small", "auto", 0.0, 1, 16, 1),
    "bert3": ("runs/bert_3_tuned", "float32", 0.05, 8, 256, 20),
}


def get_config(task):
    """Return the locked configuration of a task."""
    checkpoint, dtype, dropout, epochs, batch, every_epochs = TASKS[task]
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
    c.model.checkpoint = checkpoint
    c.model.dtype = dtype
    c.model.dropout = c.model.attention_dropout = dropout
    c.optimizer.epochs = epochs
    c.optimizer.batch_crystals = batch
    c.optimizer.learning_rate = 5e-4
    c.checkpoint.every_epochs = every_epochs
    return c.lock()
